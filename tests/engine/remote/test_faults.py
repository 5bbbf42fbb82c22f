"""A server that fails at every byte of its reply: the answer is whole, or failed with its text kept."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chatsite.engine.remote.client import Timeouts
from chatsite.engine.types import Delta, Event, FinishReason
from chatsite.errors import ChatsiteError, endpoints
from tests.engine.remote.support import MODEL, QUICK, answer_text, engine_at, finish, question
from tests.support.model_server import (
    RESET,
    SILENCE,
    HttpRequest,
    ModelServer,
    event,
    head,
    openai_stream,
    usage,
    with_models,
    words_of,
)
from tests.support.trained_models import collect_events

# With characters of two, three and four bytes, and white space that must not get lost or doubled.
WHOLE = "Él — «uno» 🦊\n\n- two,  three"
GARBAGE = b'\x00\xff{"<'
CHUNKS: list[object] = [*({"choices": [{"delta": {"content": word}}]} for word in words_of(WHOLE))]
CHUNKS += [{"choices": [{"delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": usage(5, 9)}]
RAW = head() + b"".join(event(chunk) for chunk in CHUNKS) + b"data: [DONE]\n\n"
# A cut anywhere after the reason of the end leaves nothing out but the usage.
WHOLE_FROM = RAW.index(b"\n", RAW.index(b"stop")) + 1
KNOWN = {"continue": {MODEL: True}, "thinks": {MODEL: False}}


def fault(kind: str, position: int) -> Iterator[object]:
    """The reply with a fault at a byte."""
    yield RAW[:position]
    if kind == "reset":
        yield RESET
    elif kind == "garbage":
        yield GARBAGE + RAW[position:]
    elif kind == "silence":
        yield SILENCE


class FaultServer:
    """Fails in its first reply to each question, which says how and where; then it answers, from the prefix on."""

    def __init__(self) -> None:
        self.times: dict[str, int] = {}

    def reply(self, request: HttpRequest) -> Iterator[object]:
        """The next reply to a question."""
        asked = request.body["messages"][0]["content"]
        self.times[asked] = self.times.get(asked, 0) + 1
        if self.times[asked] == 1:
            kind, position = asked.split(" ")
            yield from fault(kind, int(position))
            return
        last = request.body["messages"][-1]
        written = last["content"] if last["role"] == "assistant" else ""
        assert WHOLE.startswith(written)
        yield head()
        yield from openai_stream(words_of(WHOLE[len(written) :]), usage(5, 9))


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """The server of faults."""
    with ModelServer(with_models(FaultServer().reply, MODEL)) as started:
        yield started


def ask_all(server: ModelServer, kind: str, timeouts: Timeouts = QUICK, **settings: object) -> dict[int, list[Event]]:
    """The events of one answer for each byte at which the server fails."""
    with engine_at(server.url, "unknown", timeouts=timeouts, **settings) as (engine, _):  # type: ignore[arg-type]
        for position in range(len(RAW)):
            engine.submit(question(position, f"{kind} {position}"))
        return collect_events(engine, *range(len(RAW)), seconds=240)


@pytest.mark.parametrize("kind", ["end", "reset", "garbage"])
def test_server_that_continues_leaves_nothing_out_and_repeats_nothing(server: ModelServer, kind: str) -> None:
    for position, events in ask_all(server, kind, capabilities=KNOWN).items():
        if kind == "garbage" and is_lost_in_head(events):
            continue
        assert (answer_text(events), finish(events).error_message) == (WHOLE, None), position


@pytest.mark.parametrize("kind", ["end", "garbage"])
def test_server_that_does_not_continue_keeps_the_text_and_the_reason(server: ModelServer, kind: str) -> None:
    known = {"continue": {MODEL: False}, "thinks": {MODEL: False}}
    outcomes = set()
    for position, events in ask_all(server, kind, capabilities=known).items():
        text, error = answer_text(events), finish(events).error_message
        assert WHOLE.startswith(text), position
        assert (error is None) == (text == WHOLE and finish(events).reason is FinishReason.END), position
        assert error is None or isinstance(error, endpoints.EndpointError), position
        outcomes.add((text == WHOLE, type(error)))
        if position >= WHOLE_FROM and kind != "garbage":
            assert error is None, position
    assert (True, type(None)) in outcomes
    assert any(not is_whole and issubclass(error, ChatsiteError) for is_whole, error in outcomes)


def test_silence_at_any_byte_ends(server: ModelServer) -> None:
    timeouts = Timeouts(gap=0.2, first_pause=0.001)
    settings = {"first_byte_seconds": 0.2, "max_answers": 100, "capabilities": KNOWN}
    found = ask_all(server, "silence", timeouts, **settings)
    for position, events in found.items():
        text, error = answer_text(events), finish(events).error_message
        assert WHOLE.startswith(text), position
        assert (text == WHOLE) if error is None else isinstance(error, endpoints.EndpointSilentError), position


def is_lost_in_head(events: list[Event]) -> bool:
    """Whether the garbage was in the head of the reply, which means whatever it then means: no text came of it."""
    error = finish(events).error_message
    return isinstance(error, endpoints.EndpointError) and not any(isinstance(each, Delta) for each in events)


def test_error_within_the_stream_is_the_reason_and_the_text_stays() -> None:
    def reply(request: HttpRequest) -> Iterator[object]:
        yield head()
        yield from list(openai_stream(["One,", " two,"]))[:-2]
        yield event({"error": {"message": "Out of memory", "code": 500}})

    with ModelServer(with_models(reply, MODEL)) as server, engine_at(server.url, "unknown") as (engine, _):
        engine.submit(question(1, "Count."))
        events = collect_events(engine, 1)[1]
    assert answer_text(events) == "One, two,"
    assert finish(events).error_message == endpoints.EndpointBrokeError(endpoint="box", detail="Out of memory")
