"""One endpoint: retries, limits, the circuit, Stop, and the key that nobody gets to see."""

from __future__ import annotations

import email.utils
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import structlog

from chatsite.engine.catalog.endpoints import Endpoint, RemoteModel, make_entry
from chatsite.engine.remote.circuit import CircuitBreaker
from chatsite.engine.remote.client import EndpointClient, Timeouts
from chatsite.engine.remote.engine import RemoteEngine
from chatsite.engine.remote.failures import parse_retry_after, pause_seconds
from chatsite.engine.remote.keys import read_key
from chatsite.engine.types import Delta, Event, Finish, FinishReason, Request, Turn
from chatsite.errors import ChatsiteError, endpoints
from tests.engine.remote.support import MODEL, QUICK, answer_text, engine_at, finish, question, reports
from tests.support.model_server import (
    RESET,
    SILENCE,
    HttpRequest,
    ModelServer,
    Reply,
    delta,
    event,
    head,
    json_reply,
    openai_stream,
    with_models,
)
from tests.support.served_site import wait_until
from tests.support.trained_models import collect_events

KEY = "sk-very-secret-0123456789"
DONE = ["Done", "."]


def answer(_: HttpRequest) -> Iterator[object]:
    """A good answer."""
    yield head()
    yield from openai_stream(DONE)


def first(*bad: list[object], then: Reply = answer) -> Reply:
    """Bad replies to the first requests, and then a good one."""
    left = list(bad)
    return with_models(lambda request: left.pop(0) if left else then(request), MODEL)


def error(status: int, message: str = "No", **headers: str) -> list[object]:
    """A reply with an error."""
    return [*json_reply({"error": {"message": message}}, status, **headers)]


def ask(reply: Reply, family: str = "unknown", **settings: object) -> tuple[list[Event], ModelServer]:
    """The events of one answer of a server."""
    with ModelServer(reply) as server, engine_at(server.url, family, **settings) as (engine, _):  # type: ignore[arg-type]
        engine.submit(question(1, "Go"))
        return collect_events(engine, 1)[1], server


@pytest.mark.parametrize(
    "bad",
    [error(408), error(429), error(500), error(502), error(503), error(504), [RESET], [b""], [head()], [head(), RESET]],
)
def test_failure_before_the_first_text_is_tried_again(bad: list[object]) -> None:
    events, server = ask(first(bad, bad))
    assert (answer_text(events), finish(events).error_message) == ("Done.", None)
    assert len(server.asked("/chat/completions")) == 3
    assert len(reports(events)) == 1


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (error(400), endpoints.EndpointRejectedError(endpoint="box", detail="No")),
        (error(401), endpoints.EndpointKeyRejectedError(endpoint="box")),
        (error(402), endpoints.EndpointUnpaidError(endpoint="box")),
        (error(403), endpoints.EndpointRejectedError(endpoint="box", detail="No")),
        (error(404), endpoints.EndpointModelMissingError(endpoint="box", model=MODEL)),
        (error(413), endpoints.EndpointRejectedError(endpoint="box", detail="No")),
        (error(422), endpoints.EndpointRejectedError(endpoint="box", detail="No")),
        ([head(302, Location="http://127.0.0.1:1/v1")], endpoints.EndpointRedirectError(endpoint="box")),
        ([head(200, "text/html"), b"<html>"], endpoints.EndpointGarbageError(endpoint="box")),
        ([head(), b"<html>\n"], endpoints.EndpointGarbageError(endpoint="box")),
        (json_reply({"error": {"message": "No"}}), endpoints.EndpointBrokeError(endpoint="box", detail="No")),
        (error(500, retry_after="600"), endpoints.EndpointBrokeError(endpoint="box", detail="No")),
        (error(429, retry_after="600"), endpoints.EndpointBusyError(endpoint="box")),
    ],
)
def test_failure_that_stays_ends_at_once(bad: list[object], expected: ChatsiteError) -> None:
    events, server = ask(first(bad))
    assert finish(events).error_message == expected
    assert len(server.asked("/chat/completions")) == 1


def test_three_retries_are_enough() -> None:
    events, server = ask(first(*[error(500)] * 9))
    assert finish(events).error_message == endpoints.EndpointBrokeError(endpoint="box", detail="No")
    assert len(server.asked("/chat/completions")) == 4


def test_model_that_is_loading_is_waited_for() -> None:
    events, server = ask(first(*[error(503, "Loading model")] * 12))
    assert answer_text(events) == "Done."
    assert len(server.asked("/chat/completions")) == 13


def test_server_says_how_long_to_wait() -> None:
    # The random pause alone could be longer than the test may take.
    began = time.monotonic()
    events, _ = ask(
        first(error(429, retry_after="0"), error(503, retry_after_ms="1")), timeouts=Timeouts(first_pause=1e6)
    )
    assert answer_text(events) == "Done."
    assert time.monotonic() - began < 60


def test_forms_of_retry_after() -> None:
    soon = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert parse_retry_after({"retry-after": "3"}) == 3
    assert parse_retry_after({"retry-after-ms": "1500", "retry-after": "3"}) == 1.5
    assert 25 < (parse_retry_after({"retry-after": soon}) or 0) <= 30
    assert parse_retry_after({"retry-after": email.utils.formatdate(0, usegmt=True)}) == 0
    assert all(parse_retry_after({"retry-after": text}) is None for text in ("", "soon", "nan", "inf", "1e400"))
    assert pause_seconds(0, 100.0, 0.5) == 60
    assert all(0 <= pause_seconds(attempt, None, 0.5) <= min(8, 0.5 * 2**attempt) for attempt in range(20))


def test_stop_ends_the_request_before_the_first_byte_and_in_the_middle() -> None:
    for silence in ([SILENCE], [head(), SILENCE], [head(), event(delta("Done")), SILENCE]):
        reply = with_models(lambda _, silence=silence: silence, MODEL)  # type: ignore[misc]
        with ModelServer(reply) as server, engine_at(server.url, "unknown") as (engine, _):
            engine.submit(question(1, "Go"))
            wait_until(partial(server.asked, "/chat/completions"), what="The request")
            engine.cancel(1)
            assert finish(engine.poll_events(1.0)).reason is FinishReason.CANCELLED
            [asked] = server.asked("/chat/completions")
            assert asked.was_abandoned.wait(10), "The server goes on, and bills."


def test_nothing_comes_after_the_end() -> None:
    endless = [head(), *[event(delta("more "))] * 10_000, SILENCE]
    with ModelServer(with_models(lambda _: endless, MODEL)) as server, engine_at(server.url, "unknown") as (engine, _):
        engine.submit(question(1, "Go", max_new_tokens=100_000))
        wait_until(lambda: any(isinstance(each, Delta) for each in engine.poll_events(0.1)), what="The text")
        engine.cancel(1)
        engine.cancel(1)
        assert finish(engine.poll_events(1.0)).reason is FinishReason.CANCELLED
        assert engine.poll_events(0.3) == []


def test_request_that_waits_for_a_place_can_be_stopped() -> None:
    reply = with_models(lambda _: [SILENCE], MODEL)
    with ModelServer(reply) as server, engine_at(server.url, "unknown", max_answers=1) as (engine, _):
        engine.submit(question(1, "Go"))
        wait_until(lambda: server.asked("/chat/completions"), what="The request")
        for number in (2, 1):
            engine.submit(question(2, "Go"))
            engine.cancel(number)
            assert finish(engine.poll_events(1.0)) == Finish(number, FinishReason.CANCELLED)
        assert len(server.asked("/chat/completions")) == 1


def test_no_more_answers_at_once_than_the_endpoint_may_write() -> None:
    most = running = 0

    def count(request: HttpRequest) -> Iterator[object]:
        nonlocal most, running
        running += 1
        most = max(most, running)
        yield head()
        yield from list(openai_stream(DONE))[:-2]
        time.sleep(0.01)
        running -= 1
        yield from list(openai_stream(DONE))[-2:]

    with (
        ModelServer(with_models(count, MODEL)) as server,
        engine_at(server.url, "unknown", max_answers=3) as (engine, _),
    ):
        for number in range(20):
            engine.submit(question(number, "Go"))
        found = collect_events(engine, *range(20))
    assert {answer_text(events) for events in found.values()} == {"Done."}
    assert 1 < most <= 3


def test_too_much_to_do_halves_the_places_for_a_while() -> None:
    with ModelServer(first(error(429))) as server, engine_at(server.url, "unknown", max_answers=8) as (engine, client):
        engine.submit(question(1, "Go"))
        assert answer_text(collect_events(engine, 1)[1]) == "Done."
        limits: list[int] = []

        async def read_limit() -> None:
            limits.append(client.limiter.limit)

        client.start(read_limit()).result(10)
        assert limits == [4]
        assert client.circuit is None


def test_busy_server_is_left_alone_as_long_as_it_asks_for() -> None:
    with (
        ModelServer(first(error(429, retry_after="90"))) as server,
        engine_at(server.url, "unknown") as (engine, client),
    ):
        engine.submit(question(1, "Go"))
        assert finish(collect_events(engine, 1)[1]).error_message == endpoints.EndpointBusyError(endpoint="box")
        assert client.circuit
        assert client.circuit.error is None
        assert 60 < client.circuit.seconds_left <= 90


def test_rejected_key_opens_the_circuit_for_all() -> None:
    with ModelServer(first(error(401))) as server, engine_at(server.url, "unknown") as (engine, client):
        rejected = endpoints.EndpointKeyRejectedError(endpoint="box")
        engine.submit(question(1, "Go"))
        assert finish(collect_events(engine, 1)[1]).error_message == rejected
        assert client.circuit
        assert (client.circuit.error, client.circuit.seconds_left > 20) == (rejected, True)
        engine.submit(question(2, "Go"))
        paused = finish(collect_events(engine, 2)[2]).error_message
        assert paused == endpoints.EndpointPausedError(endpoint="box", reason=rejected)
        assert len(server.asked("/chat/completions")) == 1
        # Somebody mended it and asks again.
        client.probe()
        engine.submit(question(3, "Go"))
        assert answer_text(collect_events(engine, 3)[3]) == "Done."


def test_server_that_comes_back_closes_the_circuit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatsite.engine.remote.client.RECHECK_SECONDS", 0.05)
    with ModelServer(first()) as server:
        port, url = server.port, server.url
    with engine_at(url, "unknown") as (engine, client):
        engine.submit(question(1, "Go"))
        away = endpoints.EndpointUnreachableError(endpoint="box")
        assert finish(collect_events(engine, 1)[1]).error_message == away
        assert client.circuit
        assert client.circuit.error == away
        with ModelServer(first(), port):
            wait_until(lambda: client.circuit is None, what="The closed circuit")
            engine.submit(question(2, "Go"))
            assert answer_text(collect_events(engine, 2)[2]) == "Done."


def test_circuit_stays_open_twice_as_long_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("chatsite.engine.remote.circuit.time.monotonic", lambda: now)
    breaker, why, seen = CircuitBreaker(), endpoints.EndpointUnpaidError(endpoint="box"), []
    for _ in range(6):
        breaker.note_failure(why)
        breaker.note_failure(why)
        opened = breaker.find_open()
        assert opened
        seen.append(opened.seconds_left)
        now += opened.seconds_left
        assert breaker.find_open() is None
    assert seen == [30, 60, 120, 240, 300, 300]
    breaker.note_success()
    breaker.note_failure(why)
    reopened = breaker.find_open()
    assert reopened
    assert reopened.seconds_left == 30


def test_silence_is_named_with_its_length() -> None:
    for reply in ([SILENCE], [head(), SILENCE], [head(), b": ping\n\n", event(delta("Do")), SILENCE]):
        events, _ = ask(
            with_models(lambda _, reply=reply: reply, MODEL),  # type: ignore[misc]
            timeouts=replace(QUICK, gap=0.1),
            first_byte_seconds=0.1,
            capabilities={"continue": {MODEL: False}},
        )
        assert isinstance(finish(events).error_message, endpoints.EndpointSilentError)


def test_pings_without_text_do_not_keep_an_answer_waiting_for_ever() -> None:
    def ping(_: HttpRequest) -> Iterator[object]:
        yield head()
        while True:
            yield b": keep-alive\n\n"
            time.sleep(0.005)

    events, _ = ask(with_models(ping, MODEL), timeouts=replace(QUICK, text=0.1))
    assert isinstance(finish(events).error_message, endpoints.EndpointSilentError)


def test_answer_ends_when_its_time_is_over() -> None:
    def slow(_: HttpRequest) -> Iterator[object]:
        yield head()
        while True:
            yield event(delta("more "))
            time.sleep(0.005)

    with ModelServer(with_models(slow, MODEL)) as server, engine_at(server.url, "unknown") as (engine, _):
        engine.submit(question(1, "Go", seconds=0.3))
        events = collect_events(engine, 1)[1]
        assert finish(events).reason is FinishReason.DEADLINE
        assert answer_text(events).startswith("more more ")
        assert server.asked("/chat/completions")[0].was_abandoned.wait(10)


@pytest.mark.parametrize("thinks", [True, False])
def test_server_that_does_not_stop_is_stopped(thinks: bool) -> None:
    endless = [head(), *[event(delta("more "))] * 3000, SILENCE]
    if not thinks:
        # One that keeps to its limit of tokens is trusted with it, but not with any length of text.
        endless = [head(), *[event(delta("more " * 1000))] * 3000, SILENCE]
    reply, known = with_models(lambda _: endless, MODEL), {"thinks": {MODEL: thinks}}
    with ModelServer(reply) as server, engine_at(server.url, "unknown", capabilities=known) as (engine, _):
        engine.submit(question(1, "Go", max_new_tokens=10))
        events = collect_events(engine, 1)[1]
    assert finish(events).reason is FinishReason.LENGTH
    assert answer_text(events) == "more " * 10 if thinks else len(answer_text(events)) < 20_000


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("stop", FinishReason.END),
        ("eos", FinishReason.END),
        ("tool_calls", FinishReason.END),
        ("length", FinishReason.LENGTH),
        ("MAX_TOKENS", FinishReason.LENGTH),
    ],
)
def test_words_for_the_end(word: str, reason: FinishReason) -> None:
    events, _ = ask(first([head(), event(delta("Done")), event(delta(finish=word))]))
    assert (answer_text(events), finish(events).reason) == ("Done", reason)


def test_filtered_answer_ends_with_a_sentence_and_its_text() -> None:
    events, _ = ask(first([head(), event(delta("Do")), event(delta(finish="content_filter"))]))
    assert answer_text(events) == "Do"
    assert finish(events).error_message == endpoints.EndpointFilteredError(endpoint="box")


def test_empty_reason_is_one_only_at_the_end() -> None:
    everywhere = [event(delta(word, finish="")) for word in DONE]
    for last in ([b"data: [DONE]\n\n"], [event(delta(finish=""))]):
        events, _ = ask(first([head(), *everywhere, *last]))
        assert (answer_text(events), finish(events).reason) == ("Done.", FinishReason.END)
    events, _ = ask(first([head(), *everywhere]), capabilities={"continue": {MODEL: False}})
    assert finish(events).error_message == endpoints.EndpointCutOffError(endpoint="box")


def test_what_no_database_stores_is_replaced() -> None:
    raw: list[object] = [head()]
    for piece in ("a\0b", "\ud83e", "\udd8a", "\udd8a."):
        escaped = "".join(f"\\u{ord(character):04x}" for character in piece)
        raw.append(f'data: {{"choices": [{{"delta": {{"content": "{escaped}"}}}}]}}\n\n'.encode())
    events, _ = ask(first([*raw, event(delta(finish="stop"))]))
    assert answer_text(events) == "a\ufffdb\U0001f98a\ufffd."


def test_thoughts_in_tags_are_told_from_the_answer() -> None:
    tagged = [event(delta(piece)) for piece in ("<th", "ink>Let me", " see.</thi", "nk>\n\nDone", ".")]
    events, _ = ask(first([head(), *tagged, event(delta(finish="stop"))]))
    assert answer_text(events) == "Done."


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
    assert KEY not in everything
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


def test_certificates_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    endpoint = Endpoint("box", "https://a/v1", ca_file=tmp_path / "none.pem")
    with pytest.raises(endpoints.EndpointCertificatesError, match=r"none\.pem"):
        EndpointClient(endpoint, "")


def test_engine_needs_a_model_of_an_endpoint() -> None:
    entry = make_entry(Endpoint("box", "http://a/v1"), RemoteModel(MODEL))
    with engine_at("http://127.0.0.1:1/v1") as (_, client), pytest.raises(TypeError):
        RemoteEngine(replace(entry, source=None), client)


def test_empty_question_is_refused() -> None:
    with ModelServer(first()) as server, engine_at(server.url, "unknown") as (engine, _):
        engine.submit(Request(1, (Turn("user", " "),)))
        assert finish(collect_events(engine, 1)[1]).error_message is not None
        assert not server.asked("/chat/completions")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ([head(404, "text/html"), b"<html>"], endpoints.EndpointGarbageError),
        ([head(200, "text/html"), b"<html>"], endpoints.EndpointGarbageError),
        (json_reply(3), endpoints.EndpointGarbageError),
        (error(401), endpoints.EndpointKeyRejectedError),
        (error(503, "Loading model"), endpoints.EndpointBrokeError),
        ([head(301, Location="http://127.0.0.1:1/")], endpoints.EndpointRedirectError),
        ([SILENCE], endpoints.EndpointSilentError),
        ([RESET], endpoints.EndpointCutOffError),
    ],
)
def test_probe_says_what_is_wrong(reply: list[object], kind: type[ChatsiteError]) -> None:
    timeouts = replace(QUICK, short=0.5)
    with ModelServer(lambda _: reply) as server, engine_at(server.url, timeouts=timeouts) as (_, client):
        with pytest.raises(kind):
            client.probe()
        assert client.report is None
