"""The choice of a token, against transformers' own processors where there are such."""

from __future__ import annotations

import bisect
import random
from collections import Counter
from typing import Any

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

from chatsite.engine.inference.sampling.params import FAMILY_DEFAULTS, MAX_BEAMS, SamplingParams, resolve_params
from chatsite.engine.inference.sampling.sampler import TOP_CANDIDATES, SamplingState, sample_batch
from chatsite.engine.types import GenerationOptions, Preset

WORDS = 12
FREE = SamplingParams(temperature=1.0, top_p=1.0)


def logits(seed: int) -> torch.Tensor:
    """Made-up expectations."""
    return torch.randn(WORDS, generator=torch.Generator().manual_seed(seed)) * 2


def choose(scores: torch.Tensor, text: SamplingState) -> int:
    """The next token of one text, or the error that it has none."""
    token = sample_batch(scores[None], [text])[0]
    if isinstance(token, Exception):
        raise token
    return token


def pick(
    choice: SamplingParams, seed: int = 0, written: list[int] | None = None, prompt: list[int] | None = None
) -> int:
    return choose(logits(seed), SamplingState(prompt or [], written or [], choice, eos_ids=[0]))


def distribution(choice: SamplingParams, seed: int) -> torch.Tensor:
    """How often each token is drawn in many draws, as a part of all."""
    draws = 4000
    counts = Counter(
        choose(logits(seed), SamplingState([], [], SamplingParams(**{**vars(choice), "seed": s}), eos_ids=[]))
        for s in range(draws)
    )
    return torch.tensor([counts[token] / draws for token in range(WORDS)])


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [(1.0, 0, 1.0), (0.5, 0, 0.9), (1.5, 4, 1.0), (1.0, 5, 0.6), (0.7, 1, 0.9)],
)
def test_samples_follow_distribution_of_transformers(temperature: float, top_k: int, top_p: float) -> None:
    warpers = LogitsProcessorList([TemperatureLogitsWarper(temperature)])
    if top_k:
        warpers.append(TopKLogitsWarper(top_k))
    if top_p < 1:
        warpers.append(TopPLogitsWarper(top_p))
    expected = warpers(torch.LongTensor([[0]]), logits(3)[None])[0].softmax(0)
    drawn = distribution(SamplingParams(temperature=temperature, top_k=top_k, top_p=top_p), 3)
    assert ((drawn > 0) <= (expected > 0)).all()
    assert (drawn - expected).abs().max() < 0.03


@pytest.mark.parametrize("seed", range(20))
def test_ngram_blocks_and_penalty_match_transformers(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    prompt: Any = torch.randint(1, 4, (1, 20), generator=random)
    written: Any = torch.randint(1, 4, (1, 9), generator=random)
    processors = LogitsProcessorList(
        [
            RepetitionPenaltyLogitsProcessor(1.3),
            NoRepeatNGramLogitsProcessor(3),
            EncoderNoRepeatNGramLogitsProcessor(2, prompt),
        ]
    )
    expected = int(processors(written, logits(seed)[None])[0].argmax())
    choice = SamplingParams(temperature=0, repetition_penalty=1.3, no_repeat_ngram=3, encoder_no_repeat_ngram=2)
    assert pick(choice, seed, written[0].tolist(), prompt[0].tolist()) == expected


def test_repeated_ngram_is_blocked_in_answer_and_prompt() -> None:
    preferred = int(logits(1).argmax())
    text = [1, 2, preferred]
    greedy = SamplingParams(temperature=0)
    assert pick(greedy, 1, written=[*text, 1, 2]) == preferred
    assert pick(SamplingParams(temperature=0, no_repeat_ngram=3), 1, written=[*text, 1, 2]) != preferred
    assert pick(SamplingParams(temperature=0, no_repeat_ngram=3), 1, written=[1, 2], prompt=text) == preferred
    assert pick(SamplingParams(temperature=0, encoder_no_repeat_ngram=3), 1, written=[1, 2], prompt=text) != preferred


def test_answer_does_not_end_before_min_length() -> None:
    requested = torch.zeros(WORDS)
    requested[0] = 9.0
    choice = SamplingParams(temperature=0, min_new_tokens=2)
    assert [
        choose(requested.clone(), SamplingState([], [5] * written, choice, eos_ids=[0])) == 0 for written in (0, 1, 2)
    ] == [
        False,
        False,
        True,
    ]


def test_sample_depends_only_on_seed_and_position() -> None:
    picks = [
        [pick(SamplingParams(**{**vars(FREE), "seed": seed}), 4, [1] * position) for position in range(30)]
        for seed in (1, 1, 2)
    ]
    assert picks[0] == picks[1] != picks[2]
    assert len(set(picks[0])) > 1


def test_zero_top_p_picks_most_likely_token() -> None:
    assert pick(SamplingParams(temperature=1.0, top_p=0.0), 5) == int(logits(5).argmax())


def test_nan_logits_raise_error() -> None:
    for broken in (float("nan"), float("-inf")):
        with pytest.raises(FloatingPointError):
            choose(torch.full((WORDS,), broken), SamplingState([], [], FREE, eos_ids=[]))


def test_params_prefer_request_then_publisher_then_family() -> None:
    published = {"temperature": 0.6, "top_k": 40, "top_p": "odd", "num_beams": 10, "do_sample": True}
    choice = resolve_params("chat", published, GenerationOptions(temperature=0.1, seed=5))
    assert (choice.temperature, choice.top_k, choice.seed, choice.beams) == (0.1, 40, 5, 1)
    assert choice.top_p == resolve_params("chat", {}, GenerationOptions()).top_p
    assert resolve_params("blenderbot", {}, GenerationOptions(temperature=0.0)).temperature == 0.0
    assert resolve_params("blenderbot", {}, GenerationOptions()).min_new_tokens == 20


def test_params_prefer_request_then_preset_then_publisher() -> None:
    published = {"temperature": 0.6, "num_beams": 4, "no_repeat_ngram_size": 2}
    for preset, temperature in ((Preset.PRECISE, 0.0), (Preset.BALANCED, 0.6), (Preset.CREATIVE, 0.6 + 0.4 / 3)):
        assert resolve_params("chat", published, GenerationOptions(preset=preset)).temperature == pytest.approx(
            temperature
        )
    assert (
        resolve_params("chat", published, GenerationOptions(preset=Preset.CREATIVE, temperature=0.3)).temperature == 0.3
    )
    assert resolve_params("blenderbot", published, GenerationOptions()).beams == 4
    precise = resolve_params("blenderbot", published, GenerationOptions(preset=Preset.PRECISE, length_penalty=2.0))
    assert (precise.beams, precise.length_penalty, precise.no_repeat_ngram) == (10, 2.0, 2)
    assert [
        resolve_params("blenderbot", published, GenerationOptions(preset=one)).beams
        for one in (Preset.BALANCED, Preset.CREATIVE)
    ] == [1, 1]


def test_blenderbot_defaults_match_publication() -> None:
    choice = resolve_params("blenderbot", {}, GenerationOptions(seed=1))
    published = {"beams": 10, "length_penalty": 0.65, "min_new_tokens": 20, "max_new_tokens": 60, "forced_eos": True}
    published |= {"no_repeat_ngram": 3, "encoder_no_repeat_ngram": 3, "temperature": 0.0, "seed": 1}
    assert {name: vars(choice)[name] for name in published} == published
    assert resolve_params("blenderbot", {}, GenerationOptions(max_new_tokens=30)).max_new_tokens == 30
    drawn = resolve_params("blenderbot", {}, GenerationOptions(preset=Preset.BALANCED, max_new_tokens=100))
    assert (drawn.max_new_tokens, drawn.no_repeat_ngram, drawn.forced_eos) == (100, 3, False)


def test_sampling_options_disable_default_beams_only() -> None:
    assert resolve_params("blenderbot", {}, GenerationOptions(temperature=0.5)).beams == 1
    assert resolve_params("blenderbot", {}, GenerationOptions(top_p=0.5)).beams == 1
    assert resolve_params("blenderbot", {}, GenerationOptions(temperature=0.5, beams=3)).beams == 3
    assert resolve_params("chat", {}, GenerationOptions(beams=1000), max_beams=6).beams == 6
    assert resolve_params("chat", {}, GenerationOptions(beams=1000)).beams == MAX_BEAMS
    assert resolve_params("chat", {}, GenerationOptions(beams=0)).beams == 1


@pytest.mark.parametrize("family", list(FAMILY_DEFAULTS))
@pytest.mark.parametrize("preset", [None, *Preset])
def test_every_family_knows_every_preset(family: str, preset: Preset | None) -> None:
    choice = resolve_params(family, {}, GenerationOptions(preset=preset, seed=3, stop=("", "Bye")))
    assert choice.stop == ("Bye",)
    assert (choice.beams == 1) or (choice.temperature, choice.top_p) == (0.0, 1.0)
    creative = resolve_params(family, {}, GenerationOptions(preset=Preset.CREATIVE, seed=3))
    assert creative.temperature >= choice.temperature


def test_missing_seed_is_random() -> None:
    assert len({resolve_params("chat", {}, GenerationOptions()).seed for _ in range(5)}) > 1


def sorted_in_full(logits: torch.Tensor, text: SamplingState) -> int:
    """The draw as its definition says it: sort all, keep top-k, keep top-p, let the seed's point fall on one."""
    scores, ids = logits.double().sort(descending=True, stable=True)
    weights = (scores[: text.params.top_k or None] / text.params.temperature).softmax(0)
    sums = weights.cumsum(0)
    sums = sums[(sums - weights) < text.params.top_p]
    point = random.Random(f"{text.params.seed}:{len(text.written_ids)}").random() * float(sums[-1])
    return int(ids[min(bisect.bisect_right(sums.tolist(), point), len(sums) - 1)])


@pytest.mark.parametrize("spread", [0.0, 0.1, 1.0, 4.0])
def test_batched_sampling_matches_full_sort(spread: float) -> None:
    chance = torch.Generator().manual_seed(7)
    kinds = [
        (0.7, 0.9, 0),
        (1.5, 1.0, 0),
        (1.0, 0.5, 40),
        (0.2, 0.5, TOP_CANDIDATES),
        (2.0, 0.99, TOP_CANDIDATES + 50),
        (0.7, 0.3, 3000),
    ]
    for trial in range(20):
        rows = torch.randn(len(kinds), 1000, generator=chance) * spread
        # Equal scores, as coarse numbers have them, stand where the sorted few end.
        rows = (rows * 4).round() / 4 if trial % 2 else rows
        choices = [SamplingParams(temperature=t, top_p=p, top_k=k, seed=trial) for t, p, k in kinds]
        texts = [SamplingState([], [1] * trial, choice, eos_ids=()) for choice in choices]
        expected = [sorted_in_full(row, text) for row, text in zip(rows, texts, strict=True)]
        assert sample_batch(rows.clone(), texts) == expected
        assert [choose(row.clone(), text) for row, text in zip(rows, texts, strict=True)] == expected


def test_nan_row_fails_only_its_own_sample() -> None:
    rows = torch.stack([logits(1), torch.full((WORDS,), float("nan")), logits(2)])
    texts = [SamplingState([], [], choice, eos_ids=()) for choice in (FREE, FREE, SamplingParams(temperature=0))]
    tokens = sample_batch(rows, texts)
    assert isinstance(tokens[1], FloatingPointError)
    assert (tokens[0], tokens[2]) == (pick(FREE, 1), int(logits(2).argmax()))
