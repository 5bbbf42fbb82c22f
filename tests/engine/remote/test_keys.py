"""Keys of endpoints: read from where they may be, sent to the endpoint, and shown nowhere."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from chatsite.engine.catalog.endpoints import Endpoint
from chatsite.engine.remote.keys import read_key
from chatsite.errors import ChatsiteError, endpoints
from tests.engine.remote.support import (
    engine_at,
    error,
    finish,
    first,
    question,
)
from tests.support.model_server import (
    ModelServer,
    delta,
    event,
    head,
    json_reply,
)
from tests.support.trained_models import collect_events

KEY = "sk-very-secret-0123456789"


def read_everything(folder: Path, logged: str, *shown: object) -> str:
    """All that could hold the key: files, logs, and what objects say of themselves."""
    files = "".join(path.read_text("utf-8") for path in folder.rglob("*") if path.is_file())
    return files + logged + "".join(f"{each!r}{each!s}" for each in shown)


def test_key_is_sent_and_shown_nowhere(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG))
    replies: list[list[object]] = [
        error(400, f"Your key {KEY} may not do this"),
        [head(), event({"error": f"{KEY} is over its limit"})],
        [head(), event(delta("Do")), event({"error": {"message": f"Bearer {KEY}"}})],
        [head(302, Location=f"http://127.0.0.1/{KEY}")],
        [f"HTTP/1.1 2{KEY}\r\n\r\n".encode()],
        error(401, KEY),
        # What is cut must not leave half of a key.
        error(400, "x" * 280 + f" {KEY}"),
        [head(), event({"error": "x" * 280 + f" {KEY}"})],
    ]
    with ModelServer(first(*replies)) as server, engine_at(server.url, "unknown", key=KEY) as (engine, client):
        seen: list[object] = [client, client.probe(), client.capabilities, vars(client.endpoint)]
        for number in range(len(replies)):
            engine.submit(question(number, "Go"))
            events = collect_events(engine, number)[number]
            seen += [*events, finish(events).error_message, getattr(finish(events).error_message, "params", "")]
        seen += [client.circuit, engine.get_status()]
        assert {each.headers["authorization"] for each in server.requests} == {f"Bearer {KEY}"}
    captured = capfd.readouterr()
    everything = read_everything(tmp_path, captured.out + captured.err + caplog.text, *seen)
    assert KEY[:8] not in everything
    assert "[key]" in everything


def test_bug_of_ours_is_logged_without_the_key(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def break_down(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("chatsite.engine.remote.answer.build_body", break_down)
    with ModelServer(first()) as server, engine_at(server.url, "unknown", key=KEY) as (engine, _):
        engine.submit(question(1, "Go"))
        assert finish(collect_events(engine, 1)[1]).error_message is not None
    captured = capfd.readouterr()
    assert KEY not in captured.out + captured.err


def write_key(folder: Path, content: bytes, mode: int) -> Endpoint:
    path = folder / "key"
    path.write_bytes(content)
    path.chmod(mode)
    return Endpoint("box", "http://a/v1", key_file=path)


def test_key_comes_from_the_environment_or_a_file_of_its_owner(tmp_path: Path) -> None:
    assert read_key(Endpoint("box", "http://a/v1"), {}) == ""
    assert read_key(Endpoint("box", "http://a/v1", key_env="BOX_KEY"), {"BOX_KEY": f" {KEY}\n"}) == KEY
    assert read_key(Endpoint("box", "http://a/v1", key_env="CHATSITE_ENDPOINT_KEY"), {}) == ""
    assert read_key(write_key(tmp_path, f"{KEY}\n".encode(), 0o600), {}) == KEY


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda folder: Endpoint("box", "http://a/v1", key_env="BOX_KEY"), endpoints.EndpointKeyMissingError),
        (lambda folder: write_key(folder, KEY.encode(), 0o644), endpoints.EndpointKeyFileError),
        (lambda folder: write_key(folder, KEY.encode(), 0o640), endpoints.EndpointKeyFileError),
        (lambda folder: write_key(folder, b"", 0o600), endpoints.EndpointKeyFileError),
        (lambda folder: write_key(folder, KEY.encode() + b"\xff", 0o600), endpoints.EndpointKeyFileError),
        (lambda folder: write_key(folder, b"two\nlines", 0o600), endpoints.EndpointKeyInvalidError),
        (lambda folder: Endpoint("box", "http://a/v1", key_file=folder / "none"), endpoints.EndpointKeyFileError),
    ],
)
def test_key_that_cannot_be_used_is_refused_without_showing_it(
    tmp_path: Path, make: Callable[[Path], Endpoint], kind: type[ChatsiteError]
) -> None:
    with pytest.raises(kind) as caught:
        read_key(make(tmp_path), {})
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None


def test_key_that_is_repeated_as_a_model_is_left_out() -> None:
    models = {"data": [{"id": f"m-{KEY}"}, {"id": "m", "name": f"Bearer {KEY}"}, {"id": "other"}]}
    with ModelServer(lambda _: json_reply(models)) as server, engine_at(server.url, key=KEY) as (_, client):
        assert [model.id for model in client.probe().models] == ["other"]
