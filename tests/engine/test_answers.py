"""What is told of an answer while it is written: drafts, stops, and what becomes of beams when many wait."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from chatsite.engine import Delta, Draft, Event, Finish, FinishReason, Request, Started
from chatsite.engine.decoding import presets
from chatsite.engine.decoding.batching import BUSY
from chatsite.engine.decoding.speaker import Speaker, open_speaker
from chatsite.engine.decoding.stops import Stops
from chatsite.engine.weights import Weights
from tests.engine import support

PLENTY = 1 << 50
FREE: dict[str, Any] = {"no_repeat_ngram": 0, "encoder_no_repeat_ngram": 0, "min_new_tokens": 0}


@pytest.fixture(scope="module")
def speaker(folder: Path) -> Speaker:
    """A tiny model that has learnt its lessons, of either family."""
    return open_speaker("tiny", Weights(folder, "1"), "fp32")


def say(speaker: Speaker, *asked: Request) -> dict[int, list[Event]]:
    """All events of some requests that come together."""
    batch = speaker.batch(PLENTY)
    events = [event for one in asked for event in batch.take(one)]
    while batch.busy:
        events += batch.advance(())
    return {one.id: [event for event in events if event.request_id == one.id] for one in asked}


@pytest.mark.parametrize("question", list(support.LESSONS))
def test_drafts_are_whole_characters_and_the_last_one_is_the_answer(speaker: Speaker, question: str) -> None:
    events = say(speaker, support.ask(question, beams=3, **FREE))[1]
    started, *drafts, finish = events
    assert isinstance(started, Started)
    assert started.receipt.options["beams"] == 3
    assert all(isinstance(draft, Draft) and draft.tokens == 1 for draft in drafts)
    texts = [draft.text for draft in drafts if isinstance(draft, Draft)]
    assert texts[-1] == support.LESSONS[question]
    assert not any("�" in text or text.startswith(" ") for text in texts)
    assert finish == Finish(1, FinishReason.END)


def test_drafts_go_on_after_the_prefix(speaker: Speaker) -> None:
    question, answer = next(iter(support.LESSONS.items()))
    for prefix in ("The capital of France", "The capital of France "):
        events = say(speaker, support.ask(question, prefix=prefix, beams=3, **FREE))[1]
        drafts = [event.text for event in events if isinstance(event, Draft)]
        assert prefix + drafts[-1] == answer


def test_a_stop_is_never_told(speaker: Speaker) -> None:
    question, answer = next(iter(support.LESSONS.items()))
    wishes: list[dict[str, Any]] = [{"temperature": 0.0}, {"beams": 3}]
    for stop, left in (
        ("Paris", "The capital of France is "),
        ("is Paris, a l", "The capital of France "),
        ("?", answer),
    ):
        for wish in wishes:
            events = say(speaker, support.ask(question, stop=("never", stop), **wish, **FREE))[1]
            drafts = [event.text for event in events if isinstance(event, Draft)]
            assert (drafts[-1] if drafts else support.text_of(events)) == left
            assert not any(stop in text for text in drafts)
            assert support.finish_of(events).reason is FinishReason.END


def test_what_is_held_back_for_a_stop_is_told_at_the_end(speaker: Speaker) -> None:
    question, answer = next(iter(support.LESSONS.items()))
    asked = support.ask(question, stop=(answer[4:] + " And",), temperature=0.0, **FREE)
    events = say(speaker, asked)[1]
    assert support.text_of(events) == answer
    assert events[-2] == Delta(1, answer[4:], 0)


@pytest.mark.parametrize("wish", ["int8", "bf16"])
def test_beams_say_what_was_learnt_in_other_precisions_too(folder: Path, wish: str) -> None:
    speaker = open_speaker("tiny", Weights(folder, "1"), wish)
    asked = [support.ask(question, number=number, beams=4, **FREE) for number, question in enumerate(support.LESSONS)]
    found = say(speaker, *asked)
    for number, answer in enumerate(support.LESSONS.values()):
        drafts = [event.text for event in found[number] if isinstance(event, Draft)]
        assert drafts[-1] == answer


def test_a_wish_that_cannot_be_computed_is_an_error_of_that_request(speaker: Speaker) -> None:
    question, answer = next(iter(support.LESSONS.items()))
    odd = support.ask(question, number=1, beams=3, length_penalty=1e9, **FREE)
    found = say(speaker, odd, support.ask(question, number=2, beams=3, **FREE))
    assert support.finish_of(found[1]).reason is FinishReason.ERROR
    assert [event.text for event in found[2] if isinstance(event, Draft)][-1] == answer
    assert speaker.stepper.rows == []


@pytest.mark.parametrize("chance", [random.Random(seed) for seed in range(30)])
def test_stops_do_not_depend_on_how_a_text_comes(chance: random.Random) -> None:
    text = "".join(chance.choice("abc") for _ in range(30))
    stops = ["".join(chance.choice("abc") for _ in range(chance.randrange(1, 5))) for _ in range(2)]
    one, told = Stops(stops), ""
    first = min((end for end in range(len(text) + 1) if any(stop in text[:end] for stop in stops)), default=None)
    whole = text if first is None else text[: min(text.index(stop) for stop in stops if stop in text[:first])]
    for piece in text:
        told += one.push(piece)
        assert whole.startswith(told)
    assert one.ended is (first is not None)
    assert told + one.rest() == whole


def test_beams_that_nobody_asked_for_are_left_when_many_wait(speaker: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(presets.FAMILIES, speaker.checkpoint.family, presets.FAMILIES["blenderbot"])
    question = next(iter(support.LESSONS))
    asked = [support.ask(question, number=number, max_new_tokens=8) for number in range(BUSY + 3)]
    asked.append(support.ask(question, number=20, max_new_tokens=8, beams=3))
    settled = {number: support.receipt_of(events).options for number, events in say(speaker, *asked).items()}
    quiet, busy, wished = settled[BUSY], settled[BUSY + 1], settled[20]
    assert (quiet["beams"], quiet.get("fallback")) == (10, None)
    assert (busy["beams"], busy["fallback"], busy["temperature"]) == (1, "busy", 0.7)
    assert (wished["beams"], wished.get("fallback")) == (3, None)
