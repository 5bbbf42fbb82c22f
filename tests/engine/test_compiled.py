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

from chatsite.engine.decoding import compiled, native
from chatsite.engine.decoding.blenderbot import LeanBlenderbot
from chatsite.engine.decoding.compiled import CompiledEightBits
from chatsite.engine.decoding.llama import LeanLlama
from chatsite.engine.decoding.stepping import Row

pytestmark = pytest.mark.skipif(
    native.library() is None, reason="there was no C compiler, or the processor lacks AVX-512 VNNI"
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
def _threads() -> Iterator[None]:
    yield
    native.use_threads(1)


def chance(*shape: int, seed: int = 1) -> Tensor:
    """Random numbers of mean 0."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("outputs", "inputs"), [(64, 64), (40, 50), (130, 200), (1, 4), (700, 576)])
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 6, 11, 80])
def test_products_are_near_the_floats(outputs: int, inputs: int, rows: int) -> None:
    weight, bias, x = chance(outputs, inputs), chance(outputs, seed=2), chance(rows, inputs, seed=3)
    exact = torch.nn.functional.linear(x, weight, bias)
    assert (CompiledEightBits(weight, bias)(x) - exact).norm() <= 0.012 * exact.norm()
    assert (CompiledEightBits(weight)(x) - (exact - bias)).norm() <= 0.012 * exact.norm()


def test_an_outlier_coarsens_only_its_neighbours() -> None:
    weight, x = chance(64, 640), chance(3, 640, seed=3)
    x[1, 7] = 1000.0
    weight[:, 7] = 0.0
    exact = torch.nn.functional.linear(x, weight)
    error = (CompiledEightBits(weight)(x) - exact).norm(dim=1) / exact.norm(dim=1)
    assert error[1] < 0.4, "one group of ten is lost, and with one scale for the row all would be"
    assert error[[0, 2]].max() < 0.012


@pytest.mark.parametrize("threads", [1, 4])
def test_a_row_gets_the_same_bits_beside_any_other_rows(threads: int) -> None:
    native.use_threads(threads)
    matrix, x = CompiledEightBits(chance(200, 192), chance(200, seed=2)), chance(13, 192, seed=3)
    together = matrix(x)
    for first in range(13):
        for count in (1, 2, 5):
            assert torch.equal(matrix(x[first : first + count]), together[first : first + count])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_spoils_its_own_row_and_is_not_hidden(bad: float) -> None:
    matrix, x = CompiledEightBits(chance(70, 128)), chance(3, 128, seed=3)
    before = matrix(x)
    x[1, 100] = bad
    after = matrix(x)
    assert after[1].isnan().all()
    assert torch.equal(after[[0, 2]], before[[0, 2]])


def test_zeros_give_the_bias() -> None:
    assert torch.equal(CompiledEightBits(chance(10, 64), chance(10, seed=2))(torch.zeros(2, 64))[1], chance(10, seed=2))


def test_several_threads_may_multiply_at_the_same_time() -> None:
    native.use_threads(3)
    matrices = [CompiledEightBits(chance(500, 320, seed=i)) for i in range(4)]
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


def test_there_is_room_for_the_groups_of_any_rows() -> None:
    """Short rows have more groups than their numbers tell."""
    room = compiled._Rooms()
    for rows, inputs in ((1, 5120), (51, 100), (98, 52), (3, 4), (5, 2560)):
        room.reserve(rows, inputs)
        rounded, scales, shifts = room._kept
        assert rounded.numel() >= rows * inputs
        assert min(scales.numel(), shifts.numel()) >= rows * -(-inputs // compiled.GROUP)


@pytest.mark.parametrize("token", [-1, 90])
def test_an_id_that_the_model_does_not_have_is_an_error_and_no_more(token: int) -> None:
    for stepper in (LeanLlama(models()["plain"].eval(), True), LeanBlenderbot(small_blenderbot(), True)):
        good, bad = (opened(stepper, [10, 11], [], 1, 64)[0] for _ in range(2))
        good.tokens, bad.tokens = [5], [token]
        with pytest.raises(IndexError):
            stepper.step([good, bad])
        assert stepper.step([good]).isfinite().all()


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
def logits(stepper: LeanLlama, ids: list[int], prompt: int, piece: int, beside: int = 0) -> Tensor:
    """Logits after each id from the prompt's last on (`[ids - prompt + 1, vocabulary]`), beside other sequences."""
    others = [stepper.open([5, 6, 7 + i], [], 400) for i in range(beside)]
    row = stepper.open(ids[:prompt], [], len(ids) - prompt)
    found = []
    for each in [*others[: beside // 2], row, *others[beside // 2 :]]:
        while (read := stepper.read(each, piece)) is None:
            pass
        stepper.join(each)
        if each is row:
            found.append(read)
    for token in ids[prompt:]:
        row.tokens = [token]
        found.append(stepper.step(stepper.rows)[stepper.rows.index(row)])
        for each in stepper.rows:
            stepper.advance(each)
    for each in [*others, row]:
        stepper.leave(each)
    return torch.stack(found)


@pytest.mark.parametrize("name", ["plain", "tied", "qwen2"])
@pytest.mark.parametrize("threads", [1, 3])
def test_the_step_is_near_the_floats(name: str, threads: int) -> None:
    native.use_threads(threads)
    ids = torch.randint(0, 90, (160,), generator=torch.Generator().manual_seed(4)).tolist()
    model = models()[name].eval()
    with torch.inference_mode():
        exact = model(torch.tensor([ids])).logits[0, 9:]
    stepper = LeanLlama(model, eight_bits=True)
    assert stepper.compiled
    near = logits(stepper, ids, 10, 256)
    assert (near - exact).norm() <= 0.03 * exact.norm()


def test_a_sequence_gets_the_same_bits_however_it_is_read_and_beside_any_other() -> None:
    ids = torch.randint(0, 90, (300,), generator=torch.Generator().manual_seed(4)).tolist()
    stepper = LeanLlama(models()["plain"].eval(), eight_bits=True)
    expected = logits(stepper, ids, 150, 256)
    assert torch.equal(logits(stepper, ids, 150, 7), expected)
    assert torch.equal(logits(stepper, ids, 150, 64, beside=6), expected)
    assert torch.equal(logits(stepper, ids, 280, 33, beside=1), expected[130:])


def test_the_step_is_compiled_only_for_sizes_that_fill_its_registers() -> None:
    uneven = LlamaForCausalLM(LlamaConfig(**{**SIZES, "head_dim": 24}))
    assert LeanLlama(uneven.eval(), eight_bits=True).compiled is None
    assert LeanLlama(models()["plain"].eval(), eight_bits=False).compiled is None


@torch.inference_mode()
def test_a_row_without_numbers_is_noticed() -> None:
    model = models()["plain"].eval()
    model.model.embed_tokens.weight[3] = float("nan")
    stepper = LeanLlama(model, eight_bits=True)
    good, bad = stepper.open([1, 2], [], 5), stepper.open([1, 3], [], 5)
    for row in (good, bad):
        assert stepper.read(row, 9) is not None
        stepper.join(row)
    spoiled = stepper.step([good, bad])
    assert spoiled[0].isfinite().all()
    assert spoiled[1].isnan().all()


def small_blenderbot() -> Any:
    """A BlenderBot whose sizes the compiled step can take; its heads fill a register and a half."""
    torch.manual_seed(0)
    sizes = {"d_model": 96, "encoder_layers": 1, "decoder_layers": 3, "encoder_ffn_dim": 64, "decoder_ffn_dim": 160}
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4}
    config = BlenderbotConfig(vocab_size=90, max_position_embeddings=128, scale_embedding=True, **sizes, **heads)
    model = BlenderbotForConditionalGeneration(config)
    for weight in model.parameters():
        weight.data += chance(*weight.shape) * 0.1
    return model.eval()


PROMPTS = [list(range(10, 10 + length)) for length in (1, 17, 40)]


def opened(
    stepper: LeanBlenderbot | LeanLlama, prompt: list[int], prefix: list[int], beams: int, piece: int
) -> tuple[Row, Tensor]:
    """A running row and the logits after its prefix."""
    row = stepper.open(prompt, prefix, 40, beams)
    while (read := stepper.read(row, piece)) is None:
        pass
    stepper.join(row)
    return row, read


@torch.inference_mode()
def test_blenderbots_step_is_near_the_floats() -> None:
    model, ids = small_blenderbot(), [1, *range(20, 60)]
    exact = [model(torch.tensor([p]), decoder_input_ids=torch.tensor([ids])).logits[0, 3:] for p in PROMPTS]
    stepper = LeanBlenderbot(model, eight_bits=True)
    assert stepper.compiled
    rows = [opened(stepper, prompt, ids[1:4], 1, 2) for prompt in PROMPTS]
    found = [[first] for _, first in rows]
    for token in ids[4:]:
        for row, _ in rows:
            row.tokens = [token]
        for logits, told in zip(stepper.step([row for row, _ in rows]), found, strict=True):
            told.append(logits)
        for row, _ in rows:
            stepper.advance(row)
    for told, expected in zip(found, exact, strict=True):
        assert (torch.stack(told) - expected).norm() <= 0.03 * expected.norm()


@torch.inference_mode()
def test_a_beam_gets_the_bits_that_it_would_get_alone() -> None:
    """Beams are exchanged at random beside other rows; each is then read once more from its beginning, by itself."""
    draw = torch.Generator().manual_seed(5)
    stepper = LeanBlenderbot(small_blenderbot(), eight_bits=True)
    rows = [opened(stepper, prompt, [7, 8], beams, 64)[0] for prompt, beams in zip(PROMPTS, (4, 1, 4), strict=True)]
    texts = {id(row): [[7, 8] for _ in range(row.beams)] for row in rows}
    last: dict[int, Tensor] = {}
    for _ in range(25):
        for row in rows:
            row.tokens = torch.randint(0, 90, (row.beams,), generator=draw).tolist()
            texts[id(row)] = [[*text, token] for text, token in zip(texts[id(row)], row.tokens, strict=True)]
        logits = stepper.step(stepper.rows)
        last = dict(zip(map(id, stepper.rows), logits.split([row.beams for row in stepper.rows]), strict=True))
        for row in rows:
            stepper.advance(row)
            parents = torch.randint(0, row.beams, (row.beams,), generator=draw).tolist()
            stepper.reorder(row, parents)
            texts[id(row)] = [texts[id(row)][parent] for parent in parents]
            last[id(row)] = last[id(row)][parents]
    for row, prompt in zip(rows, PROMPTS, strict=True):
        for text, expected in zip(texts[id(row)], last[id(row)], strict=True):
            alone, again = opened(stepper, prompt, text, 1, 5)
            assert torch.equal(again, expected)
            stepper.leave(alone)
