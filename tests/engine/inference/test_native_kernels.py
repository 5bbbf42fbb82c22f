"""The compiled products and the compiled step, against floats and against themselves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    BlenderbotConfig,
    BlenderbotForConditionalGeneration,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from chatsite.engine.inference import native
from chatsite.engine.inference.executor import SequenceGroup
from chatsite.engine.inference.executors.blenderbot import BlenderbotExecutor
from chatsite.engine.inference.executors.llama import LlamaExecutor
from chatsite.engine.inference.native import int8
from chatsite.engine.inference.native.int8 import NativeInt8Linear

pytestmark = pytest.mark.skipif(
    native.load_library() is None, reason="there was no C compiler, or the processor lacks AVX-512 VNNI"
)

SIZES: dict[str, Any] = {
    "vocab_size": 90,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 512,
}


@pytest.fixture(autouse=True)
def _reset_threads() -> Iterator[None]:
    yield
    native.set_num_threads(1)


def chance(*shape: int, seed: int = 1) -> Tensor:
    """Random numbers of mean 0."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("outputs", "inputs"), [(64, 64), (40, 50), (130, 200), (1, 4), (700, 576)])
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 6, 11, 80])
def test_int8_products_approximate_float(outputs: int, inputs: int, rows: int) -> None:
    weight, bias, x = chance(outputs, inputs), chance(outputs, seed=2), chance(rows, inputs, seed=3)
    exact = torch.nn.functional.linear(x, weight, bias)
    assert (NativeInt8Linear(weight, bias)(x) - exact).norm() <= 0.012 * exact.norm()
    assert (NativeInt8Linear(weight)(x) - (exact - bias)).norm() <= 0.012 * exact.norm()


def test_outlier_affects_only_its_group() -> None:
    weight, x = chance(64, 640), chance(3, 640, seed=3)
    x[1, 7] = 1000.0
    weight[:, 7] = 0.0
    exact = torch.nn.functional.linear(x, weight)
    error = (NativeInt8Linear(weight)(x) - exact).norm(dim=1) / exact.norm(dim=1)
    assert error[1] < 0.4, "one group of ten is lost, and with one scale for the row all would be"
    assert error[[0, 2]].max() < 0.012


@pytest.mark.parametrize("threads", [1, 4])
def test_int8_row_is_independent_of_other_rows(threads: int) -> None:
    native.set_num_threads(threads)
    matrix, x = NativeInt8Linear(chance(200, 192), chance(200, seed=2)), chance(13, 192, seed=3)
    together = matrix(x)
    for first in range(13):
        for count in (1, 2, 5):
            assert torch.equal(matrix(x[first : first + count]), together[first : first + count])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_non_finite_input_affects_only_its_row(bad: float) -> None:
    matrix, x = NativeInt8Linear(chance(70, 128)), chance(3, 128, seed=3)
    before = matrix(x)
    x[1, 100] = bad
    after = matrix(x)
    assert after[1].isnan().all()
    assert torch.equal(after[[0, 2]], before[[0, 2]])


def test_zero_input_gives_bias() -> None:
    assert torch.equal(NativeInt8Linear(chance(10, 64), chance(10, seed=2))(torch.zeros(2, 64))[1], chance(10, seed=2))


def test_concurrent_multiplication_is_thread_safe() -> None:
    native.set_num_threads(3)
    matrices = [NativeInt8Linear(chance(500, 320, seed=i)) for i in range(4)]
    x = chance(7, 320, seed=9)
    expected = [matrix(x) for matrix in matrices]
    wrong: list[int] = []

    def work(number: int) -> None:
        wrong.extend(number for _ in range(300) if not torch.equal(matrices[number](x), expected[number]))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_scratch_buffers_fit_all_groups() -> None:
    """Short rows have more groups than their numbers tell."""
    room = int8._ScratchBuffers()
    for rows, inputs in ((1, 5120), (51, 100), (98, 52), (3, 4), (5, 2560)):
        room.reserve_buffer(rows, inputs)
        rounded, scales, shifts = room._tensors
        assert rounded.numel() >= rows * inputs
        assert min(scales.numel(), shifts.numel()) >= rows * -(-inputs // int8.INPUTS_PER_GROUP)


@pytest.mark.parametrize("token", [-1, 90])
def test_unknown_token_id_raises_and_executor_survives(token: int) -> None:
    for model_executor in (LlamaExecutor(models()["plain"].eval(), True), BlenderbotExecutor(small_blenderbot(), True)):
        good, bad = (opened(model_executor, [10, 11], [], 1, 64)[0] for _ in range(2))
        good.next_ids, bad.next_ids = [5], [token]
        with pytest.raises(IndexError):
            model_executor.decode_step([good, bad])
        assert model_executor.decode_step([good]).isfinite().all()


def models() -> dict[str, Any]:
    """Decoder-only models whose sizes the compiled step can take."""
    made = {
        "plain": LlamaForCausalLM(LlamaConfig(**SIZES)),
        "tied": LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=True, attention_bias=True)),
        "qwen2": Qwen2ForCausalLM(Qwen2Config(**SIZES)),
    }
    for model in made.values():
        for weight in model.parameters():
            weight.data += chance(*weight.shape) * 0.1
    return made


@torch.inference_mode()
def logits(model_executor: LlamaExecutor, ids: list[int], prompt: int, piece: int, beside: int = 0) -> Tensor:
    """Logits after each id from the prompt's last on (`[ids - prompt + 1, vocabulary]`), beside other sequences."""
    others = [model_executor.create_group([5, 6, 7 + i], [], 400) for i in range(beside)]
    row = model_executor.create_group(ids[:prompt], [], len(ids) - prompt)
    found = []
    for each in [*others[: beside // 2], row, *others[beside // 2 :]]:
        while (read := model_executor.prefill_chunk(each, piece)) is None:
            pass
        model_executor.activate_group(each)
        if each is row:
            found.append(read)
    for token in ids[prompt:]:
        row.next_ids = [token]
        found.append(
            model_executor.decode_step(model_executor.running_groups)[model_executor.running_groups.index(row)]
        )
        for each in model_executor.running_groups:
            model_executor.commit_step(each)
    for each in [*others, row]:
        model_executor.free_group(each)
    return torch.stack(found)


@pytest.mark.parametrize("name", ["plain", "tied", "qwen2"])
@pytest.mark.parametrize("threads", [1, 3])
def test_llama_int8_step_approximates_float(name: str, threads: int) -> None:
    native.set_num_threads(threads)
    ids = torch.randint(0, 90, (160,), generator=torch.Generator().manual_seed(4)).tolist()
    model = models()[name].eval()
    with torch.inference_mode():
        exact = model(torch.tensor([ids])).logits[0, 9:]
    model_executor = LlamaExecutor(model, use_int8=True)
    assert model_executor.native
    near = logits(model_executor, ids, 10, 256)
    assert (near - exact).norm() <= 0.03 * exact.norm()


def test_int8_logits_are_independent_of_chunking_and_batch() -> None:
    ids = torch.randint(0, 90, (300,), generator=torch.Generator().manual_seed(4)).tolist()
    model_executor = LlamaExecutor(models()["plain"].eval(), use_int8=True)
    expected = logits(model_executor, ids, 150, 256)
    assert torch.equal(logits(model_executor, ids, 150, 7), expected)
    assert torch.equal(logits(model_executor, ids, 150, 64, beside=6), expected)
    assert torch.equal(logits(model_executor, ids, 280, 33, beside=1), expected[130:])


def test_native_step_requires_supported_sizes() -> None:
    uneven = LlamaForCausalLM(LlamaConfig(**{**SIZES, "head_dim": 24}))
    assert LlamaExecutor(uneven.eval(), use_int8=True).native is None
    assert LlamaExecutor(models()["plain"].eval(), use_int8=False).native is None


@torch.inference_mode()
def test_nan_row_is_detected() -> None:
    model = models()["plain"].eval()
    model.model.embed_tokens.weight[3] = float("nan")
    model_executor = LlamaExecutor(model, use_int8=True)
    good, bad = model_executor.create_group([1, 2], [], 5), model_executor.create_group([1, 3], [], 5)
    for row in (good, bad):
        assert model_executor.prefill_chunk(row, 9) is not None
        model_executor.activate_group(row)
    spoiled = model_executor.decode_step([good, bad])
    assert spoiled[0].isfinite().all()
    assert spoiled[1].isnan().all()


def small_blenderbot() -> Any:
    """A BlenderBot whose sizes the compiled step can take; its heads fill a register and a half."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "d_model": 96,
        "encoder_layers": 1,
        "decoder_layers": 3,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 160,
    }
    heads: dict[str, Any] = {"encoder_attention_heads": 4, "decoder_attention_heads": 4}
    config = BlenderbotConfig(vocab_size=90, max_position_embeddings=128, scale_embedding=True, **sizes, **heads)
    model = BlenderbotForConditionalGeneration(config)
    for weight in model.parameters():
        weight.data += chance(*weight.shape) * 0.1
    return model.eval()


PROMPTS = [list(range(10, 10 + length)) for length in (1, 17, 40)]


def opened(
    model_executor: BlenderbotExecutor | LlamaExecutor, prompt: list[int], prefix: list[int], beams: int, piece: int
) -> tuple[SequenceGroup, Tensor]:
    """A running row and the logits after its prefix."""
    row = model_executor.create_group(prompt, prefix, 40, num_beams=beams)
    while (read := model_executor.prefill_chunk(row, piece)) is None:
        pass
    model_executor.activate_group(row)
    return row, read


@torch.inference_mode()
def test_blenderbot_int8_step_approximates_float() -> None:
    model, ids = small_blenderbot(), [1, *range(20, 60)]
    exact = [model(torch.tensor([p]), decoder_input_ids=torch.tensor([ids])).logits[0, 3:] for p in PROMPTS]
    model_executor = BlenderbotExecutor(model, use_int8=True)
    assert model_executor.native
    rows = [opened(model_executor, prompt, ids[1:4], 1, 2) for prompt in PROMPTS]
    found = [[first] for _, first in rows]
    for token in ids[4:]:
        for row, _ in rows:
            row.next_ids = [token]
        for logits, told in zip(model_executor.decode_step([row for row, _ in rows]), found, strict=True):
            told.append(logits)
        for row, _ in rows:
            model_executor.commit_step(row)
    for told, expected in zip(found, exact, strict=True):
        assert (torch.stack(told) - expected).norm() <= 0.03 * expected.norm()


@torch.inference_mode()
def test_int8_beam_matches_unbatched_run() -> None:
    """Beams are exchanged at random beside other rows; each is then read once more from its beginning, by itself."""
    draw = torch.Generator().manual_seed(5)
    model_executor = BlenderbotExecutor(small_blenderbot(), use_int8=True)
    rows = [
        opened(model_executor, prompt, [7, 8], beams, 64)[0] for prompt, beams in zip(PROMPTS, (4, 1, 4), strict=True)
    ]
    texts = {id(row): [[7, 8] for _ in range(row.num_beams)] for row in rows}
    last: dict[int, Tensor] = {}
    for _ in range(25):
        for row in rows:
            row.next_ids = torch.randint(0, 90, (row.num_beams,), generator=draw).tolist()
            texts[id(row)] = [[*text, token] for text, token in zip(texts[id(row)], row.next_ids, strict=True)]
        logits = model_executor.decode_step(model_executor.running_groups)
        last = dict(
            zip(
                map(id, model_executor.running_groups),
                logits.split([row.num_beams for row in model_executor.running_groups]),
                strict=True,
            )
        )
        for row in rows:
            model_executor.commit_step(row)
            parents = torch.randint(0, row.num_beams, (row.num_beams,), generator=draw).tolist()
            model_executor.reorder_beams(row, parents)
            texts[id(row)] = [texts[id(row)][parent] for parent in parents]
            last[id(row)] = last[id(row)][parents]
    for row, prompt in zip(rows, PROMPTS, strict=True):
        for text, expected in zip(texts[id(row)], last[id(row)], strict=True):
            alone, again = opened(model_executor, prompt, text, 1, 5)
            assert torch.equal(again, expected)
            model_executor.free_group(alone)
