"""The compiled kernels at sizes that hypothesis chooses, against plain torch in double precision."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    BlenderbotConfig,
    BlenderbotForConditionalGeneration,
    LlamaConfig,
    LlamaForCausalLM,
)

from chatsite.engine.inference import native
from chatsite.engine.inference.executor import ModelExecutor
from chatsite.engine.inference.executors.blenderbot import BlenderbotExecutor
from chatsite.engine.inference.executors.llama import LlamaExecutor
from chatsite.engine.inference.native.int8 import BLOCK_OUTPUTS, INPUTS_PER_GROUP, NativeInt8Linear, scratch_buffers

pytestmark = pytest.mark.skipif(
    native.load_library() is None, reason="there was no C compiler, or the processor lacks AVX-512 VNNI"
)

# Sizes around the edges of blocks, groups and registers, and any others.
SIZES = st.one_of(st.integers(1, 300), st.sampled_from([15, 16, 17, 63, 64, 65, 127, 128, 129, 255, 256, 257]))
# A rounded weight differs by half of a level, 1/254 of its output's largest; so does a rounded input.
HALF_LEVEL = 0.5 / 127
# Numbers on either side of a result that must not change: two blocks.
GUARD = 128


def random_tensor(seed: int, *shape: int) -> Tensor:
    """Return random numbers with a few large ones among them."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn(*shape, generator=generator)
    return torch.where(torch.rand(*shape, generator=generator) < 0.02, numbers * 50, numbers)


def reference_product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Round as the kernel does, group by group, and multiply in double precision."""
    scales = weight.abs().amax(1, keepdim=True) / 127
    levels = torch.where(scales > 0, (weight / scales).round(), torch.zeros(())).double()
    result = torch.zeros(len(x), len(weight), dtype=torch.double)
    for begin in range(0, x.shape[1], INPUTS_PER_GROUP):
        group = x[:, begin : begin + INPUTS_PER_GROUP]
        group_scales = group.abs().amax(1, keepdim=True) / 127
        rounded = torch.where(group_scales > 0, (group / group_scales).round(), torch.zeros(())).double()
        result += rounded * group_scales.double() @ levels[:, begin : begin + INPUTS_PER_GROUP].T
    return result * scales.double().T + (0 if bias is None else bias.double())


def largest_error(x: Tensor, weight: Tensor) -> Tensor:
    """Return what one level more or less at some places may change, `[rows, outputs]`.

    A number in the middle of two levels may be rounded to either, as the kernel multiplies where the reference divides.
    """
    levels_of_x, levels_of_weight = x.abs().amax() * HALF_LEVEL * 2, weight.abs().amax() * HALF_LEVEL * 2
    ties = 2 + math.sqrt(x.shape[1])
    return ties * (levels_of_x * weight.abs().amax() + levels_of_weight * x.abs().amax())


@settings(max_examples=150, deadline=None)
@given(outputs=SIZES, inputs=SIZES, rows=st.integers(0, 12), has_bias=st.booleans(), seed=st.integers(0, 2**31))
@example(outputs=1, inputs=1, rows=1, has_bias=False, seed=1)
@example(outputs=BLOCK_OUTPUTS + 1, inputs=INPUTS_PER_GROUP + 1, rows=6, has_bias=True, seed=1)
@example(outputs=5, inputs=7, rows=0, has_bias=True, seed=1)
def test_product_of_any_shape_matches_reference(
    outputs: int, inputs: int, rows: int, has_bias: bool, seed: int
) -> None:
    weight, x = random_tensor(seed, outputs, inputs), random_tensor(seed + 1, rows, inputs)
    bias = random_tensor(seed + 2, outputs) if has_bias else None
    result = NativeInt8Linear(weight, bias)(x)
    assert result.shape == (rows, outputs)
    if rows:
        expected = reference_product(x, weight, bias)
        assert (result - expected).abs().max() <= largest_error(x, weight)
        assert (result - expected).norm() <= 1e-2 * (1 + expected.norm())


@settings(max_examples=50, deadline=None)
@given(outputs=SIZES, inputs=SIZES, rows=st.integers(1, 12))
def test_product_of_any_shape_writes_nothing_beside_its_results(outputs: int, inputs: int, rows: int) -> None:
    """The sanitizers do not see masked stores, which are what the kernel ends a row with."""
    matrix, x = NativeInt8Linear(random_tensor(1, outputs, inputs)), random_tensor(2, rows, inputs)
    guarded = torch.full((GUARD + rows * outputs + GUARD,), 7.0)
    buffer = scratch_buffers.reserve_buffer(rows, matrix.padded_inputs)
    matrix._matmul(matrix.address, x.data_ptr(), inputs, rows, buffer, guarded[GUARD:].data_ptr())
    assert torch.equal(guarded[GUARD:-GUARD].view(rows, outputs), matrix(x))
    assert (guarded[:GUARD] == 7.0).all()
    assert (guarded[-GUARD:] == 7.0).all()


@settings(max_examples=50, deadline=None)
@given(outputs=SIZES, inputs=SIZES, zeroed=st.sampled_from(["weight", "input"]))
def test_zeros_of_any_shape_give_zeros(outputs: int, inputs: int, zeroed: str) -> None:
    weight, x = random_tensor(1, outputs, inputs), random_tensor(2, 3, inputs)
    (weight if zeroed == "weight" else x).zero_()
    assert not NativeInt8Linear(weight)(x).any()


@settings(max_examples=50, deadline=None)
@given(outputs=SIZES, inputs=SIZES, rows=st.integers(2, 12), seed=st.integers(0, 2**31))
def test_row_of_any_shape_is_independent_of_others(outputs: int, inputs: int, rows: int, seed: int) -> None:
    matrix, x = NativeInt8Linear(random_tensor(seed, outputs, inputs)), random_tensor(seed + 1, rows, inputs)
    together, row = matrix(x), seed % rows
    assert torch.equal(matrix(x[row : row + 1])[0], together[row])


def randomize(model: Any, seed: int) -> Any:
    """Give a model weights that are large enough to make its logits differ."""
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        weight.data += torch.randn(weight.shape, generator=generator) * 0.1
    return model.eval()


@torch.inference_mode()
def read_and_write(executor: ModelExecutor, prompts: list[list[int]], ids: list[int], piece: int) -> list[Tensor]:
    """Read prompts in pieces, then let each write `ids`; return the logits of each after its last prompt id and on."""
    groups = [executor.create_group(prompt, [], len(ids)) for prompt in prompts]
    found: list[list[Tensor]] = []
    for group in groups:
        while (logits := executor.prefill_chunk(group, piece)) is None:
            pass
        executor.activate_group(group)
        found.append([logits])
    for token in ids:
        for group in groups:
            group.next_ids = [token]
        for logits, told in zip(executor.decode_step(groups), found, strict=True):
            told.append(logits)
        for group in groups:
            executor.commit_step(group)
    return [torch.stack(told) for told in found]


SEQUENCES = st.lists(st.lists(st.integers(3, 89), min_size=1, max_size=40), min_size=1, max_size=4)


@settings(max_examples=12, deadline=None)
@given(
    registers=st.integers(1, 3),
    inner=st.integers(1, 9).map(lambda registers: 16 * registers),
    width=st.sampled_from([32, 64, 96]),
    heads=st.sampled_from([(1, 1), (2, 1), (3, 3), (5, 1), (6, 2), (7, 7), (9, 3)]),
    prompts=SEQUENCES,
    piece=st.integers(1, 50),
)
@example(registers=1, inner=16, width=32, heads=(1, 1), prompts=[[5]], piece=1)
@example(registers=1, inner=144, width=96, heads=(9, 3), prompts=[[5] * 40, [6], [7, 8]], piece=7)
def test_llama_of_any_shape_matches_floats(
    registers: int, inner: int, width: int, heads: tuple[int, int], prompts: list[list[int]], piece: int
) -> None:
    config = LlamaConfig(
        vocab_size=90,
        hidden_size=16 * registers * heads[0],
        intermediate_size=inner,
        num_hidden_layers=2,
        num_attention_heads=heads[0],
        num_key_value_heads=heads[1],
        head_dim=width,
        max_position_embeddings=128,
    )
    model, ids = randomize(LlamaForCausalLM(config), registers + inner), list(range(20, 28))
    with torch.inference_mode():
        expected = [model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 :] for prompt in prompts]
    executor = LlamaExecutor(model, use_int8=True)
    assert executor.native
    for logits, floats in zip(read_and_write(executor, prompts, ids, piece), expected, strict=True):
        assert (logits - floats).norm() <= 0.1 * floats.norm()


@settings(max_examples=12, deadline=None)
@given(
    heads=st.sampled_from([(1, 16), (1, 48), (2, 24), (3, 16), (4, 12), (5, 16), (6, 8), (7, 16)]),
    inner=st.integers(1, 9).map(lambda registers: 16 * registers),
    prompts=SEQUENCES,
    piece=st.integers(1, 50),
)
@example(heads=(1, 16), inner=16, prompts=[[5]], piece=1)
@example(heads=(7, 16), inner=144, prompts=[[5] * 40, [6], [7, 8]], piece=7)
def test_blenderbot_of_any_shape_matches_floats(
    heads: tuple[int, int], inner: int, prompts: list[list[int]], piece: int
) -> None:
    config = BlenderbotConfig(
        vocab_size=90,
        max_position_embeddings=64,
        d_model=heads[0] * heads[1],
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=inner,
        encoder_attention_heads=heads[0],
        decoder_attention_heads=heads[0],
    )
    model, ids = randomize(BlenderbotForConditionalGeneration(config), inner), list(range(20, 28))
    with torch.inference_mode():
        expected = [
            model(torch.tensor([prompt]), decoder_input_ids=torch.tensor([[1, *ids]])).logits[0] for prompt in prompts
        ]
    executor = BlenderbotExecutor(model, use_int8=True)
    assert executor.native
    for logits, floats in zip(read_and_write(executor, prompts, ids, piece), expected, strict=True):
        assert (logits - floats).norm() <= 0.1 * floats.norm()
