"""The lean steps against transformers' own forward, and the arithmetic they rest on."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BlenderbotConfig,
    BlenderbotForConditionalGeneration,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from chatsite.engine.catalog.catalog import resolve_entry
from chatsite.engine.downloads.weights import ensure_installed
from chatsite.engine.inference.executor import ModelExecutor, SequenceGroup
from chatsite.engine.inference.executors import blenderbot, llama
from chatsite.engine.inference.kv_cache.pool import CacheShape, KVCachePool, length_mask
from chatsite.engine.inference.loading.checkpoint import load_checkpoint
from chatsite.engine.inference.quantization import linear
from chatsite.engine.inference.quantization.linear import Int8Linear, cpu_has_exact_int8
from chatsite.engine.inference.quantization.precision import resolve_precision
from tests.support import trained_models

SIZES: dict[str, Any] = {
    "vocab_size": 90,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
MODELS = Path(os.environ.get("CHATSITE_TEST_MODELS") or Path(__file__).parents[3] / "instance" / "models")


def scattered(model: Any) -> Any:
    """A model whose every weight is random, biases and norms too."""
    chance = torch.Generator().manual_seed(3)
    for weight in model.parameters():
        weight.data += torch.randn(weight.shape, generator=chance) * 0.1
    return model.eval()


def decoders() -> dict[str, Any]:
    """Decoder-only models with and without each variation."""
    return {
        "plain": LlamaForCausalLM(LlamaConfig(**SIZES)),
        "tied": LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=True, attention_bias=True)),
        "llama3": LlamaForCausalLM(LlamaConfig(**SIZES, rope_parameters=LLAMA3)),
        "wide": LlamaForCausalLM(LlamaConfig(**SIZES, head_dim=16)),
        "qwen2": Qwen2ForCausalLM(Qwen2Config(**SIZES)),
    }


def read(model_executor: ModelExecutor, row: SequenceGroup, piece: int) -> torch.Tensor:
    """Read all of a prompt."""
    logits = None
    while logits is None:
        logits = model_executor.prefill_chunk(row, piece)
    return logits


def run(
    model_executor: ModelExecutor, prompts: list[list[int]], answers: list[list[int]], piece: int
) -> list[torch.Tensor]:
    """Logits after each token of given answers, `[tokens + 1, vocabulary]`, one sequence joining a step."""
    rows = [model_executor.create_group(prompt, [], len(ids)) for prompt, ids in zip(prompts, answers, strict=True)]
    found: list[list[torch.Tensor]] = [[] for _ in rows]
    coming = list(range(len(rows)))
    while coming or model_executor.running_groups:
        if coming:
            number = coming.pop(0)
            found[number].append(read(model_executor, rows[number], piece))
            model_executor.activate_group(rows[number])
        for number, row in enumerate(rows):
            if row in model_executor.running_groups and len(found[number]) > len(answers[number]):
                model_executor.free_group(row)
        running = list(model_executor.running_groups)
        for row in running:
            number = rows.index(row)
            row.next_ids = [answers[number][len(found[number]) - 1]]
        if running:
            for row, logits in zip(running, model_executor.decode_step(running), strict=True):
                model_executor.commit_step(row)
                found[rows.index(row)].append(logits)
    return [torch.stack(logits) for logits in found]


def words(count: int, seed: int) -> list[int]:
    """Random ids."""
    return torch.randint(3, 90, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


PROMPTS = [words(5, 1), words(17, 2), words(2, 3), words(30, 4), words(1, 5)]
ANSWERS = [words(12, 6), words(3, 7), words(20, 8), words(9, 9), words(0, 10)]


@pytest.mark.parametrize("name", list(decoders()))
@pytest.mark.parametrize("piece", [256, 3])
def test_llama_executor_matches_transformers(name: str, piece: int) -> None:
    model = scattered(decoders()[name])
    assert llama.supports(model)
    with torch.inference_mode():
        expected = [model(torch.tensor([p + a])).logits[0, len(p) - 1 :] for p, a in zip(PROMPTS, ANSWERS, strict=True)]
        for mine, theirs in zip(run(llama.LlamaExecutor(model), PROMPTS, ANSWERS, piece), expected, strict=True):
            assert torch.allclose(mine, theirs, atol=2e-5)
        again = model(torch.tensor([PROMPTS[0]])).logits[0, -1]
    assert torch.allclose(again, expected[0][0], atol=2e-5), "the module goes on working on the joined weights"


def test_blenderbot_executor_matches_transformers() -> None:
    model = scattered(BlenderbotForConditionalGeneration(trained_models.small_blenderbot_config(90)))
    assert blenderbot.supports(model)
    lean = blenderbot.BlenderbotExecutor(model)
    starts = [[1, *answer] for answer in ANSWERS]
    with torch.inference_mode():
        for mine, prompt, start in zip(run(lean, PROMPTS, ANSWERS, 3), PROMPTS, starts, strict=True):
            theirs = model(input_ids=torch.tensor([prompt]), decoder_input_ids=torch.tensor([start])).logits[0]
            assert torch.allclose(mine, theirs, atol=2e-5)


def test_executors_do_not_support_other_models() -> None:
    assert not llama.supports(LlamaForCausalLM(LlamaConfig(**SIZES, hidden_act="gelu")))
    dynamic = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    assert not llama.supports(LlamaForCausalLM(LlamaConfig(**SIZES, rope_parameters=dynamic)))
    assert not llama.supports(BlenderbotForConditionalGeneration(trained_models.small_blenderbot_config(90)))
    assert not blenderbot.supports(LlamaForCausalLM(LlamaConfig(**SIZES)))


def matrix(outputs: int = 40, inputs: int = 64) -> Int8Linear:
    """A random matrix in eight bits."""
    return Int8Linear(torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(1)), torch.ones(outputs))


@torch.inference_mode()
def test_int8_linear_approximates_float() -> None:
    weight = torch.randn(40, 64, generator=torch.Generator().manual_seed(1))
    x = torch.randn(5, 64, generator=torch.Generator().manual_seed(2)) * torch.tensor([[1e-3], [1], [50], [1e4], [0]])
    exact = torch.nn.functional.linear(x, weight)
    near = Int8Linear(weight)(x)
    # Older processors add two products in 16 bits, which overflows: the engine does not take eight bits there.
    tolerance = 0.02 if cpu_has_exact_int8() else 0.1
    assert ((near - exact).norm(dim=1) <= tolerance * exact.norm(dim=1)).all()
    assert torch.allclose(matrix()(x), near + 1, rtol=1e-5)


@torch.inference_mode()
def test_int8_row_is_independent_of_other_rows() -> None:
    chance = torch.Generator().manual_seed(3)
    x = torch.randn(9, 64, generator=chance)
    x[4] *= 1000
    x[5, 7] = 300.0
    together = matrix()(x)
    for count in (1, 2, 9):
        for i in range(9 - count + 1):
            assert torch.equal(matrix()(x[i : i + count]), together[i : i + count])


def test_kv_cache_pool_stays_compact_and_keeps_contents() -> None:
    slots = KVCachePool(CacheShape(2, 4, 8), torch.zeros(1))
    filled = [torch.full((2, 2, 1, 4, 150, 8), float(i + 1)) for i in range(5)]
    for i, length in enumerate((3, 150, 7, 20, 1)):
        assert slots.insert_row(filled[i], length, length + 10) == i
    slots.remove_row(1)
    assert slots.lengths == [3, 1, 7, 20]
    assert [float(slots.cache[1, 1, i, 3, n - 1, 7]) for i, n in enumerate(slots.lengths)] == [1, 5, 3, 4]
    assert not slots.cache[:, :, 4].any(), "what is free holds no numbers that could spoil a sum"
    for _ in range(4):
        slots.remove_row(0)
    assert slots.cache.numel() == 0


def test_small_steps_use_half_of_the_threads() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    with contextlib.suppress(ValueError), linear.decode_threads(linear.MIN_ROWS_FOR_ALL_THREADS - 1):
        assert torch.get_num_threads() == 2
        raise ValueError("broken")
    with linear.decode_threads(linear.MIN_ROWS_FOR_ALL_THREADS):
        assert torch.get_num_threads() == 4
    assert torch.get_num_threads() == 4
    torch.set_num_threads(before)


def test_attention_mask_hides_padding() -> None:
    like = torch.zeros(1)
    assert length_mask(torch.tensor([4, 4]), 4, like) is None
    mask = length_mask(torch.tensor([1, 3]), 3, like)
    assert mask is not None
    assert (mask[:, 0, 0] == 0).tolist() == [[True, False, False], [True, True, True]]


def test_precision_follows_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for able, found in ((True, ["int8", "fp32", "bf16", "int8"]), (False, ["fp32", "fp32", "bf16", "fp32"])):
        monkeypatch.setattr(linear, "cpu_has_exact_int8", lambda able=able: able)
        assert [resolve_precision(requested).name for requested in ("auto", "fp32", "bf16", "int8")] == found
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [resolve_precision(requested).name for requested in ("auto", "fp32", "int8")] == ["bf16", "fp32", "bf16"]


def greedy(model_executor: ModelExecutor, prompts: list[list[int]], count: int) -> list[list[int]]:
    """What each prompt is answered with, all in one batch, one joining a step."""
    rows, coming = [model_executor.create_group(prompt, [], count) for prompt in prompts], list(range(len(prompts)))
    told: dict[SequenceGroup, list[int]] = {row: [] for row in rows}
    while coming or model_executor.running_groups:
        running = list(model_executor.running_groups)
        if running:
            for row, logits in zip(running, model_executor.decode_step(running), strict=True):
                model_executor.commit_step(row)
                row.next_ids = [int(logits.argmax())]
                told[row] += row.next_ids
        if coming:
            row = rows[coming.pop(0)]
            row.next_ids = [int(read(model_executor, row, 256).argmax())]
            told[row] += row.next_ids
            model_executor.activate_group(row)
        for row in [row for row in model_executor.running_groups if len(told[row]) >= count]:
            model_executor.free_group(row)
    return [told[row] for row in rows]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("depth", trained_models.DEPTHS)
def test_full_size_blenderbot_matches_generate(depth: dict[str, Any]) -> None:
    config = BlenderbotConfig.from_pretrained(trained_models.real_tokenizer_folder(), **depth)
    torch.manual_seed(5)
    model = scattered(BlenderbotForConditionalGeneration(config))
    prompts = [[*words(length, length), 2] for length in (9, 40, 127, 3)]
    settings = {"do_sample": False, "num_beams": 1, "max_new_tokens": 20, "min_new_tokens": 20, "max_length": None}
    settings |= {"no_repeat_ngram_size": 0, "encoder_no_repeat_ngram_size": 0, "forced_eos_token_id": None}
    expected = []
    for prompt in prompts:
        ids = torch.tensor([prompt])
        expected.append(model.generate(ids, attention_mask=torch.ones_like(ids), eos_token_id=None, **settings)[0, 1:])
    found = greedy(blenderbot.BlenderbotExecutor(model), prompts, 20)
    assert found == [ids.tolist() for ids in expected]


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_embedded_model_matches_generate() -> None:
    checkpoint = load_checkpoint(
        ensure_installed(resolve_entry("smollm2-135m-instruct"), MODELS, lambda progress: None).folder, torch.float32
    )
    model: Any = checkpoint.model
    questions = ["What is the capital of France?", "Tell me a story about a fox. " * 9, "Hi!", "What is 2 + 2?"]
    prompts: list[Any] = [
        checkpoint.tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, return_dict=False
        )
        for text in questions
    ]
    expected = []
    for prompt in prompts:
        ids = torch.tensor([prompt])
        settings = {"do_sample": False, "max_new_tokens": 24, "min_new_tokens": 24, "eos_token_id": None}
        expected.append(model.generate(ids, attention_mask=torch.ones_like(ids), **settings)[0, len(prompt) :].tolist())
    assert greedy(llama.LlamaExecutor(model), prompts, 24) == expected
