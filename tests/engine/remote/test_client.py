"""One endpoint: retries, limits, the circuit, and Stop."""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from chatsite.engine.catalog.endpoints import Endpoint, RemoteModel, make_entry
from chatsite.engine.remote.circuit import CircuitBreaker
from chatsite.engine.remote.client import EndpointClient, Timeouts
from chatsite.engine.remote.engine import RemoteEngine
from chatsite.engine.remote.failures import parse_retry_after, pause_seconds
from chatsite.engine.remote.limiter import AnswerLimiter
from chatsite.engine.types import Delta, Finish, FinishReason, Request, Turn
from chatsite.errors import ChatsiteError, endpoints
from tests.engine.remote.support import (
    DONE,
    MODEL,
    QUICK,
    answer_text,
    ask,
    engine_at,
    error,
    finish,
    first,
    question,
    reports,
)
from tests.support.model_server import (
    RESET,
    SILENCE,
    HttpRequest,
    ModelServer,
    delta,
    event,
    head,
    json_reply,
    openai_stream,
    with_models,
)
from tests.support.served_site import wait_until
from tests.support.trained_models import collect_events


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
            assert finish(engine.poll_events(1.0)).reason is FinishReason.CANCELED
            [asked] = server.asked("/chat/completions")
            assert asked.was_abandoned.wait(10), "The server goes on, and bills."


def test_nothing_comes_after_the_end() -> None:
    endless = [head(), *[event(delta("more "))] * 10_000, SILENCE]
    with ModelServer(with_models(lambda _: endless, MODEL)) as server, engine_at(server.url, "unknown") as (engine, _):
        engine.submit(question(1, "Go", max_new_tokens=100_000))
        wait_until(lambda: any(isinstance(each, Delta) for each in engine.poll_events(0.1)), what="The text")
        engine.cancel(1)
        engine.cancel(1)
        assert finish(engine.poll_events(1.0)).reason is FinishReason.CANCELED
        assert engine.poll_events(0.3) == []


def test_request_that_waits_for_a_place_can_be_stopped() -> None:
    reply = with_models(lambda _: [SILENCE], MODEL)
    with ModelServer(reply) as server, engine_at(server.url, "unknown", max_answers=1) as (engine, _):
        engine.submit(question(1, "Go"))
        wait_until(lambda: server.asked("/chat/completions"), what="The request")
        engine.submit(question(2, "Go"))
        for number in (2, 1):
            engine.cancel(number)
            assert finish(engine.poll_events(1.0)) == Finish(number, FinishReason.CANCELED)
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


def test_places_are_given_in_the_order_of_asking() -> None:
    async def take_turns() -> str:
        limiter, order, may_end = AnswerLimiter(1), "", asyncio.Event()

        async def hold(name: str) -> None:
            nonlocal order
            async with limiter.hold_place():
                order += name
                await may_end.wait()

        tasks = [asyncio.create_task(hold(name)) for name in "axb"]
        await asyncio.sleep(0)
        tasks[1].cancel()
        may_end.set()
        await tasks[0]
        # The place is that of b already, whoever comes now.
        tasks += [asyncio.create_task(hold(name)) for name in "cd"]
        await asyncio.gather(*tasks, return_exceptions=True)
        return order

    assert asyncio.run(take_turns()) == "abcd"


def test_compressed_reply_is_not_unpacked() -> None:
    events, _ = ask(with_models(lambda _: [head(Content_Encoding="br"), b"\x00" * 100], MODEL))
    assert finish(events).error_message == endpoints.EndpointGarbageError(endpoint="box")
