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


def test_server_is_added_listed_used_and_removed(run_command: RunCommand, server: ModelServer) -> None:
    added = run_command("models", "add", server.url)
    assert added.returncode == 0, added.stderr
    name = added.stdout.split(" · ")[0].strip()
    assert f"{name} was added." in added.stdout
    listed = run_command("models", "endpoints").stdout
    assert f"{name} · 127.0.0.1:{server.port} · Your messages stay on this computer · Ready" in listed
    assert f"{name}/fox" in listed
    assert re.search(rf"^{name}/fox +on another server", run_command("models", "list").stdout, re.MULTILINE)
    # A model that the server may have, though it does not list it.
    owl = f"{name}/team/owl"
    assert "on another server" in run_command("models", "show", owl).stdout
    setup = run_command("setup", CHATSITE_DEFAULT_MODEL=owl)
    assert (setup.returncode, setup.stderr) == (0, "")
    doctor = run_command("doctor", CHATSITE_DEFAULT_MODEL=owl).stdout
    assert f"ok    server {name} at 127.0.0.1:{server.port}: 2 models" in doctor
    assert f"model {owl}" in doctor
    removed = run_command("models", "remove", name)
    assert removed.returncode == 0
    refused = run_command("setup", CHATSITE_DEFAULT_MODEL=owl)
    assert refused.returncode == 2
    assert f"CHATSITE_DEFAULT_MODEL='{owl}' cannot be used" in refused.stderr


def test_server_that_does_not_answer_is_not_added(run_command: RunCommand, server: ModelServer) -> None:
    server.close()
    refused = run_command("models", "add", server.url)
    assert refused.returncode == 1
    assert "cannot be reached" in refused.stderr
    assert "No other servers" in run_command("models", "endpoints").stdout


@pytest.mark.parametrize("given", ["nobody", "http://name:secret@host/v1", "--"])
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
