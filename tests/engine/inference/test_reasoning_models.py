"""Models that think before they answer: what they think comes as events of its own, and has a bound of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatsite.engine.downloads.weights import Weights
from chatsite.engine.inference.loaded_model import LoadedModel, load_model
from chatsite.engine.types import Delta, Event, FinishReason, ProvisionalText, Reasoning, Request, Started
from tests.support import trained_models
from tests.support.thinking_models import THOUGHT, make_thinking_model
from tests.support.trained_models import LESSONS, make_request

PLENTY = 1 << 50
QUESTION, ANSWER = next(iter(LESSONS.items()))


@pytest.fixture(scope="module", params=["", "<think>\n"], ids=["opens itself", "opened by the template"])
def thinking_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A tiny model that has learnt to think first."""
    folder = make_thinking_model(tmp_path_factory.mktemp("thinking") / "model", request.param)
    return load_model("tiny", Weights(folder, "1"), "fp32")


def say(loaded: LoadedModel, asked: Request) -> list[Event]:
    """All events of a request."""
    batch = loaded.create_scheduler(PLENTY)
    events = list(batch.add_request(asked))
    while batch.has_work:
        events += batch.run_step(())
    return events


def reasoning_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Reasoning))


def test_model_has_a_speed(thinking_model: LoadedModel) -> None:
    assert thinking_model.tokens_per_second > 0


def test_reasoning_and_answer_are_told_apart(thinking_model: LoadedModel) -> None:
    events = say(thinking_model, make_request(QUESTION, temperature=0.0))
    assert reasoning_of(events) == THOUGHT
    assert trained_models.text_of(events) == ANSWER
    assert trained_models.finish_of(events).reason is FinishReason.END
    kinds = [type(event) for event in events if isinstance(event, Delta | Reasoning) and event.text]
    assert kinds == sorted(kinds, key=lambda kind: kind is Delta)
    # Each token counts once: those of the tags belong to the reasoning.
    encode = thinking_model.checkpoint.tokenizer
    answer_tokens = sum(event.token_count for event in events if isinstance(event, Delta))
    assert answer_tokens == len(thinking_model.prompt_format.encode_prefix(ANSWER))
    reasoning_tokens = sum(event.token_count for event in events if isinstance(event, Reasoning))
    assert reasoning_tokens >= len(encode(f"\n{THOUGHT}\n</think>\n\n", add_special_tokens=False)["input_ids"]) - 2


def test_limit_of_the_answer_does_not_count_reasoning(thinking_model: LoadedModel) -> None:
    events = say(thinking_model, make_request(QUESTION, temperature=0.0, max_new_tokens=5))
    assert reasoning_of(events) == THOUGHT
    assert ANSWER.startswith(trained_models.text_of(events))
    assert sum(event.token_count for event in events if isinstance(event, Delta)) == 5
    assert trained_models.finish_of(events).reason is FinishReason.LENGTH
    [started] = [event for event in events if isinstance(event, Started)]
    assert started.report.options["max_new_tokens"] == 5


def test_model_that_thinks_for_too_long_is_made_to_answer(thinking_model: LoadedModel) -> None:
    events = say(thinking_model, make_request(QUESTION, temperature=0.0, max_reasoning_tokens=6))
    reasoning = reasoning_of(events)
    assert 0 < len(reasoning) < len(THOUGHT)
    assert THOUGHT.startswith(reasoning)
    assert trained_models.text_of(events)
    end_tokens = len(thinking_model.prompt_format.reasoning_end_ids())
    assert sum(event.token_count for event in events if isinstance(event, Reasoning)) <= 6 + end_tokens


def test_model_whose_template_knows_no_reasoning_is_understood(tmp_path: Path) -> None:
    folder = make_thinking_model(tmp_path / "model", "")
    # As of a model that was trained on: only the weights know of it.
    for template in folder.glob("chat_template*"):
        template.write_text(trained_models.CHATML, "utf-8")
    loaded = load_model("tiny", Weights(folder, "1"), "fp32")
    assert loaded.prompt_format.reasoning_end_ids() == ()
    events = say(loaded, make_request(QUESTION, temperature=0.0))
    assert (reasoning_of(events), trained_models.text_of(events)) == (THOUGHT, ANSWER)
    # Both are within the one limit that there is.
    events = say(loaded, make_request(QUESTION, temperature=0.0, max_new_tokens=8))
    assert THOUGHT.startswith(reasoning_of(events))
    assert trained_models.text_of(events) == ""
    assert trained_models.finish_of(events).reason is FinishReason.LENGTH


def test_continued_answer_is_not_thought_about(thinking_model: LoadedModel) -> None:
    prefix = ANSWER[:21]
    events = say(thinking_model, make_request(QUESTION, prefix=prefix, temperature=0.0, max_new_tokens=20))
    assert reasoning_of(events) == ""
    assert trained_models.text_of(events)
    assert "think>" not in trained_models.text_of(events)


def test_beam_search_tells_reasoning_once_it_is_decided(thinking_model: LoadedModel) -> None:
    events = say(thinking_model, make_request(QUESTION, beams=2))
    assert [event.text for event in events if isinstance(event, Reasoning)] == [THOUGHT]
    drafts = [event.text for event in events if isinstance(event, ProvisionalText)]
    assert drafts[-1] == ANSWER
    assert not any("think>" in draft or THOUGHT[:9] in draft for draft in drafts)


def test_stop_string_is_looked_for_in_the_answer_alone(thinking_model: LoadedModel) -> None:
    events = say(thinking_model, make_request(QUESTION, temperature=0.0, stop=("city",)))
    assert reasoning_of(events) == THOUGHT
    assert trained_models.text_of(events) == ANSWER.partition("city")[0]
