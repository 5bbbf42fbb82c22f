"""What a reply becomes: how it ends, how long it may get, and what of it is text, and of a probe."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chatsite.engine.types import FinishReason
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
)
from tests.support.model_server import (
    RESET,
    SILENCE,
    ModelServer,
    delta,
    event,
    head,
    json_reply,
    with_models,
)
from tests.support.trained_models import collect_events


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
    tagged = [event(delta(piece)) for piece in ("<th", "ink>Let me", " see.</", "think>\n\nDone", ".")]
    events, _ = ask(first([head(), *tagged, event(delta(finish="stop"))]))
    assert answer_text(events) == "Done."


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
    # On a busy machine only silence is as long as that.
    timeouts = replace(QUICK, short=0.5) if reply == [SILENCE] else QUICK
    with ModelServer(lambda _: reply) as server, engine_at(server.url, timeouts=timeouts) as (_, client):
        with pytest.raises(kind):
            client.probe()
        assert client.report is None
