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

from chatsite.engine.decoding import blenderbot, llama, packing
from chatsite.engine.decoding.checkpoint import load
from chatsite.engine.decoding.packing import EightBits
from chatsite.engine.decoding.precision import settle_precision
from chatsite.engine.decoding.slots import Slots, visible
from chatsite.engine.decoding.stepping import Row, Stepper
from tests.engine import support

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
MODELS = Path(os.environ.get("CHATSITE_TEST_MODELS") or Path(__file__).parents[2] / "instance" / "models")


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


def read(stepper: Stepper, row: Row, piece: int) -> torch.Tensor:
    """Read all of a prompt."""
    logits = None
    while logits is None:
        logits = stepper.read(row, piece)
    return logits


def run(stepper: Stepper, prompts: list[list[int]], answers: list[list[int]], piece: int) -> list[torch.Tensor]:
    """Logits after each token of given answers, `[tokens + 1, vocabulary]`, one sequence joining a step."""
    rows = [stepper.open(prompt, [], len(ids)) for prompt, ids in zip(prompts, answers, strict=True)]
    found: list[list[torch.Tensor]] = [[] for _ in rows]
    coming = list(range(len(rows)))
    while coming or stepper.rows:
        if coming:
            number = coming.pop(0)
            found[number].append(read(stepper, rows[number], piece))
            stepper.join(rows[number])
        for number, row in enumerate(rows):
            if row in stepper.rows and len(found[number]) > len(answers[number]):
                stepper.leave(row)
        running = list(stepper.rows)
        for row in running:
            number = rows.index(row)
            row.tokens = [answers[number][len(found[number]) - 1]]
        if running:
            for row, logits in zip(running, stepper.step(running), strict=True):
                stepper.advance(row)
                found[rows.index(row)].append(logits)
    return [torch.stack(logits) for logits in found]


def words(count: int, seed: int) -> list[int]:
    """Random ids."""
    return torch.randint(3, 90, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


PROMPTS = [words(5, 1), words(17, 2), words(2, 3), words(30, 4), words(1, 5)]
ANSWERS = [words(12, 6), words(3, 7), words(20, 8), words(9, 9), words(0, 10)]


@pytest.mark.parametrize("name", list(decoders()))
@pytest.mark.parametrize("piece", [256, 3])
def test_a_llama_gives_what_transformers_gives(name: str, piece: int) -> None:
    model = scattered(decoders()[name])
    assert llama.fits(model)
    with torch.inference_mode():
        expected = [model(torch.tensor([p + a])).logits[0, len(p) - 1 :] for p, a in zip(PROMPTS, ANSWERS, strict=True)]
        for mine, theirs in zip(run(llama.LeanLlama(model), PROMPTS, ANSWERS, piece), expected, strict=True):
            assert torch.allclose(mine, theirs, atol=2e-5)
        again = model(torch.tensor([PROMPTS[0]])).logits[0, -1]
    assert torch.allclose(again, expected[0][0], atol=2e-5), "the module goes on working on the joined weights"


def test_a_blenderbot_gives_what_transformers_gives() -> None:
    model = scattered(BlenderbotForConditionalGeneration(support.small_blenderbot(90)))
    assert blenderbot.fits(model)
    lean = blenderbot.LeanBlenderbot(model)
    starts = [[1, *answer] for answer in ANSWERS]
    with torch.inference_mode():
        for mine, prompt, start in zip(run(lean, PROMPTS, ANSWERS, 3), PROMPTS, starts, strict=True):
            theirs = model(input_ids=torch.tensor([prompt]), decoder_input_ids=torch.tensor([start])).logits[0]
            assert torch.allclose(mine, theirs, atol=2e-5)


def test_what_has_no_lean_step_is_not_taken_for_it() -> None:
    assert not llama.fits(LlamaForCausalLM(LlamaConfig(**SIZES, hidden_act="gelu")))
    dynamic = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    assert not llama.fits(LlamaForCausalLM(LlamaConfig(**SIZES, rope_parameters=dynamic)))
    assert not llama.fits(BlenderbotForConditionalGeneration(support.small_blenderbot(90)))
    assert not blenderbot.fits(LlamaForCausalLM(LlamaConfig(**SIZES)))


def matrix(outputs: int = 40, inputs: int = 64) -> EightBits:
    """A random matrix in eight bits."""
    return EightBits(torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(1)), torch.ones(outputs))


@torch.inference_mode()
def test_eight_bits_are_near_the_floats() -> None:
    weight = torch.randn(40, 64, generator=torch.Generator().manual_seed(1))
    x = torch.randn(5, 64, generator=torch.Generator().manual_seed(2)) * torch.tensor([[1e-3], [1], [50], [1e4], [0]])
    exact = torch.nn.functional.linear(x, weight)
    near = EightBits(weight)(x)
    assert ((near - exact).norm(dim=1) <= 0.02 * exact.norm(dim=1)).all()
    assert torch.allclose(matrix()(x), near + 1, rtol=1e-5)


@torch.inference_mode()
def test_a_row_in_eight_bits_does_not_depend_on_the_rows_beside_it() -> None:
    chance = torch.Generator().manual_seed(3)
    x = torch.randn(9, 64, generator=chance)
    x[4] *= 1000
    x[5, 7] = 300.0
    together = matrix()(x)
    for count in (1, 2, 9):
        for i in range(9 - count + 1):
            assert torch.equal(matrix()(x[i : i + count]), together[i : i + count])


def test_places_have_no_holes_and_keep_what_they_hold() -> None:
    slots = Slots(2, 4, 8, torch.zeros(1))
    filled = [torch.full((2, 2, 1, 4, 150, 8), float(i + 1)) for i in range(5)]
    for i, length in enumerate((3, 150, 7, 20, 1)):
        assert slots.add(filled[i], length, length + 10) == i
    slots.remove(1)
    assert slots.lengths == [3, 1, 7, 20]
    assert [float(slots.cache[1, 1, i, 3, n - 1, 7]) for i, n in enumerate(slots.lengths)] == [1, 5, 3, 4]
    assert not slots.cache[:, :, 4].any(), "what is free holds no numbers that could spoil a sum"
    for _ in range(4):
        slots.remove(0)
    assert slots.cache.numel() == 0


def test_steps_of_few_rows_take_half_of_the_threads_and_give_them_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    with contextlib.suppress(ValueError), packing.step_threads(packing.MANY_ROWS - 1):
        assert torch.get_num_threads() == 2
        raise ValueError("broken")
    with packing.step_threads(packing.MANY_ROWS):
        assert torch.get_num_threads() == 4
    assert torch.get_num_threads() == 4
    torch.set_num_threads(before)


def test_what_is_visible() -> None:
    like = torch.zeros(1)
    assert visible(torch.tensor([4, 4]), 4, like) is None
    mask = visible(torch.tensor([1, 3]), 3, like)
    assert mask is not None
    assert (mask[:, 0, 0] == 0).tolist() == [[True, False, False], [True, True, True]]


def test_the_precision_is_what_the_machine_can_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for able, found in ((True, ["int8", "fp32", "bf16", "int8"]), (False, ["fp32", "fp32", "bf16", "fp32"])):
        monkeypatch.setattr(packing, "has_eight_bits", lambda able=able: able)
        assert [settle_precision(wish).name for wish in ("auto", "fp32", "bf16", "int8")] == found
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [settle_precision(wish).name for wish in ("auto", "fp32", "int8")] == ["bf16", "fp32", "bf16"]


def greedy(stepper: Stepper, prompts: list[list[int]], count: int) -> list[list[int]]:
    """What each prompt is answered with, all in one batch, one joining a step."""
    rows, coming = [stepper.open(prompt, [], count) for prompt in prompts], list(range(len(prompts)))
    told: dict[Row, list[int]] = {row: [] for row in rows}
    while coming or stepper.rows:
        running = list(stepper.rows)
        if running:
            for row, logits in zip(running, stepper.step(running), strict=True):
                stepper.advance(row)
                row.tokens = [int(logits.argmax())]
                told[row] += row.tokens
        if coming:
            row = rows[coming.pop(0)]
            row.tokens = [int(read(stepper, row, 256).argmax())]
            told[row] += row.tokens
            stepper.join(row)
        for row in [row for row in stepper.rows if len(told[row]) >= count]:
            stepper.leave(row)
    return [told[row] for row in rows]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_real_blenderbot_writes_what_generate_writes() -> None:
    config = BlenderbotConfig.from_pretrained(support.real_tokenizer_folder())
    torch.manual_seed(5)
    model = scattered(BlenderbotForConditionalGeneration(config))
    prompts = [[*words(length, length), 2] for length in (9, 40, 127, 3)]
    settings = {"do_sample": False, "num_beams": 1, "max_new_tokens": 20, "min_new_tokens": 20, "max_length": None}
    settings |= {"no_repeat_ngram_size": 0, "encoder_no_repeat_ngram_size": 0, "forced_eos_token_id": None}
    expected = []
    for prompt in prompts:
        ids = torch.tensor([prompt])
        expected.append(model.generate(ids, attention_mask=torch.ones_like(ids), eos_token_id=None, **settings)[0, 1:])
    found = greedy(blenderbot.LeanBlenderbot(model), prompts, 20)
    assert found == [ids.tolist() for ids in expected]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_embedded_model_writes_what_generate_writes() -> None:
    checkpoint = load(MODELS / "smollm2-135m-instruct", torch.float32)
    model: Any = checkpoint.model
    questions = ["What is the capital of France?", "Tell me a story about a fox. " * 9, "Hi!", "What is 2 + 2?"]
    prompts = [
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
    assert greedy(llama.LeanLlama(model), prompts, 24) == expected
