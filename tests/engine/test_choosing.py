"""The choice of a token, against transformers' own processors where there are such."""

from __future__ import annotations

import bisect
import random
from collections import Counter

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.generation.logits_process import (
    EncoderNoRepeatNGramLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
)

from chatsite.engine import Options, Preset
from chatsite.engine.decoding.choosing import FEW, Text, choose, choose_rows
from chatsite.engine.decoding.presets import FAMILIES, MOST_BEAMS, Choice, settle

WORDS = 12
FREE = Choice(temperature=1.0, top_p=1.0)


def logits(seed: int) -> torch.Tensor:
    """Made-up expectations."""
    return torch.randn(WORDS, generator=torch.Generator().manual_seed(seed)) * 2


def pick(choice: Choice, seed: int = 0, written: list[int] | None = None, prompt: list[int] | None = None) -> int:
    return choose(logits(seed), Text(prompt or [], written or [], choice, ends=[0]))


def distribution(choice: Choice, seed: int) -> torch.Tensor:
    """How often each token is drawn in many draws, as a part of all."""
    draws = 4000
    counts = Counter(
        choose(logits(seed), Text([], [], Choice(**{**vars(choice), "seed": s}), [])) for s in range(draws)
    )
    return torch.tensor([counts[token] / draws for token in range(WORDS)])


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [(1.0, 0, 1.0), (0.5, 0, 0.9), (1.5, 4, 1.0), (1.0, 5, 0.6), (0.7, 1, 0.9)],
)
def test_draws_follow_the_distribution_of_transformers(temperature: float, top_k: int, top_p: float) -> None:
    warpers = LogitsProcessorList([TemperatureLogitsWarper(temperature)])
    if top_k:
        warpers.append(TopKLogitsWarper(top_k))
    if top_p < 1:
        warpers.append(TopPLogitsWarper(top_p))
    expected = warpers(None, logits(3)[None])[0].softmax(0)
    drawn = distribution(Choice(temperature=temperature, top_k=top_k, top_p=top_p), 3)
    assert ((drawn > 0) <= (expected > 0)).all()
    assert (drawn - expected).abs().max() < 0.03


@pytest.mark.parametrize("seed", range(20))
def test_blocks_and_penalty_are_those_of_transformers(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    prompt = torch.randint(1, 4, (1, 20), generator=random)
    written = torch.randint(1, 4, (1, 9), generator=random)
    processors = LogitsProcessorList(
        [
            RepetitionPenaltyLogitsProcessor(1.3),
            NoRepeatNGramLogitsProcessor(3),
            EncoderNoRepeatNGramLogitsProcessor(2, prompt),
        ]
    )
    expected = int(processors(written, logits(seed)[None])[0].argmax())
    choice = Choice(temperature=0, repetition_penalty=1.3, no_repeat_ngram=3, encoder_no_repeat_ngram=2)
    assert pick(choice, seed, written[0].tolist(), prompt[0].tolist()) == expected


def test_a_repeated_n_gram_is_blocked_in_answer_and_prompt() -> None:
    favourite = int(logits(1).argmax())
    text = [1, 2, favourite]
    greedy = Choice(temperature=0)
    assert pick(greedy, 1, written=[*text, 1, 2]) == favourite
    assert pick(Choice(temperature=0, no_repeat_ngram=3), 1, written=[*text, 1, 2]) != favourite
    assert pick(Choice(temperature=0, no_repeat_ngram=3), 1, written=[1, 2], prompt=text) == favourite
    assert pick(Choice(temperature=0, encoder_no_repeat_ngram=3), 1, written=[1, 2], prompt=text) != favourite


def test_the_answer_does_not_end_before_its_least_length() -> None:
    wish = torch.zeros(WORDS)
    wish[0] = 9.0
    choice = Choice(temperature=0, min_new_tokens=2)
    assert [choose(wish.clone(), Text([], [5] * written, choice, ends=[0])) == 0 for written in (0, 1, 2)] == [
        False,
        False,
        True,
    ]


def test_a_draw_depends_on_seed_and_position_alone() -> None:
    picks = [
        [pick(Choice(**{**vars(FREE), "seed": seed}), 4, [1] * position) for position in range(30)]
        for seed in (1, 1, 2)
    ]
    assert picks[0] == picks[1] != picks[2]
    assert len(set(picks[0])) > 1


def test_a_top_p_of_nothing_takes_the_likeliest() -> None:
    assert pick(Choice(temperature=1.0, top_p=0.0), 5) == int(logits(5).argmax())


def test_a_model_without_numbers_is_an_error() -> None:
    for broken in (float("nan"), float("-inf")):
        with pytest.raises(FloatingPointError):
            choose(torch.full((WORDS,), broken), Text([], [], FREE, []))


def test_the_request_goes_before_the_publisher_and_the_publisher_before_the_family() -> None:
    published = {"temperature": 0.6, "top_k": 40, "top_p": "odd", "num_beams": 10, "do_sample": True}
    choice = settle("chat", published, Options(temperature=0.1, seed=5))
    assert (choice.temperature, choice.top_k, choice.seed, choice.beams) == (0.1, 40, 5, 1)
    assert choice.top_p == settle("chat", {}, Options()).top_p
    assert settle("blenderbot", {}, Options(temperature=0.0)).temperature == 0.0
    assert settle("blenderbot", {}, Options()).min_new_tokens == 20


def test_a_preset_goes_before_the_publisher_and_a_wish_before_the_preset() -> None:
    published = {"temperature": 0.6, "num_beams": 4, "no_repeat_ngram_size": 2}
    for preset, temperature in ((Preset.PRECISE, 0.0), (Preset.BALANCED, 0.6), (Preset.CREATIVE, 0.6 + 0.4 / 3)):
        assert settle("chat", published, Options(preset=preset)).temperature == pytest.approx(temperature)
    assert settle("chat", published, Options(preset=Preset.CREATIVE, temperature=0.3)).temperature == 0.3
    assert settle("blenderbot", published, Options()).beams == 4
    precise = settle("blenderbot", published, Options(preset=Preset.PRECISE, length_penalty=2.0))
    assert (precise.beams, precise.length_penalty, precise.no_repeat_ngram) == (10, 2.0, 2)
    assert [
        settle("blenderbot", published, Options(preset=one)).beams for one in (Preset.BALANCED, Preset.CREATIVE)
    ] == [1, 1]


def test_blenderbot_is_decoded_as_published() -> None:
    choice = settle("blenderbot", {}, Options(seed=1))
    published = {"beams": 10, "length_penalty": 0.65, "min_new_tokens": 20, "max_new_tokens": 60, "forced_end": True}
    published |= {"no_repeat_ngram": 3, "encoder_no_repeat_ngram": 3, "temperature": 0.0, "seed": 1}
    assert {name: vars(choice)[name] for name in published} == published
    assert settle("blenderbot", {}, Options(max_new_tokens=30)).max_new_tokens == 30
    drawn = settle("blenderbot", {}, Options(preset=Preset.BALANCED, max_new_tokens=100))
    assert (drawn.max_new_tokens, drawn.no_repeat_ngram, drawn.forced_end) == (100, 3, False)


def test_who_wishes_for_a_draw_gets_no_beams_but_who_wishes_for_both_does() -> None:
    assert settle("blenderbot", {}, Options(temperature=0.5)).beams == 1
    assert settle("blenderbot", {}, Options(top_p=0.5)).beams == 1
    assert settle("blenderbot", {}, Options(temperature=0.5, beams=3)).beams == 3
    assert settle("chat", {}, Options(beams=1000), breadth=6).beams == 6
    assert settle("chat", {}, Options(beams=1000)).beams == MOST_BEAMS
    assert settle("chat", {}, Options(beams=0)).beams == 1


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("preset", [None, *Preset])
def test_every_family_knows_every_preset(family: str, preset: Preset | None) -> None:
    choice = settle(family, {}, Options(preset=preset, seed=3, stop=("", "Bye")))
    assert choice.stop == ("Bye",)
    assert (choice.beams == 1) or (choice.temperature, choice.top_p) == (0.0, 1.0)
    creative = settle(family, {}, Options(preset=Preset.CREATIVE, seed=3))
    assert creative.temperature >= choice.temperature


def test_a_seed_is_drawn_where_none_is_wished_for() -> None:
    assert len({settle("chat", {}, Options()).seed for _ in range(5)}) > 1


def sorted_in_full(logits: torch.Tensor, text: Text) -> int:
    """The draw as its definition says it: sort all, keep top-k, keep top-p, let the seed's point fall on one."""
    scores, ids = logits.double().sort(descending=True, stable=True)
    weights = (scores[: text.choice.top_k or None] / text.choice.temperature).softmax(0)
    sums = weights.cumsum(0)
    sums = sums[(sums - weights) < text.choice.top_p]
    point = random.Random(f"{text.choice.seed}:{len(text.written)}").random() * float(sums[-1])
    return int(ids[min(bisect.bisect_right(sums.tolist(), point), len(sums) - 1)])


@pytest.mark.parametrize("spread", [0.0, 0.1, 1.0, 4.0])
def test_many_rows_are_drawn_as_each_would_be_sorted_in_full(spread: float) -> None:
    chance = torch.Generator().manual_seed(7)
    kinds = [(0.7, 0.9, 0), (1.5, 1.0, 0), (1.0, 0.5, 40), (0.2, 0.5, FEW), (2.0, 0.99, FEW + 50), (0.7, 0.3, 3000)]
    for trial in range(20):
        rows = torch.randn(len(kinds), 1000, generator=chance) * spread
        # Equal scores, as coarse numbers have them, stand where the sorted few end.
        rows = (rows * 4).round() / 4 if trial % 2 else rows
        choices = [Choice(temperature=t, top_p=p, top_k=k, seed=trial) for t, p, k in kinds]
        texts = [Text([], [1] * trial, choice, ()) for choice in choices]
        expected = [sorted_in_full(row, text) for row, text in zip(rows, texts, strict=True)]
        assert choose_rows(rows.clone(), texts) == expected
        assert [choose(row.clone(), text) for row, text in zip(rows, texts, strict=True)] == expected


def test_a_row_without_numbers_is_an_error_of_that_row() -> None:
    rows = torch.stack([logits(1), torch.full((WORDS,), float("nan")), logits(2)])
    texts = [Text([], [], choice, ()) for choice in (FREE, FREE, Choice(temperature=0))]
    tokens = choose_rows(rows, texts)
    assert isinstance(tokens[1], FloatingPointError)
    assert (tokens[0], tokens[2]) == (pick(FREE, 1), int(logits(2).argmax()))
