"""Matrices packed for the step: 32 or 16-bit floats as they are, or eight bits with one scale a channel.

Eight bits on a processor multiply integers: the weights were rounded once, a scale for each output channel,
and the activations are rounded at every call (`torch.ops.quantized.linear_dynamic`). That operator takes one
scale for all rows of a call, so that one request's outlier would coarsen every other request. Here each row is
brought to a largest magnitude of 1 before and scaled back after, and a guard row that holds -1 and 1 keeps the
operator's own scale the same at every call: what a row gives does not depend on the rows beside it. Where our own
products were compiled (`compiled.py`), these take their place.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional

from chatsite.engine.decoding.compiled import CompiledEightBits
from chatsite.engine.decoding.native import library

Matrix = Callable[[Tensor], Tensor]
"""Multiplies rows: shape `[rows, inputs]` to `[rows, outputs]`."""

Packing = Callable[[Tensor, Tensor | None], Matrix]
"""Makes a matrix of a weight (`[outputs, inputs]`) and a bias (`[outputs]`)."""

LEVELS = 127
# A row of zeros has no scale; any positive one will do.
LEAST_SCALE = 1e-12


# From so many rows on, products are long enough to share.
MANY_ROWS = 24


@contextmanager
def step_threads(rows: int) -> Iterator[None]:
    """Compute a step of a few rows on half of the threads, one of many on all.

    A step is hundreds of products, after each of which all threads wait for the last one. With few rows they are
    small: on two busy cores that made a step two to five times slower, and on two idle ones a fifth faster at best.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(threads if rows >= MANY_ROWS else max(1, threads // 2))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def has_eight_bits() -> bool:
    """Whether this processor multiplies bytes exactly; older ones add pairs of products in 16 bits."""
    vnni: bool = torch.cpu._is_vnni_supported()
    return library() is not None or ("x86" in torch.backends.quantized.supported_engines and vnni)


def has_bfloat16() -> bool:
    """Whether this processor has instructions for bfloat16, without which it is slower than float32."""
    return bool(torch.cpu._is_avx512_bf16_supported())


def plain(weight: Tensor, bias: Tensor | None = None) -> Matrix:
    """A matrix in the precision it has: `weight` is `[outputs, inputs]`, `bias` `[outputs]`."""

    def multiply(x: Tensor) -> Tensor:
        return functional.linear(x, weight, bias)

    return multiply


def halved(weight: Tensor, bias: Tensor | None = None) -> Matrix:
    """A matrix in bfloat16, where the processor is fast at that, between rows of float32."""
    if not has_bfloat16():
        return plain(weight, bias)
    half, shift = weight.bfloat16(), None if bias is None else bias.bfloat16()

    def multiply(x: Tensor) -> Tensor:
        return functional.linear(x.bfloat16(), half, shift).float()

    return multiply


class _Rooms(threading.local):
    """Room for rows after a guard row, by the number of inputs; each thread has its own."""

    def __init__(self) -> None:
        self._rooms: dict[int, Tensor] = {}

    def get(self, inputs: int, rows: int) -> Tensor:
        """A guard row, which holds -1 and 1, and room for `rows` more (shape `[1 + rows, inputs]`)."""
        room = self._rooms.get(inputs)
        if room is None or len(room) <= rows:
            room = self._rooms[inputs] = torch.zeros(1 + rows, inputs)
            room[0, 0], room[0, -1] = -1.0, 1.0
        return room[: 1 + rows]


_rooms = _Rooms()


class EightBits:
    """A matrix of eight-bit integers with a scale for each output channel; rows in and out are float32."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._bias = None if bias is None else bias.float()
        self._inputs = weight.shape[1]
        self._packed = _pack(weight.float())

    def __call__(self, x: Tensor) -> Tensor:
        """Shape `[rows, inputs]` to `[rows, outputs]`."""
        scale = x.abs().amax(-1, keepdim=True).clamp_min_(LEAST_SCALE)
        room = _rooms.get(self._inputs, len(x))
        torch.div(x, scale, out=room[1:])
        y: Tensor = torch.ops.quantized.linear_dynamic(room, self._packed)[1:]
        return y.mul_(scale) if self._bias is None else torch.addcmul(self._bias, y, scale)


def _pack(weight: Tensor) -> torch.ScriptObject:
    """Round to the nearest of 255 levels, the same number on either side of 0, a scale for each row."""
    scales = (weight.abs().amax(1) / LEVELS).clamp_min(LEAST_SCALE).double()
    with warnings.catch_warnings():
        # The way to make such a tensor is to go in a later torch; the version is pinned, the operator is not to go.
        warnings.simplefilter("ignore")
        offsets = torch.zeros(len(weight), dtype=torch.long)
        rounded = torch.quantize_per_channel(weight, scales, offsets, 0, torch.qint8)
        packed: torch.ScriptObject = torch.ops.quantized.linear_prepack(rounded, None)
    return packed


def leave_file(model: torch.nn.Module, matrices: bool) -> None:
    """Copy what is left of a model out of the file that it is a view of, with or without its `matrices`.

    As long as anything points into a mapped file, all that was ever read of it takes memory.
    """
    for module in model.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, buffer.detach().clone())
    for weight in model.parameters():
        if matrices or weight.dim() == 1:
            weight.data = weight.data.clone()


def packing(eight_bits: bool) -> Packing:
    """What makes matrices of eight bits, or of the precision that they have."""
    if not eight_bits:
        return plain
    return CompiledEightBits if library() else EightBits
