"""The generic way writes what transformers' `generate` writes, whoever comes, goes or searches beside it."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BlenderbotConfig,
    BlenderbotForConditionalGeneration,
    BlenderbotSmallConfig,
    BlenderbotSmallForConditionalGeneration,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    SmolLM3Config,
    SmolLM3ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from chatsite.engine import Draft, Event, Finish, FinishReason, Request
from chatsite.engine.decoding import batching
from chatsite.engine.decoding.checkpoint import Checkpoint
from chatsite.engine.decoding.generic import Generic
from chatsite.engine.decoding.packing import has_eight_bits
from chatsite.engine.decoding.speaker import Speaker
from chatsite.engine.decoding.stepping import Row
from chatsite.engine.prompting.families import format_of
from chatsite.errors import ModelUnavailableError
from tests.engine import support
from tests.engine.support import ask, finish_of, text_of, tokens_of

PLENTY = 1 << 40
CONTEXT = 160
QUESTIONS = [*support.LESSONS, "Hello world", "I love to read.", "you are small"]
DECODER: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "head_dim": 8}
DECODER |= {"num_hidden_layers": 3, "num_key_value_heads": 2, "max_position_embeddings": CONTEXT, "eos_token_id": 2}
LAYERS: dict[str, Any] = {
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    "sliding_window": 16,
}
T5: dict[str, Any] = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 3, "num_heads": 4, "dropout_rate": 0.0}
T5 |= {"decoder_start_token_id": 0, "eos_token_id": 1}
GATED: dict[str, Any] = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
SMALL: dict[str, Any] = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "max_position_embeddings": CONTEXT}
SMALL |= {
    "init_std": 0.3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
}

# Name: the family, and what makes the model for a number of words.
MADE: dict[str, tuple[str, Any]] = {
    "gpt2": (
        "dialogue",
        lambda words: GPT2LMHeadModel(
            GPT2Config(vocab_size=words, n_positions=CONTEXT, n_embd=32, n_layer=2, n_head=4, eos_token_id=0)
        ),
    ),
    "llama": ("chat", lambda words: LlamaForCausalLM(LlamaConfig(vocab_size=words, **DECODER))),
    "qwen3": ("chat", lambda words: Qwen3ForCausalLM(Qwen3Config(vocab_size=words, **DECODER))),
    "gemma3": (
        "chat",
        lambda words: Gemma3ForCausalLM(
            Gemma3TextConfig(vocab_size=words, query_pre_attn_scalar=8, **LAYERS, **DECODER)
        ),
    ),
    "smollm3": ("chat", lambda words: SmolLM3ForCausalLM(SmolLM3Config(vocab_size=words, pad_token_id=0, **DECODER))),
    "t5": ("text-to-text", lambda words: T5ForConditionalGeneration(T5Config(vocab_size=words, **T5))),
    "flan": ("text-to-text", lambda words: T5ForConditionalGeneration(T5Config(vocab_size=words, **T5, **GATED))),
    # With another activation the lean step does not fit it.
    "blenderbot": (
        "blenderbot",
        lambda words: BlenderbotForConditionalGeneration(
            BlenderbotConfig(vocab_size=words, dropout=0.0, activation_function="relu", **SMALL)
        ),
    ),
    "blenderbot-small": (
        "blenderbot-small",
        lambda words: BlenderbotSmallForConditionalGeneration(
            BlenderbotSmallConfig(vocab_size=words, dropout=0.0, **SMALL)
        ),
    ),
}


class Pair:
    """A speaker on a model with random weights, and the same model for `generate`."""

    def __init__(self, family: str, make: Any, folder: Path, dtype: torch.dtype = torch.float32) -> None:
        tokenizer: Any = {
            "dialogue": support.gpt2_tokenizer,
            "chat": lambda _: support.chat_tokenizer(),
            "text-to-text": lambda _: support.t5_tokenizer(),
            "blenderbot": support.blenderbot_tokenizer,
            "blenderbot-small": support.blenderbot_small_tokenizer,
        }[family](folder)
        torch.manual_seed(3)
        model = make(len(tokenizer)).eval()
        # Random weights hardly tell one context from another until they are larger, and a head that is tied to the
        # embeddings repeats the token that was read.
        for weight in model.parameters():
            weight.data.mul_(3 if weight.dim() > 1 else 1)
        model.lm_head = torch.nn.Linear(model.lm_head.in_features, len(tokenizer), bias=False)
        torch.nn.init.normal_(model.lm_head.weight)
        model.to(dtype)
        self.reference = copy.deepcopy(model)
        self.end = int(model.config.eos_token_id)
        reads = format_of(family, tokenizer, "tiny", "1", CONTEXT, self.end)
        stepper = Generic(model, CONTEXT)
        self.speaker = Speaker(Checkpoint(model, tokenizer, family, {}), reads, stepper, CONTEXT, frozenset({self.end}))

    def expected(self, request: Request) -> tuple[str, int]:
        """What `generate` writes for a request that is greedy or has beams, and of how many tokens."""
        options = request.options
        forced = self.speaker.checkpoint.family.startswith("blenderbot") and options.beams
        prompt = torch.tensor([self.speaker.format.prompt(request, {}).ids])
        beams = options.beams or 1
        ids = self.reference.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=options.max_new_tokens,
            do_sample=False,
            num_beams=beams,
            length_penalty=options.length_penalty or 1.0,
            no_repeat_ngram_size=options.no_repeat_ngram or 0,
            eos_token_id=self.end,
            forced_eos_token_id=self.end if forced else None,
            pad_token_id=self.end,
            min_length=0,
        )[0].tolist()
        written = ids[1:] if self.reference.config.is_encoder_decoder else ids[prompt.shape[1] :]
        written = written[: written.index(self.end)] if self.end in written else written
        characters = self.speaker._characters(request, ())
        return "".join(map(characters.push, written)), len(written)

    def run(
        self, requests: Iterable[Request], chance: random.Random, gone: Iterable[int] = ()
    ) -> dict[int, list[Event]]:
        """The events of requests that come at random steps; those `gone` are cancelled after five tokens."""
        coming, batch, events = list(requests), self.speaker.batch(PLENTY), list[Event]()
        while coming or batch.busy:
            if coming and chance.random() < 0.3:
                events += batch.take(coming.pop(0))
            tired = {number for number in gone if tokens_of(e for e in events if e.request_id == number) >= 5}
            events += batch.advance(tired)
        numbers = {event.request_id for event in events}
        return {number: [event for event in events if event.request_id == number] for number in numbers}


@pytest.fixture(scope="module", params=list(MADE))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Each architecture that goes the generic way."""
    return Pair(*MADE[request.param], tmp_path_factory.mktemp(request.param))


def question(number: int, **options: Any) -> Request:
    """One of several questions, some with turns before them."""
    turns = ["Hello world", "Yes, I love to travel."] * (number % 3) + [QUESTIONS[number % len(QUESTIONS)]]
    plain = {"repetition_penalty": 1.0, "min_new_tokens": 0, "encoder_no_repeat_ngram": 0, "no_repeat_ngram": 0}
    return ask(*turns, number=number, **{**plain, "max_new_tokens": 8 + number % 4 * 5, **options})


def last_draft(events: list[Event]) -> str:
    return [event.text for event in events if isinstance(event, Draft)][-1]


def test_greedy_answers_are_those_of_generate(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "SHARED_PIECE", 7)
    requests = [question(number, temperature=0.0) for number in range(7)]
    found = pair.run(requests, random.Random(1), gone=(2, 5))
    for request in requests:
        text, tokens = pair.expected(request)
        mine = found[request.id]
        if finish_of(mine).reason is FinishReason.CANCELLED:
            assert request.id in (2, 5)
            assert text.startswith(text_of(mine))
        else:
            assert (text_of(mine), tokens_of(mine)) == (text, tokens)
    assert len({text_of(events)[:9] for events in found.values()}) > 3, "the answers tell the questions apart"
    assert pair.speaker.stepper.rows == []


def test_beams_find_what_generate_finds_beside_greedy_answers(pair: Pair) -> None:
    requests = [question(number, beams=2 + number % 2, length_penalty=0.6) for number in range(3)]
    requests += [question(number, temperature=0.0) for number in range(3, 5)]
    random.Random(1).shuffle(requests)
    found = pair.run(requests, random.Random(1))
    for request in requests:
        mine = found[request.id]
        assert finish_of(mine).error is None
        assert (last_draft(mine) if request.options.beams else text_of(mine)) == pair.expected(request)[0]


def test_a_draw_is_the_same_alone_and_in_company(pair: Pair) -> None:
    requests = [question(number, temperature=1.0, top_p=0.9, seed=number) for number in range(4)]
    found = pair.run(requests, random.Random(1))
    for request in requests:
        assert found[request.id][1:] == pair.run([request], random.Random(1))[request.id][1:]
    assert len({text_of(events) for events in found.values()}) > 2


def test_an_answer_goes_on_after_its_prefix(pair: Pair) -> None:
    request = question(1, temperature=0.0, max_new_tokens=10)
    row = pair.speaker.prepare(request).row
    stepper, written = pair.speaker.stepper, list[int]()
    logits = reading(stepper, row)
    while len(written) < 10:
        written.append(int(logits.argmax()))
        row = stepper.open(row.prompt, written, 10)
        logits = reading(stepper, row)
    stepper.leave(row)
    endless: dict[str, Any] = {"eos_token_id": None, "forced_eos_token_id": None}
    prompt = torch.tensor([list(row.prompt)])
    ids = pair.reference.generate(prompt, max_new_tokens=10, do_sample=False, **endless)[0].tolist()
    assert ids[-10:] == written


def reading(stepper: Any, row: Row) -> torch.Tensor:
    """The logits after all that is unread, in pieces of seven ids."""
    logits = None
    while logits is None:
        logits = stepper.read(row, 7)
    assert isinstance(logits, torch.Tensor)
    return logits


def test_memory_is_what_was_promised(pair: Pair) -> None:
    request = question(3, beams=4)
    row = pair.speaker.prepare(request).row
    batch = pair.speaker.batch(PLENTY)
    events, most, running = list(batch.take(request)), 0, list[Row]()
    while batch.busy:
        events += batch.advance(())
        running = list(pair.speaker.stepper.rows) or running
        rank = pair.speaker.stepper._places._ranks[4]  # type: ignore[attr-defined]
        most = max(most, *rank.slots[0].lengths, 0)
    assert isinstance(events[-1], Finish)
    assert 0 < most <= running[0].most
    layers, _, _, heads, _, width = pair.speaker.stepper._slots.cache.shape  # type: ignore[attr-defined]
    source = len(row.prompt) if pair.reference.config.is_encoder_decoder else 0
    assert pair.speaker.stepper.bytes(row) == layers * 2 * heads * width * 4 * (row.most + source)


@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_keys_are_kept_in_the_numbers_of_the_model(name: str, tmp_path: Path) -> None:
    half = Pair(*MADE[name], tmp_path, torch.bfloat16)
    found = half.run([question(number, temperature=0.0) for number in range(3)], random.Random(1))
    assert all(finish_of(events).error is None for events in found.values())
    assert any(tokens_of(events) > 5 for events in found.values())
    assert half.speaker.stepper._slots.cache.dtype is torch.bfloat16  # type: ignore[attr-defined]


@pytest.mark.skipif(not has_eight_bits(), reason="this processor does not multiply bytes exactly")
@pytest.mark.parametrize("name", ["gpt2", "qwen3", "t5"])
def test_eight_bits_are_near_and_the_same_in_company(name: str, tmp_path: Path) -> None:
    pair = Pair(*MADE[name], tmp_path)
    stepper = Generic(copy.deepcopy(pair.reference), CONTEXT, eight_bits=True)
    requests = [question(number) for number in range(4)]
    prompts = [pair.speaker.format.prompt(request, {}).ids for request in requests]
    rows = [stepper.open(ids, [], 8) for ids in prompts]
    first = [reading(stepper, row) for row in rows]
    exact = [reading(pair.speaker.stepper, pair.speaker.stepper.open(ids, [], 8)) for ids in prompts]
    assert near(torch.stack(first), torch.stack(exact)) > 0.99
    for row, logits in zip(rows, first, strict=True):
        row.tokens = [int(logits.argmax())]
        stepper.join(row)
    together = stepper.step(rows)
    alone = torch.cat([stepper.step([row]) for row in rows])
    assert torch.allclose(together, alone, atol=0.05 * float(alone.std()))
    written = [pair.speaker.stepper.open(row.prompt, [*row.tokens], 8) for row in rows]
    assert near(together, torch.stack([reading(pair.speaker.stepper, row) for row in written])) > 0.97
    for row in rows:
        stepper.leave(row)


def near(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The least cosine between two rows of logits."""
    return float(torch.cosine_similarity(found, expected, -1).min())


def test_positions_that_move_with_the_longest_row_make_a_model_work_alone() -> None:
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    moving = Generic(LlamaForCausalLM(LlamaConfig(vocab_size=50, rope_parameters=rope, **DECODER)), CONTEXT)
    still = Generic(LlamaForCausalLM(LlamaConfig(vocab_size=50, **DECODER)), CONTEXT)
    assert moving.limit == 1 < still.limit


def test_a_model_that_looks_ahead_is_refused() -> None:
    ahead = Gemma3TextConfig(vocab_size=50, use_bidirectional_attention=True, **LAYERS, **DECODER)
    with pytest.raises(ModelUnavailableError, match="looks ahead"):
        Generic(Gemma3ForCausalLM(ahead), CONTEXT)
