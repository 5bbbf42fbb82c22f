"""What the tests of remote engines share: an engine on a server, and a look at what it said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from chatsite.engine.catalog.endpoints import Endpoint, RemoteModel, make_entry
from chatsite.engine.remote.client import EndpointClient, Timeouts
from chatsite.engine.remote.engine import RemoteEngine
from chatsite.engine.types import (
    Delta,
    Event,
    Finish,
    GenerationOptions,
    PromptReport,
    ProvisionalText,
    Reasoning,
    Request,
    Restarted,
    Started,
    Turn,
)
from tests.support.model_server import HttpRequest, ModelServer, Reply, head, json_reply, openai_stream, with_models
from tests.support.trained_models import collect_events

MODEL = "m"
DONE = ["Done", "."]
# So short that nobody waits for it, and longer than a busy machine needs for what is not about time.
QUICK = Timeouts(first_pause=0.001, loading_pause=0.001)


@contextmanager
def engine_at(
    url: str,
    family: str = "",
    *,
    key: str = "",
    timeouts: Timeouts = QUICK,
    capabilities: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Iterator[tuple[RemoteEngine, EndpointClient]]:
    """An engine for the model `m` of an endpoint, and its client, closed at the end."""
    endpoint = Endpoint("box", url, family=family, **{"max_answers": 16, **settings})
    client = EndpointClient(endpoint, key, capabilities, timeouts=timeouts)
    engine = RemoteEngine(make_entry(endpoint, RemoteModel(MODEL)), client)
    try:
        yield engine, client
    finally:
        engine.close()
        client.close()


def question(number: int, text: str, prefix: str = "", **options: Any) -> Request:
    """A request that asks one question."""
    return Request(number, (Turn("user", text),), GenerationOptions(**options), prefix=prefix)


def answer_text(events: list[Event]) -> str:
    """The answer that the events make, without what was thought."""
    text = ""
    for event in events:
        if isinstance(event, Delta):
            text += event.text
        elif isinstance(event, ProvisionalText | Restarted):
            text = event.text if isinstance(event, ProvisionalText) else ""
    return text


def reasoning_text(events: list[Event]) -> str:
    """What was thought."""
    last_restart = max((i for i, event in enumerate(events) if isinstance(event, Restarted)), default=0)
    return "".join(event.text for event in events[last_restart:] if isinstance(event, Reasoning))


def reports(events: list[Event]) -> list[PromptReport]:
    """The prompt reports, in their order."""
    return [event.report for event in events if isinstance(event, Started)]


def token_count(events: list[Event]) -> int:
    """The tokens of all events."""
    return sum(event.token_count for event in events if isinstance(event, Delta | ProvisionalText | Reasoning))


def finish(events: list[Event]) -> Finish:
    """The end, which is the last event."""
    last = events[-1]
    assert isinstance(last, Finish)
    return last


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
