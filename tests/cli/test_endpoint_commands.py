"""`chatsite models discover`, `add`, `endpoints` and `remove`, as people run them, with a real server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Environment, RunCommand
from tests.support.model_server import HttpRequest, ModelServer, json_reply, with_models

KEY = "sk-nobody-may-read-this"


def refuse(request: HttpRequest) -> list[bytes]:
    return json_reply({"error": {"message": "No."}}, 400)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """A server with two models."""
    with ModelServer(with_models(refuse, "fox", "hare")) as listening:
        yield listening


def test_server_is_added_listed_and_removed(run_command: RunCommand, server: ModelServer) -> None:
    added = run_command("models", "add", server.url)
    assert added.returncode == 0, added.stderr
    name = added.stdout.split(" · ")[0].strip()
    assert f"{name} was added." in added.stdout
    listed = run_command("models", "endpoints").stdout
    assert f"{name} · 127.0.0.1:{server.port} · Your messages stay on this computer · Ready" in listed
    assert f"{name}/fox" in listed
    doctor = run_command("doctor").stdout
    assert f"ok    server {name} at 127.0.0.1:{server.port}: 2 models" in doctor
    removed = run_command("models", "remove", name)
    assert removed.returncode == 0
    assert "No other servers have been added." in run_command("models", "endpoints").stdout


def test_server_that_does_not_answer_is_not_added(run_command: RunCommand, server: ModelServer) -> None:
    server.close()
    refused = run_command("models", "add", server.url)
    assert refused.returncode == 1
    assert "cannot be reached" in refused.stderr
    assert "No other servers" in run_command("models", "endpoints").stdout


@pytest.mark.parametrize("given", ["nobody", "ftp://a/v1", "http://name:secret@host/v1", "http://", "--"])
def test_what_is_no_server_is_refused_in_a_sentence(run_command: RunCommand, given: str) -> None:
    refused = run_command("models", "add", given)
    assert refused.returncode in {1, 2}
    assert refused.stderr
    assert "Traceback" not in refused.stderr
    assert "secret" not in refused.stderr + refused.stdout


def test_configured_server_is_checked_and_stays_without_its_key(
    run_command: RunCommand, environment: Environment, server: ModelServer
) -> None:
    environment |= {"CHATSITE_ENDPOINT": server.url, "CHATSITE_ENDPOINT_KEY": KEY}
    listed = run_command("models", "endpoints")
    assert "Not asked yet" in listed.stdout
    name = listed.stdout.split(" · ")[0].strip()
    again = run_command("models", "add", server.url)
    assert again.returncode == 1
    assert "CHATSITE_ENDPOINT or models.toml" in again.stderr
    removed = run_command("models", "remove", name)
    assert removed.returncode == 1
    doctor = run_command("doctor")
    assert "not asked yet" in doctor.stdout
    for done in (listed, again, removed, doctor):
        assert KEY not in done.stdout + done.stderr
    for path in Path(environment["CHATSITE_INSTANCE"]).rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes()


def test_look_says_what_it_found(run_command: RunCommand) -> None:
    done = run_command("models", "discover")
    assert done.returncode == 0, done.stderr
    assert "No other servers were found." in done.stdout or "chatsite models add" in done.stdout


def test_models_of_added_server_are_listed_and_shown(run_command: RunCommand, server: ModelServer) -> None:
    assert "127" not in run_command("models", "list").stdout
    name = run_command("models", "add", server.url).stdout.split(" · ")[0].strip()
    listed = run_command("models", "list").stdout
    assert re.search(rf"^{name}/fox +on another server", listed, re.MULTILINE)
    shown = run_command("models", "show", f"{name}/hare")
    assert (shown.returncode, "on another server" in shown.stdout) == (0, True), shown.stderr
    # What the server may have, though it does not list it.
    assert run_command("models", "show", f"{name}/team/owl").returncode == 0
    assert run_command("models", "show", "nobody/team/owl").returncode == 2


def test_setting_may_name_a_model_of_an_added_server(run_command: RunCommand, server: ModelServer) -> None:
    name = run_command("models", "add", server.url).stdout.split(" · ")[0].strip()
    for model in (f"{name}/fox", f"{name}/team/owl"):
        setup = run_command("setup", CHATSITE_DEFAULT_MODEL=model)
        assert (setup.returncode, setup.stderr) == (0, "")
        assert f"model {model}" in run_command("doctor", CHATSITE_DEFAULT_MODEL=model).stdout
    refused = run_command("setup", CHATSITE_DEFAULT_MODEL="nobody/team/owl")
    assert refused.returncode == 2
    assert "CHATSITE_DEFAULT_MODEL='nobody/team/owl' cannot be used" in refused.stderr
