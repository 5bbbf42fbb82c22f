"""Beam search against `generate`, token by token, in a batch where others come, go and are drawn."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import BlenderbotConfig, BlenderbotForConditionalGeneration, StoppingCriteriaList

from chatsite.engine import Draft, Event, Finish, FinishReason, Started
from chatsite.engine.decoding.batching import Batch
from chatsite.engine.decoding.blenderbot import LeanBlenderbot
from chatsite.engine.decoding.presets import Choice
from chatsite.engine.decoding.stepping import Row
from tests.engine import support
from tests.engine.generating import END, MAKERS, WORDS, Bench, Stopping, request, restless, words

# A least length beyond the greatest is worth a try, and a warning of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:Unfeasible length constraints")


@pytest.fixture(scope="module", params=list(MAKERS))
def benches(request: pytest.FixtureRequest) -> list[Bench]:
    """Models of one family that differ in their weights."""
    return [MAKERS[request.param](seed) for seed in range(4)]


def some_choice(chance: random.Random) -> Choice:
    """Settings of a search."""
    return Choice(
        beams=chance.choice([2, 3, 4, 10]),
        length_penalty=chance.choice([0.0, 0.65, 1.0, 2.0, -0.5]),
        min_new_tokens=chance.choice([0, 5, 12]),
        no_repeat_ngram=chance.choice([0, 1, 2, 3]),
        encoder_no_repeat_ngram=chance.choice([0, 2, 3]),
        repetition_penalty=chance.choice([1.0, 1.0, 1.3]),
        forced_end=chance.random() < 0.5,
        max_new_tokens=chance.choice([1, 2, 12, 20, 30]),
    )


def told(events: Sequence[Event]) -> list[int]:
    """The ids of the answer that was decided."""
    drafts = [event for event in events if isinstance(event, Draft)]
    return [int(word) for word in drafts[-1].text.split()]


def without_end(ids: list[int]) -> list[int]:
    """Ids up to the end token."""
    return ids[: ids.index(END)] if END in ids else ids


def expected_reason(ids: list[int], choice: Choice) -> FinishReason:
    """Why an answer of `generate`'s ended."""
    full = len(ids) == choice.max_new_tokens
    return FinishReason.END if ids[-1] == END and not (full and choice.forced_end) else FinishReason.LENGTH


@pytest.mark.parametrize("seed", range(40))
def test_a_search_finds_what_generate_finds(benches: list[Bench], seed: int) -> None:
    chance = random.Random(seed)
    bench, choice, prompt = benches[seed % len(benches)], some_choice(chance), words(chance.randrange(1, 25), chance)
    prefix = words(chance.choice([0, 0, 4]), chance)
    if prefix:
        # `generate` counts the least length from the end of the prefix, we from its beginning.
        choice = replace(choice, min_new_tokens=0)
    theirs = bench.theirs(prompt, choice, prefix)
    events = bench.ours(prompt, choice, prefix)
    assert told(events) == without_end(theirs), choice
    assert support.finish_of(events).reason is expected_reason(theirs, choice)


@pytest.mark.parametrize("seed", range(6))
def test_who_comes_and_goes_beside_it_changes_nothing(benches: list[Bench], seed: int) -> None:
    chance = random.Random(seed)
    bench = benches[seed % len(benches)]
    drawn = Choice(temperature=1.0, top_p=0.9, seed=seed, max_new_tokens=25)
    choices = [drawn if number % 3 == 0 else some_choice(chance) for number in range(12)]
    prompts = [words(chance.randrange(1, 25), chance) for _ in choices]
    answers = {number: bench.answer(number, prompts[number], choice) for number, choice in enumerate(choices)}
    leaving = {number: chance.randrange(1, 9) for number in chance.sample(range(12), 3)}
    batch, coming = bench.batch(answers), [*answers]
    found: dict[int, list[Event]] = {number: [] for number in answers}
    while coming or batch.busy:
        events = [*batch.take(request(coming.pop(0)))] if coming and chance.random() < 0.4 else []
        gone = {number for number, steps in leaving.items() if len(found[number]) > steps}
        for event in [*events, *batch.advance(gone)]:
            found[event.request_id].append(event)
    for number, choice in enumerate(choices):
        alone = [event for event in bench.ours(prompts[number], choice) if not isinstance(event, Started)]
        mine = [replace(event, request_id=1) for event in found[number] if not isinstance(event, Started)]
        if support.finish_of(found[number]).reason is FinishReason.CANCELLED:
            assert number in leaving
            assert mine[:-1] == alone[: len(mine) - 1], "what was the best so far stays"
        else:
            assert mine == alone
        if choice.beams > 1:
            assert told(alone) == without_end(bench.theirs(prompts[number], choice))
    assert bench.stepper.rows == []


@pytest.mark.parametrize("seed", range(12))
def test_a_beam_ends_where_it_says_a_stop(benches: list[Bench], seed: int) -> None:
    chance = random.Random(seed)
    bench, prompt = benches[seed % len(benches)], words(8, chance)
    stops = tuple(f"{chance.randrange(3, WORDS)} " for _ in range(6))
    choice = Choice(beams=4, no_repeat_ngram=2, min_new_tokens=6, max_new_tokens=20, stop=stops)
    begin = 1 if bench.encodes else len(prompt)
    theirs = bench.theirs(prompt, choice, stopping_criteria=StoppingCriteriaList([Stopping(begin, stops)]))
    text = "".join(f"{token} " for token in without_end(theirs))
    cut = min((text.index(stop) for stop in stops if stop in text), default=len(text))
    events = bench.ours(prompt, choice)
    assert [event for event in events if isinstance(event, Draft)][-1].text == text[:cut]
    ended = cut < len(text) or theirs[-1] == END
    assert support.finish_of(events).reason is (FinishReason.END if ended else FinishReason.LENGTH)


def test_a_row_without_numbers_ends_its_search_alone(benches: list[Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    bench, chance = benches[0], random.Random(1)
    prompts = [words(9, chance) for _ in range(3)]
    choice = Choice(beams=3, max_new_tokens=10)
    answers = {number: bench.answer(number, prompt, choice) for number, prompt in enumerate(prompts)}
    step = bench.stepper.step

    def spoil(rows: Sequence[Row]) -> torch.Tensor:
        logits = step(rows).clone()
        first = sum(row.beams for row in rows[: [row.prompt for row in rows].index(prompts[1])])
        logits[first + 2] = float("nan")
        return logits

    def one_in_three(rows: Sequence[Row]) -> torch.Tensor:
        return spoil(rows) if any(row.prompt == prompts[1] for row in rows) else step(rows)

    monkeypatch.setattr(bench.stepper, "step", one_in_three)
    batch = bench.batch(answers)
    events = [event for number in answers for event in batch.take(request(number))]
    while batch.busy:
        events += batch.advance(())
    found = {number: [event for event in events if event.request_id == number] for number in answers}
    assert "no number" in str(support.finish_of(found[1]).error)
    for number in (0, 2):
        assert told(found[number]) == without_end(bench.theirs(prompts[number], choice))


def test_rows_of_all_beams_are_counted(benches: list[Bench]) -> None:
    bench, chance = benches[0], random.Random(2)
    breadth = bench.stepper.breadth
    choices = [Choice(beams=beams, max_new_tokens=12, min_new_tokens=12) for beams in (16, 1, 10, 16, 16, 2) * 4]
    answers = {number: bench.answer(number, words(5, chance), choice) for number, choice in enumerate(choices)}
    batch, most = bench.batch(answers), 0
    events = [event for number in answers for event in batch.take(request(number))]
    while batch.busy:
        events += batch.advance(())
        running = bench.stepper.rows
        most = max(most, sum(row.beams for row in running))
        assert len(running) <= bench.stepper.limit
    assert breadth - 16 < most <= breadth
    assert [event.request_id for event in events if isinstance(event, Started)] == list(answers)
    assert all(event.reason is not FinishReason.ERROR for event in events if isinstance(event, Finish))


def test_a_budget_counts_what_all_beams_may_take(benches: list[Bench]) -> None:
    bench, chance = benches[0], random.Random(3)
    prompt, choice = words(5, chance), Choice(beams=10, max_new_tokens=12)
    one, ten = (bench.answer(0, prompt, replace(choice, beams=beams)) for beams in (1, 10))
    growing = bench.stepper.bytes(ten.row) - bench.stepper.bytes(one.row)
    assert growing > 8 * (bench.stepper.bytes(one.row) - bench.stepper.bytes(bench.stepper.open(prompt, [], 0)))
    answers = {number: bench.answer(number, prompt, choice) for number in range(4)}
    batch = Batch(bench.stepper, lambda request, many: answers[request.id], 2 * bench.stepper.bytes(ten.row))
    events, most = [event for number in answers for event in batch.take(request(number))], 0
    while batch.busy:
        events += batch.advance(())
        most = max(most, len(bench.stepper.rows))
    assert most == 2


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_real_blenderbot_finds_what_generate_finds() -> None:
    config = BlenderbotConfig.from_pretrained(support.real_tokenizer_folder())
    torch.manual_seed(5)
    model: Any = restless(BlenderbotForConditionalGeneration(config), 5, 0.05)
    model.final_logits_bias[0, 1] = -1e4
    bench, chance = Bench(model, LeanBlenderbot(model), True), random.Random(5)
    prompts = [[*words(length, chance), END] for length in (9, 40, 127)]
    published: dict[str, Any] = {
        "beams": 10,
        "length_penalty": 0.65,
        "no_repeat_ngram": 3,
        "encoder_no_repeat_ngram": 3,
    }
    choice = Choice(**published, min_new_tokens=10, forced_end=True, max_new_tokens=24)
    answers = {number: bench.answer(number, prompt, choice) for number, prompt in enumerate(prompts)}
    batch = bench.batch(answers)
    events = [event for number in answers for event in batch.take(request(number))]
    while batch.busy:
        events += batch.advance(())
    for number, prompt in enumerate(prompts):
        mine = [event for event in events if event.request_id == number]
        assert told(mine) == without_end(bench.theirs(prompt, choice))
