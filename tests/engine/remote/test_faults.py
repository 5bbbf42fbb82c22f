"""A server that fails at any byte of its reply, in any form: the answer is whole, or failed with its text kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from chatsite.engine.remote.client import Timeouts
from chatsite.engine.types import Delta, Event, FinishReason
from chatsite.errors import endpoints
from tests.engine.remote.reply_forms import FORMS, WHOLE, ReplyForm
from tests.engine.remote.support import MODEL, QUICK, answer_text, engine_at, finish, question, reasoning_text
from tests.support.model_server import (
    RESET,
    SILENCE,
    HttpRequest,
    ModelServer,
    event,
    head,
    json_reply,
    openai_stream,
    with_models,
    words_of,
)
from tests.support.trained_models import collect_events

GARBAGE = b'\x00\xff{"<'
# Which answers of an engine are asked for at once; more would only wait.
ANSWERS_AT_ONCE = 100


class FaultServer:
    """Fails in its first reply to each question, which says how and where; then it answers, from the prefix on."""

    def __init__(self, form: ReplyForm) -> None:
        self._form = form
        self._raw = form.whole
        self._is_asked: set[str] = set()

    def reply(self, request: HttpRequest) -> Iterator[object]:
        """The next reply to a question."""
        if "messages" not in request.body:
            # What Ollama is asked about its models.
            yield from json_reply({})
            return
        asked = request.body["messages"][0]["content"]
        if asked not in self._is_asked:
            self._is_asked.add(asked)
            kind, position = asked.split(" ")
            yield from self._fail(kind, int(position))
            return
        last = request.body["messages"][-1]
        written = last["content"] if last["role"] == "assistant" else ""
        assert WHOLE.startswith(written)
        yield self._form.write(words_of(WHOLE[len(written) :]))

    def _fail(self, kind: str, position: int) -> Iterator[object]:
        """The reply with a fault at a byte."""
        yield self._raw[:position]
        if kind == "reset":
            yield RESET
        elif kind == "garbage":
            yield GARBAGE + self._raw[position:]
        elif kind == "silence":
            yield SILENCE


@pytest.fixture(params=FORMS, ids=lambda form: form.name)
def form(request: pytest.FixtureRequest) -> ReplyForm:
    """Each form of replies."""
    form: ReplyForm = request.param
    return form


@pytest.fixture(
    params=["some bytes", pytest.param("every byte", marks=[pytest.mark.exhaustive, pytest.mark.timeout(1800)])]
)
def positions(request: pytest.FixtureRequest, form: ReplyForm) -> Sequence[int]:
    """The bytes at which the server fails."""
    return range(len(form.whole)) if request.param == "every byte" else form.sample_positions()


def ask_all(
    form: ReplyForm, positions: Sequence[int], kind: str, *, continues: bool, timeouts: Timeouts = QUICK
) -> dict[int, list[Event]]:
    """The events of one answer for each byte at which the server fails."""
    known = {"continue": {MODEL: continues}, "thinks": {MODEL: bool(form.thought)}}
    settings = {"capabilities": known, "max_answers": ANSWERS_AT_ONCE}
    if timeouts is not QUICK:
        settings["first_byte_seconds"] = timeouts.gap
    with (
        ModelServer(with_models(FaultServer(form).reply, MODEL)) as server,
        engine_at(server.url, form.family, timeouts=timeouts, **settings) as (engine, _),  # type: ignore[arg-type]
    ):
        for position in positions:
            engine.submit(question(position, f"{kind} {position}"))
        return collect_events(engine, *positions, seconds=240)


@pytest.mark.parametrize("kind", ["end", "reset", "garbage"])
def test_server_that_continues_leaves_nothing_out_and_repeats_nothing(
    form: ReplyForm, positions: Sequence[int], kind: str
) -> None:
    for position, events in ask_all(form, positions, kind, continues=True).items():
        if kind == "garbage" and is_lost_at_first(events):
            continue
        assert (answer_text(events), finish(events).error_message) == (WHOLE, None), position
        assert reasoning_text(events).strip() == form.thought, position


@pytest.mark.parametrize("kind", ["end", "garbage"])
def test_server_that_does_not_continue_keeps_the_text_and_the_reason(
    form: ReplyForm, positions: Sequence[int], kind: str
) -> None:
    outcomes = set()
    for position, events in ask_all(form, positions, kind, continues=False).items():
        text, error = answer_text(events), finish(events).error_message
        assert WHOLE.startswith(text), position
        assert (error is None) == (text == WHOLE and finish(events).reason is FinishReason.END), position
        assert error is None or isinstance(error, endpoints.EndpointError), position
        outcomes.add((text == WHOLE, error is None))
        if position >= form.whole_from and kind != "garbage":
            assert error is None, position
    assert (True, True) in outcomes
    assert (False, False) in outcomes or not form.streams


def test_silence_at_any_byte_ends(form: ReplyForm, positions: Sequence[int]) -> None:
    timeouts = Timeouts(gap=0.2, first_pause=0.001)
    for position, events in ask_all(form, positions, "silence", continues=True, timeouts=timeouts).items():
        text, error = answer_text(events), finish(events).error_message
        assert WHOLE.startswith(text), position
        assert (text == WHOLE) if error is None else isinstance(error, endpoints.EndpointSilentError), position


def is_lost_at_first(events: list[Event]) -> bool:
    """Whether the garbage came before any text, so that nobody asks again: it may be no server of models."""
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
