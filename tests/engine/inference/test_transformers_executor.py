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

from chatsite.engine.inference import scheduler
from chatsite.engine.inference.executor import SequenceGroup
from chatsite.engine.inference.executors.transformers_ import TransformersExecutor
from chatsite.engine.inference.loaded_model import LoadedModel
from chatsite.engine.inference.loading.checkpoint import Checkpoint
from chatsite.engine.inference.quantization.linear import cpu_has_exact_int8
from chatsite.engine.prompting.families import prompt_format_for
from chatsite.engine.types import Event, Finish, FinishReason, ProvisionalText, Request
from chatsite.errors import ModelLoadError
from tests.support import trained_models
from tests.support.trained_models import finish_of, make_request, text_of, tokens_of

PLENTY = 1 << 40
CONTEXT = 160
QUESTIONS = [*trained_models.LESSONS, "Hello world", "I love to read.", "you are small"]
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
            "dialogue": trained_models.gpt2_tokenizer,
            "chat": lambda _: trained_models.chat_tokenizer(),
            "text-to-text": lambda _: trained_models.t5_tokenizer(),
            "blenderbot": trained_models.blenderbot_tokenizer,
            "blenderbot-small": trained_models.blenderbot_small_tokenizer,
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
        reads = prompt_format_for(family, tokenizer, "tiny", revision="1", context_tokens=CONTEXT, eos_id=self.end)
        model_executor = TransformersExecutor(model, CONTEXT)
        self.loaded = LoadedModel(
            Checkpoint(model, tokenizer, family, {}), reads, model_executor, CONTEXT, frozenset({self.end})
        )

    def expected(self, request: Request) -> tuple[str, int]:
        """What `generate` writes for a request that is greedy or has beams, and of how many tokens."""
        options = request.options
        forced = self.loaded.checkpoint.family.startswith("blenderbot") and options.beams
        prompt = torch.tensor([self.loaded.prompt_format.build_prompt(request, {}).ids])
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
        characters = self.loaded._create_detokenizer(request, ())
        return "".join(map(characters.push_token, written)), len(written)

    def run(
        self, requests: Iterable[Request], chance: random.Random, gone: Iterable[int] = ()
    ) -> dict[int, list[Event]]:
        """The events of requests that come at random steps; those `gone` are canceled after five tokens."""
        coming, batch, events = list(requests), self.loaded.create_scheduler(PLENTY), list[Event]()
        while coming or batch.has_work:
            if coming and chance.random() < 0.3:
                events += batch.add_request(coming.pop(0))
            tired = {number for number in gone if tokens_of(e for e in events if e.request_id == number) >= 5}
            events += batch.run_step(tired)
        numbers = {event.request_id for event in events}
        return {number: [event for event in events if event.request_id == number] for number in numbers}


@pytest.fixture(scope="module", params=list(MADE))
def model_pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Each architecture that goes the generic way."""
    return Pair(*MADE[request.param], tmp_path_factory.mktemp(request.param))


def question(number: int, **options: Any) -> Request:
    """One of several questions, some with turns before them."""
    turns = ["Hello world", "Yes, I love to travel."] * (number % 3) + [QUESTIONS[number % len(QUESTIONS)]]
    plain = {"repetition_penalty": 1.0, "min_new_tokens": 0, "encoder_no_repeat_ngram": 0, "no_repeat_ngram": 0}
    return make_request(*turns, number=number, **{**plain, "max_new_tokens": 8 + number % 4 * 5, **options})


def last_draft(events: list[Event]) -> str:
    return [event.text for event in events if isinstance(event, ProvisionalText)][-1]


def test_greedy_answers_match_generate(model_pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "SHARED_PREFILL_TOKENS", 7)
    requests = [question(number, temperature=0.0) for number in range(7)]
    found = model_pair.run(requests, random.Random(1), gone=(2, 5))
    for request in requests:
        text, tokens = model_pair.expected(request)
        mine = found[request.id]
        if finish_of(mine).reason is FinishReason.CANCELED:
            assert request.id in (2, 5)
            assert text.startswith(text_of(mine))
        else:
            assert (text_of(mine), tokens_of(mine)) == (text, tokens)
    assert len({text_of(events)[:9] for events in found.values()}) > 3, "the answers tell the questions apart"
    assert model_pair.loaded.executor.running_groups == []


def test_beam_search_beside_greedy_matches_generate(model_pair: Pair) -> None:
    requests = [question(number, beams=2 + number % 2, length_penalty=0.6) for number in range(3)]
    requests += [question(number, temperature=0.0) for number in range(3, 5)]
    random.Random(1).shuffle(requests)
    found = model_pair.run(requests, random.Random(1))
    for request in requests:
        mine = found[request.id]
        assert finish_of(mine).error_message is None
        assert (last_draft(mine) if request.options.beams else text_of(mine)) == model_pair.expected(request)[0]


def test_sampling_is_independent_of_batch(model_pair: Pair) -> None:
    requests = [question(number, temperature=1.0, top_p=0.9, seed=number) for number in range(4)]
    found = model_pair.run(requests, random.Random(1))
    for request in requests:
        assert found[request.id][1:] == model_pair.run([request], random.Random(1))[request.id][1:]
    assert len({text_of(events) for events in found.values()}) > 2


def test_answer_continues_after_prefix(model_pair: Pair) -> None:
    request = question(1, temperature=0.0, max_new_tokens=10)
    row = model_pair.loaded.prepare_request(request).sequence_group
    model_executor, written = model_pair.loaded.executor, list[int]()
    logits = reading(model_executor, row)
    while len(written) < 10:
        written.append(int(logits.argmax()))
        row = model_executor.create_group(row.prompt_ids, written, 10)
        logits = reading(model_executor, row)
    model_executor.free_group(row)
    endless: dict[str, Any] = {"eos_token_id": None, "forced_eos_token_id": None}
    prompt = torch.tensor([list(row.prompt_ids)])
    ids = model_pair.reference.generate(prompt, max_new_tokens=10, do_sample=False, **endless)[0].tolist()
    assert ids[-10:] == written


def reading(model_executor: Any, row: SequenceGroup) -> torch.Tensor:
    """The logits after all that is unread, in pieces of seven ids."""
    logits = None
    while logits is None:
        logits = model_executor.prefill_chunk(row, 7)
    assert isinstance(logits, torch.Tensor)
    return logits


def test_memory_use_matches_estimate(model_pair: Pair) -> None:
    request = question(3, beams=4)
    row = model_pair.loaded.prepare_request(request).sequence_group
    batch = model_pair.loaded.create_scheduler(PLENTY)
    events, most, running = list(batch.add_request(request)), 0, list[SequenceGroup]()
    while batch.has_work:
        events += batch.run_step(())
        running = list(model_pair.loaded.executor.running_groups) or running
        rank = model_pair.loaded.executor._kv_cache._batches[4]  # type: ignore[attr-defined]
        most = max(most, *rank.pools[0].lengths, 0)
    assert isinstance(events[-1], Finish)
    assert 0 < most <= running[0].max_positions
    layers, _, _, heads, _, width = model_pair.loaded.executor._sizing_pool.cache.shape  # type: ignore[attr-defined]
    source = len(row.prompt_ids) if model_pair.reference.config.is_encoder_decoder else 0
    assert model_pair.loaded.executor.cache_bytes(row) == layers * 2 * heads * width * 4 * (row.max_positions + source)


@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_kv_cache_uses_model_dtype(name: str, tmp_path: Path) -> None:
    half = Pair(*MADE[name], tmp_path, torch.bfloat16)
    found = half.run([question(number, temperature=0.0) for number in range(3)], random.Random(1))
    assert all(finish_of(events).error_message is None for events in found.values())
    assert any(tokens_of(events) > 5 for events in found.values())
    assert half.loaded.executor._sizing_pool.cache.dtype is torch.bfloat16  # type: ignore[attr-defined]


@pytest.mark.skipif(not cpu_has_exact_int8(), reason="this processor does not multiply bytes exactly")
@pytest.mark.parametrize("name", ["gpt2", "qwen3", "t5"])
def test_int8_logits_approximate_float_and_ignore_batch(name: str, tmp_path: Path) -> None:
    pair = Pair(*MADE[name], tmp_path)
    model_executor = TransformersExecutor(copy.deepcopy(pair.reference), CONTEXT, use_int8=True)
    requests = [question(number) for number in range(4)]
    prompts = [pair.loaded.prompt_format.build_prompt(request, {}).ids for request in requests]
    rows = [model_executor.create_group(ids, [], 8) for ids in prompts]
    first = [reading(model_executor, row) for row in rows]
    exact = [reading(pair.loaded.executor, pair.loaded.executor.create_group(ids, [], 8)) for ids in prompts]
    assert near(torch.stack(first), torch.stack(exact)) > 0.99
    for row, logits in zip(rows, first, strict=True):
        row.next_ids = [int(logits.argmax())]
        model_executor.activate_group(row)
    together = model_executor.decode_step(rows)
    alone = torch.cat([model_executor.decode_step([row]) for row in rows])
    assert torch.allclose(together, alone, atol=0.05 * float(alone.std()))
    written = [pair.loaded.executor.create_group(row.prompt_ids, [*row.next_ids], 8) for row in rows]
    assert near(together, torch.stack([reading(pair.loaded.executor, row) for row in written])) > 0.97
    for row in rows:
        model_executor.free_group(row)


def near(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The least cosine between two rows of logits."""
    return float(torch.cosine_similarity(found, expected, -1).min())


def test_dynamic_rope_disables_batching() -> None:
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    moving = TransformersExecutor(
        LlamaForCausalLM(LlamaConfig(vocab_size=50, rope_parameters=rope, **DECODER)), CONTEXT
    )
    still = TransformersExecutor(LlamaForCausalLM(LlamaConfig(vocab_size=50, **DECODER)), CONTEXT)
    assert moving.max_groups == 1 < still.max_groups


def test_bidirectional_model_is_rejected() -> None:
    bidirectional = Gemma3TextConfig(vocab_size=50, use_bidirectional_attention=True, **LAYERS, **DECODER)
    with pytest.raises(ModelLoadError, match="not a left-to-right model"):
        TransformersExecutor(Gemma3ForCausalLM(bidirectional), CONTEXT)
