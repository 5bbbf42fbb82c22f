"""Settings: read, checked, documented, and a key that nobody else has."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from chatsite.config import ConfigError, flask_config, load_secret_key, read_settings
from chatsite.settings import FORMER_NAMES, SETTINGS


def test_defaults_work() -> None:
    values = read_settings({})
    assert set(values) == {setting.name for setting in SETTINGS}
    assert values["MAX_MESSAGE_CHARS"] == 8000


def test_environment_sets_values() -> None:
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
def test_invalid_value_stops_startup_with_message(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"CHATSITE_{variable}=.*cannot be used"):
        read_settings({f"CHATSITE_{variable}": value})


def test_misspelled_setting_stops_startup() -> None:
    with pytest.raises(ConfigError, match="CHATSITE_WORKER is not a setting"):
        read_settings({"CHATSITE_WORKER": "2"})


def test_every_setting_has_help_text() -> None:
    for setting in SETTINGS:
        assert setting.help.endswith("."), setting.name


def test_secret_key_is_created_once_and_private(tmp_path: Path) -> None:
    key = load_secret_key(tmp_path)
    assert len(key) == 64
    assert load_secret_key(tmp_path) == key
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600


def test_instances_have_different_secret_keys(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert load_secret_key(tmp_path / "a") != load_secret_key(tmp_path / "b")


def test_instance_folder_that_cannot_be_made_stops_startup(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be used: Not a directory"):
        flask_config({**read_settings({}), "INSTANCE": tmp_path / "file" / "instance"})


def test_short_secret_key_file_stops_startup(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("dev")
    with pytest.raises(ConfigError, match="no usable key"):
        flask_config({**read_settings({}), "INSTANCE": tmp_path})


def test_short_secret_key_from_environment_stops_startup(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="SECRET_KEY"):
        flask_config({**read_settings({"CHATSITE_SECRET_KEY": "dev"}), "INSTANCE": tmp_path})


@pytest.mark.parametrize(("former", "current"), FORMER_NAMES.items())
def test_former_setting_name_still_works_with_warning(former: str, current: str) -> None:
    [setting] = [setting for setting in SETTINGS if setting.name == current]
    text = "models.toml" if setting.default == "" else "1"
    with pytest.warns(FutureWarning, match=f"CHATSITE_{former} is called CHATSITE_{current} now"):
        assert read_settings({f"CHATSITE_{former}": text})[current] == setting.parse(text)


def test_current_setting_name_wins_over_former_name() -> None:
    with pytest.warns(FutureWarning):
        values = read_settings({"CHATSITE_" + "MODEL": "one", "CHATSITE_DEFAULT_MODEL": "two"})
    assert values["DEFAULT_MODEL"] == "two"


SERVICE_LINKS = {
    "CHATSITE_SERVICE_HOST": "10.0.0.1",
    "CHATSITE_SERVICE_PORT": "80",
    "CHATSITE_SERVICE_PORT_HTTP": "80",
    "CHATSITE_PORT": "tcp://10.0.0.1:80",
    "CHATSITE_PORT_80_TCP": "tcp://10.0.0.1:80",
    "CHATSITE_PORT_80_TCP_PROTO": "tcp",
    "CHATSITE_PORT_80_TCP_PORT": "80",
    "CHATSITE_PORT_80_TCP_ADDR": "10.0.0.1",
    "CHATSITE_DB_SERVICE_HOST": "10.0.0.2",
    "CHATSITE_DB_PORT": "tcp://10.0.0.2:5432",
    "CHATSITE_DB_PORT_5432_TCP": "tcp://10.0.0.2:5432",
}


def test_variables_of_kubernetes_services_are_passed_over() -> None:
    assert read_settings(SERVICE_LINKS) == read_settings({})


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("PORT", "9000"),
        ("PORT", "unix:/tmp/socket"),
        ("WORKER_PORT", "80"),
        ("SERVICE", "10.0.0.1"),
        ("SERVICE_HOSTS", "a"),
        ("TRUSTED_HOST", "a.example"),
    ],
)
def test_what_only_resembles_a_service_stops_startup(variable: str, text: str) -> None:
    with pytest.raises(ConfigError, match=f"CHATSITE_{variable} is not a setting"):
        read_settings({f"CHATSITE_{variable}": text})


@pytest.mark.parametrize(
    ("text", "path"), [("/chat", "/chat"), ("chat/", "/chat"), ("/", ""), ("", ""), ("/a/b_c~d.e/", "/a/b_c~d.e")]
)
def test_base_path_is_read_with_and_without_slashes(text: str, path: str) -> None:
    assert read_settings({"CHATSITE_BASE_PATH": text})["BASE_PATH"] == path


@pytest.mark.parametrize("text", ["https://a.example/chat", "/a//b", "/a?b", "/ü", "/a/../b", "/.", '/"'])
def test_base_path_that_is_none_stops_startup(text: str) -> None:
    with pytest.raises(ConfigError, match="it must be a path such as /chat"):
        read_settings({"CHATSITE_BASE_PATH": text})
