"""What is told of an answer while it is written: drafts, stops, and what becomes of beams when many wait."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from chatsite.engine.downloads.weights import Weights
from chatsite.engine.inference.loaded_model import LoadedModel, load_model
from chatsite.engine.inference.sampling import params
from chatsite.engine.inference.scheduler import MAX_REQUESTS_WITH_BEAMS
from chatsite.engine.inference.stop_strings import StopStringFilter
from chatsite.engine.types import Delta, Event, Finish, FinishReason, ProvisionalText, Request, Started
from tests.support import trained_models

PLENTY = 1 << 50
FREE: dict[str, Any] = {"no_repeat_ngram": 0, "encoder_no_repeat_ngram": 0, "min_new_tokens": 0}


@pytest.fixture(scope="module")
def loaded_model(folder: Path) -> LoadedModel:
    """A tiny model that has learnt its lessons, of either family."""
    return load_model("tiny", Weights(folder, "1"), "fp32")


def say(loaded: LoadedModel, *asked: Request) -> dict[int, list[Event]]:
    """All events of some requests that come together."""
    batch = loaded.create_scheduler(PLENTY)
    events = [event for one in asked for event in batch.add_request(one)]
    while batch.has_work:
        events += batch.run_step(())
    return {one.id: [event for event in events if event.request_id == one.id] for one in asked}


@pytest.mark.parametrize("question", list(trained_models.LESSONS))
def test_drafts_have_whole_characters_and_last_is_answer(loaded_model: LoadedModel, question: str) -> None:
    events = say(loaded_model, trained_models.make_request(question, beams=3, **FREE))[1]
    started, *drafts, finish = events
    assert isinstance(started, Started)
    assert started.report.options["beams"] == 3
    assert all(isinstance(draft, ProvisionalText) and draft.token_count == 1 for draft in drafts)
    texts = [draft.text for draft in drafts if isinstance(draft, ProvisionalText)]
    assert texts[-1] == trained_models.LESSONS[question]
    assert not any("�" in text or text.startswith(" ") for text in texts)
    assert finish == Finish(1, FinishReason.END)


def test_drafts_continue_after_prefix(loaded_model: LoadedModel) -> None:
    question, answer = next(iter(trained_models.LESSONS.items()))
    for prefix in ("The capital of France", "The capital of France "):
        events = say(loaded_model, trained_models.make_request(question, prefix=prefix, beams=3, **FREE))[1]
        drafts = [event.text for event in events if isinstance(event, ProvisionalText)]
        assert prefix + drafts[-1] == answer


def test_stop_string_is_never_emitted(loaded_model: LoadedModel) -> None:
    question, answer = next(iter(trained_models.LESSONS.items()))
    choices: list[dict[str, Any]] = [{"temperature": 0.0}, {"beams": 3}]
    for stop, left in (
        ("Paris", "The capital of France is "),
        ("is Paris, a l", "The capital of France "),
        ("?", answer),
    ):
        for requested in choices:
            events = say(
                loaded_model, trained_models.make_request(question, stop=("never", stop), **requested, **FREE)
            )[1]
            drafts = [event.text for event in events if isinstance(event, ProvisionalText)]
            assert (drafts[-1] if drafts else trained_models.text_of(events)) == left
            assert not any(stop in text for text in drafts)
            assert trained_models.finish_of(events).reason is FinishReason.END


def test_text_held_back_for_stop_string_is_flushed(loaded_model: LoadedModel) -> None:
    question, answer = next(iter(trained_models.LESSONS.items()))
    asked = trained_models.make_request(question, stop=(answer[4:] + " And",), temperature=0.0, **FREE)
    events = say(loaded_model, asked)[1]
    assert trained_models.text_of(events) == answer
    assert events[-2] == Delta(1, answer[4:], 0)


@pytest.mark.parametrize("requested", ["int8", "bf16"])
def test_beam_search_works_in_other_precisions(folder: Path, requested: str) -> None:
    loaded = load_model("tiny", Weights(folder, "1"), requested)
    asked = [
        trained_models.make_request(question, number=number, beams=4, **FREE)
        for number, question in enumerate(trained_models.LESSONS)
    ]
    found = say(loaded, *asked)
    for number, answer in enumerate(trained_models.LESSONS.values()):
        drafts = [event.text for event in found[number] if isinstance(event, ProvisionalText)]
        assert drafts[-1] == answer


def test_uncomputable_option_fails_only_its_request(loaded_model: LoadedModel) -> None:
    question, answer = next(iter(trained_models.LESSONS.items()))
    odd = trained_models.make_request(question, number=1, beams=3, length_penalty=1e9, **FREE)
    found = say(loaded_model, odd, trained_models.make_request(question, number=2, beams=3, **FREE))
    assert trained_models.finish_of(found[1]).reason is FinishReason.ERROR
    assert [event.text for event in found[2] if isinstance(event, ProvisionalText)][-1] == answer
    assert loaded_model.executor.running_groups == []


@pytest.mark.parametrize("chance", [random.Random(seed) for seed in range(30)])
def test_stop_strings_are_independent_of_chunking(chance: random.Random) -> None:
    text = "".join(chance.choice("abc") for _ in range(30))
    stops = ["".join(chance.choice("abc") for _ in range(chance.randrange(1, 5))) for _ in range(2)]
    one, told = StopStringFilter(stops), ""
    first = min((end for end in range(len(text) + 1) if any(stop in text[:end] for stop in stops)), default=None)
    whole = text if first is None else text[: min(text.index(stop) for stop in stops if stop in text[:first])]
    for piece in text:
        told += one.push_text(piece)
        assert whole.startswith(told)
    assert one.is_stopped is (first is not None)
    assert told + one.flush_text() == whole


def test_default_beams_are_dropped_when_busy(loaded_model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(params.FAMILY_DEFAULTS, loaded_model.checkpoint.family, params.FAMILY_DEFAULTS["blenderbot"])
    question = next(iter(trained_models.LESSONS))
    asked = [
        trained_models.make_request(question, number=number, max_new_tokens=8)
        for number in range(MAX_REQUESTS_WITH_BEAMS + 3)
    ]
    asked.append(trained_models.make_request(question, number=20, max_new_tokens=8, beams=3))
    finished = {
        number: trained_models.report_of(events).options for number, events in say(loaded_model, *asked).items()
    }
    quiet, busy, with_beams = finished[MAX_REQUESTS_WITH_BEAMS], finished[MAX_REQUESTS_WITH_BEAMS + 1], finished[20]
    assert (quiet["beams"], quiet.get("fallback")) == (10, None)
    assert (busy["beams"], busy["fallback"], busy["temperature"]) == (1, "busy", 0.7)
    assert (with_beams["beams"], with_beams.get("fallback")) == (3, None)
