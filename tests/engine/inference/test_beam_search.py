"""Beam search against `generate`, token by token, in a batch where others come, go and are drawn."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import BlenderbotConfig, BlenderbotForConditionalGeneration, StoppingCriteriaList

from chatsite.engine.inference.executor import SequenceGroup
from chatsite.engine.inference.executors.blenderbot import BlenderbotExecutor
from chatsite.engine.inference.sampling.params import SamplingParams
from chatsite.engine.inference.scheduler import Scheduler
from chatsite.engine.types import Event, Finish, FinishReason, ProvisionalText, Started
from tests.support import trained_models
from tests.support.tiny_models import (
    END_TOKEN,
    TINY_MODEL_MAKERS,
    VOCABULARY_SIZE,
    StopStringCriteria,
    TinyModel,
    make_request,
    random_tokens,
    randomize_weights,
)

# A least length beyond the greatest is worth a try, and a warning of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:Unfeasible length constraints")


@pytest.fixture(scope="module", params=list(TINY_MODEL_MAKERS))
def model_benches(request: pytest.FixtureRequest) -> list[TinyModel]:
    """Models of one family that differ in their weights."""
    return [TINY_MODEL_MAKERS[request.param](seed) for seed in range(4)]


def some_choice(chance: random.Random) -> SamplingParams:
    """Settings of a search."""
    return SamplingParams(
        beams=chance.choice([2, 3, 4, 10]),
        length_penalty=chance.choice([0.0, 0.65, 1.0, 2.0, -0.5]),
        min_new_tokens=chance.choice([0, 5, 12]),
        no_repeat_ngram=chance.choice([0, 1, 2, 3]),
        encoder_no_repeat_ngram=chance.choice([0, 2, 3]),
        repetition_penalty=chance.choice([1.0, 1.0, 1.3]),
        forced_eos=chance.random() < 0.5,
        max_new_tokens=chance.choice([1, 2, 12, 20, 30]),
    )


def told(events: Sequence[Event]) -> list[int]:
    """The ids of the answer that was decided."""
    drafts = [event for event in events if isinstance(event, ProvisionalText)]
    return [int(word) for word in drafts[-1].text.split()]


def without_end(ids: list[int]) -> list[int]:
    """Ids up to the end token."""
    return ids[: ids.index(END_TOKEN)] if END_TOKEN in ids else ids


def expected_reason(ids: list[int], choice: SamplingParams) -> FinishReason:
    """Why an answer of `generate`'s ended."""
    full = len(ids) == choice.max_new_tokens
    return FinishReason.END if ids[-1] == END_TOKEN and not (full and choice.forced_eos) else FinishReason.LENGTH


@pytest.mark.parametrize("seed", range(40))
def test_beam_search_matches_generate(model_benches: list[TinyModel], seed: int) -> None:
    chance = random.Random(seed)
    bench, choice, prompt = (
        model_benches[seed % len(model_benches)],
        some_choice(chance),
        random_tokens(chance.randrange(1, 25), chance),
    )
    prefix = random_tokens(chance.choice([0, 0, 4]), chance)
    if prefix:
        # `generate` counts the least length from the end of the prefix, we from its beginning.
        choice = replace(choice, min_new_tokens=0)
    theirs = bench.run_generate(prompt, choice, prefix)
    events = bench.run_engine(prompt, choice, prefix)
    assert told(events) == without_end(theirs), choice
    assert trained_models.finish_of(events).reason is expected_reason(theirs, choice)


@pytest.mark.parametrize("seed", range(6))
def test_beam_search_is_independent_of_batch(model_benches: list[TinyModel], seed: int) -> None:
    chance = random.Random(seed)
    bench = model_benches[seed % len(model_benches)]
    drawn = SamplingParams(temperature=1.0, top_p=0.9, seed=seed, max_new_tokens=25)
    choices = [drawn if number % 3 == 0 else some_choice(chance) for number in range(12)]
    prompts = [random_tokens(chance.randrange(1, 25), chance) for _ in choices]
    answers = {
        number: bench.make_request_state(number, prompts[number], choice) for number, choice in enumerate(choices)
    }
    leaving = {number: chance.randrange(1, 9) for number in chance.sample(range(12), 3)}
    batch, coming = bench.make_scheduler(answers), [*answers]
    found: dict[int, list[Event]] = {number: [] for number in answers}
    while coming or batch.has_work:
        events = [*batch.add_request(make_request(coming.pop(0)))] if coming and chance.random() < 0.4 else []
        gone = {number for number, steps in leaving.items() if len(found[number]) > steps}
        for event in [*events, *batch.run_step(gone)]:
            found[event.request_id].append(event)
    for number, choice in enumerate(choices):
        alone = [event for event in bench.run_engine(prompts[number], choice) if not isinstance(event, Started)]
        mine = [replace(event, request_id=1) for event in found[number] if not isinstance(event, Started)]
        if trained_models.finish_of(found[number]).reason is FinishReason.CANCELED:
            assert number in leaving
            assert mine[:-1] == alone[: len(mine) - 1], "what was the best so far stays"
        else:
            assert mine == alone
        if choice.beams > 1:
            assert told(alone) == without_end(bench.run_generate(prompts[number], choice))
    assert bench.model_executor.running_groups == []


@pytest.mark.parametrize("seed", range(12))
def test_beam_ends_at_stop_string(model_benches: list[TinyModel], seed: int) -> None:
    chance = random.Random(seed)
    bench, prompt = model_benches[seed % len(model_benches)], random_tokens(8, chance)
    stops = tuple(f"{chance.randrange(3, VOCABULARY_SIZE)} " for _ in range(6))
    choice = SamplingParams(beams=4, no_repeat_ngram=2, min_new_tokens=6, max_new_tokens=20, stop=stops)
    begin = 1 if bench.is_encoder_decoder else len(prompt)
    theirs = bench.run_generate(
        prompt, choice, stopping_criteria=StoppingCriteriaList([StopStringCriteria(begin, stops)])
    )
    text = "".join(f"{token} " for token in without_end(theirs))
    cut = min((text.index(stop) for stop in stops if stop in text), default=len(text))
    events = bench.run_engine(prompt, choice)
    assert [event for event in events if isinstance(event, ProvisionalText)][-1].text == text[:cut]
    ended = cut < len(text) or theirs[-1] == END_TOKEN
    assert trained_models.finish_of(events).reason is (FinishReason.END if ended else FinishReason.LENGTH)


def test_nan_row_fails_only_its_beam_search(model_benches: list[TinyModel], monkeypatch: pytest.MonkeyPatch) -> None:
    bench, chance = model_benches[0], random.Random(1)
    prompts = [random_tokens(9, chance) for _ in range(3)]
    choice = SamplingParams(beams=3, max_new_tokens=10)
    answers = {number: bench.make_request_state(number, prompt, choice) for number, prompt in enumerate(prompts)}
    step = bench.model_executor.decode_step

    def spoil(rows: Sequence[SequenceGroup]) -> torch.Tensor:
        logits = step(rows).clone()
        first = sum(row.num_beams for row in rows[: [row.prompt_ids for row in rows].index(prompts[1])])
        logits[first + 2] = float("nan")
        return logits

    def one_in_three(rows: Sequence[SequenceGroup]) -> torch.Tensor:
        return spoil(rows) if any(row.prompt_ids == prompts[1] for row in rows) else step(rows)

    monkeypatch.setattr(bench.model_executor, "decode_step", one_in_three)
    batch = bench.make_scheduler(answers)
    events = [event for number in answers for event in batch.add_request(make_request(number))]
    while batch.has_work:
        events += batch.run_step(())
    found = {number: [event for event in events if event.request_id == number] for number in answers}
    assert "no number" in str(trained_models.finish_of(found[1]).error_message)
    for number in (0, 2):
        assert told(found[number]) == without_end(bench.run_generate(prompts[number], choice))


def test_batch_limit_counts_all_beams(model_benches: list[TinyModel]) -> None:
    bench, chance = model_benches[0], random.Random(2)
    width = bench.model_executor.max_sequences
    choices = [
        SamplingParams(beams=beams, max_new_tokens=12, min_new_tokens=12) for beams in (16, 1, 10, 16, 16, 2) * 4
    ]
    answers = {
        number: bench.make_request_state(number, random_tokens(5, chance), choice)
        for number, choice in enumerate(choices)
    }
    batch, most = bench.make_scheduler(answers), 0
    events = [event for number in answers for event in batch.add_request(make_request(number))]
    while batch.has_work:
        events += batch.run_step(())
        running = bench.model_executor.running_groups
        most = max(most, sum(row.num_beams for row in running))
        assert len(running) <= bench.model_executor.max_groups
    assert width - 16 < most <= width
    assert [event.request_id for event in events if isinstance(event, Started)] == list(answers)
    assert all(event.reason is not FinishReason.ERROR for event in events if isinstance(event, Finish))


def test_memory_budget_counts_all_beams(model_benches: list[TinyModel]) -> None:
    bench, chance = model_benches[0], random.Random(3)
    prompt, choice = random_tokens(5, chance), SamplingParams(beams=10, max_new_tokens=12)
    one, ten = (bench.make_request_state(0, prompt, replace(choice, beams=beams)) for beams in (1, 10))
    growing = bench.model_executor.cache_bytes(ten.sequence_group) - bench.model_executor.cache_bytes(
        one.sequence_group
    )
    assert growing > 8 * (
        bench.model_executor.cache_bytes(one.sequence_group)
        - bench.model_executor.cache_bytes(bench.model_executor.create_group(prompt, [], 0))
    )
    answers = {number: bench.make_request_state(number, prompt, choice) for number in range(4)}
    batch = Scheduler(
        bench.model_executor,
        lambda request, many: answers[request.id],
        2 * bench.model_executor.cache_bytes(ten.sequence_group),
    )
    events, most = [event for number in answers for event in batch.add_request(make_request(number))], 0
    while batch.has_work:
        events += batch.run_step(())
        most = max(most, len(bench.model_executor.running_groups))
    assert most == 2


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("depth", trained_models.DEPTHS)
def test_full_size_blenderbot_beam_search_matches_generate(depth: dict[str, Any]) -> None:
    config = BlenderbotConfig.from_pretrained(trained_models.real_tokenizer_folder(), **depth)
    torch.manual_seed(5)
    model: Any = randomize_weights(BlenderbotForConditionalGeneration(config), 5, 0.05)
    model.final_logits_bias[0, 1] = -1e4
    bench, chance = TinyModel(model, BlenderbotExecutor(model), True), random.Random(5)
    prompts = [[*random_tokens(length, chance), END_TOKEN] for length in (9, 40, 127)]
    published: dict[str, Any] = {
        "beams": 10,
        "length_penalty": 0.65,
        "no_repeat_ngram": 3,
        "encoder_no_repeat_ngram": 3,
    }
    choice = SamplingParams(**published, min_new_tokens=10, forced_eos=True, max_new_tokens=24)
    answers = {number: bench.make_request_state(number, prompt, choice) for number, prompt in enumerate(prompts)}
    batch = bench.make_scheduler(answers)
    events = [event for number in answers for event in batch.add_request(make_request(number))]
    while batch.has_work:
        events += batch.run_step(())
    for number, prompt in enumerate(prompts):
        mine = [event for event in events if event.request_id == number]
        assert told(mine) == without_end(bench.run_generate(prompt, choice))
