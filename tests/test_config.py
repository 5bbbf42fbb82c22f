"""Settings: read, checked, documented, and a key that nobody else has."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from chatsite.config import SETTINGS, ConfigError, flask_config, instance_secret_key, read_settings


def test_defaults_work() -> None:
    values = read_settings({})
    assert set(values) == {setting.name for setting in SETTINGS}
    assert values["MESSAGE_CHARS"] == 8000


def test_the_environment_sets_values() -> None:
    values = read_settings(
        {"CHATSITE_WORKERS": "3", "CHATSITE_SECURE_COOKIES": "yes", "CHATSITE_TRUSTED_HOSTS": "a.example, b"}
    )
    assert (values["WORKERS"], values["SECURE_COOKIES"], values["TRUSTED_HOSTS"]) == (3, True, ["a.example", "b"])


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WORKERS", "0"),
        ("WORKERS", "many"),
        ("RUNNER", "maybe"),
        ("SECURE_COOKIES", "perhaps"),
        ("LEASE_SECONDS", "nan"),
    ],
)
def test_a_bad_value_stops_the_start_with_a_sentence(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"CHATSITE_{variable}=.*cannot be used"):
        read_settings({f"CHATSITE_{variable}": value})


def test_a_misspelt_setting_stops_the_start() -> None:
    with pytest.raises(ConfigError, match="CHATSITE_WORKER is not a setting"):
        read_settings({"CHATSITE_WORKER": "2"})


def test_every_setting_has_a_sentence_of_help() -> None:
    for setting in SETTINGS:
        assert setting.help.endswith("."), setting.name


def test_the_secret_key_is_made_once_and_private(tmp_path: Path) -> None:
    key = instance_secret_key(tmp_path)
    assert len(key) == 64
    assert instance_secret_key(tmp_path) == key
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600


def test_two_instances_have_two_keys(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert instance_secret_key(tmp_path / "a") != instance_secret_key(tmp_path / "b")


def test_a_short_key_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("dev")
    with pytest.raises(ConfigError, match="no usable key"):
        flask_config({**read_settings({}), "INSTANCE": tmp_path})


def test_a_short_key_from_the_environment_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="SECRET_KEY"):
        flask_config({**read_settings({"CHATSITE_SECRET_KEY": "dev"}), "INSTANCE": tmp_path})
