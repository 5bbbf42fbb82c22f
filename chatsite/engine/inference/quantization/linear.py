"""Matrices for decode steps: floats of 32 or 16 bits as they are, or eight bits with one scale a channel.

Eight bits on a processor multiply integers: the weights were rounded once, a scale for each output channel, and the
activations are rounded at every call (`torch.ops.quantized.linear_dynamic`, as in Jacob et al., 2018). That operator
takes one scale for all rows of a call, so that one request's outlier would coarsen every other request. Here each row
is brought to a largest magnitude of 1 before and scaled back after, and a guard row that holds -1 and 1 keeps the
operator's own scale the same at every call: what a row gives does not depend on the rows beside it. Where our own
kernels were compiled (`native/int8.py`), these take their place.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional

from chatsite.engine.inference.native import load_library
from chatsite.engine.inference.native.int8 import NativeInt8Linear

LinearFunction = Callable[[Tensor], Tensor]
"""Multiplies rows: shape `[rows, inputs]` to `[rows, outputs]`."""

LinearFactory = Callable[[Tensor, Tensor | None], LinearFunction]
"""Makes a matrix of a weight (`[outputs, inputs]`) and a bias (`[outputs]`)."""

INT8_MAX = 127
# A row of zeros has no scale; any positive one will do.
MIN_SCALE = 1e-12


# From so many rows on, products are long enough to share.
MIN_ROWS_FOR_ALL_THREADS = 24


@contextmanager
def decode_threads(rows: int) -> Iterator[None]:
    """Compute a step of a few rows on half of the threads, one of many rows on all.

    A step is hundreds of products, after each of which all threads wait for the last one. With few rows they are small:
    on two busy cores that made a step two to five times slower, and on two idle ones a fifth faster at best.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(threads if rows >= MIN_ROWS_FOR_ALL_THREADS else max(1, threads // 2))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def cpu_has_exact_int8() -> bool:
    """Say whether this processor multiplies bytes exactly; older ones add pairs of products in 16 bits."""
    vnni: bool = torch.cpu._is_vnni_supported()
    return load_library() is not None or ("x86" in torch.backends.quantized.supported_engines and vnni)


def cpu_has_bfloat16() -> bool:
    """Say whether this processor has instructions for bfloat16, without which it is slower than float32."""
    return bool(torch.cpu._is_avx512_bf16_supported())


def float_linear(weight: Tensor, bias: Tensor | None = None) -> LinearFunction:
    """Create a matrix in the precision that `weight` (`[outputs, inputs]`) and `bias` (`[outputs]`) have."""

    def multiply_rows(x: Tensor) -> Tensor:
        return functional.linear(x, weight, bias)

    return multiply_rows


def bf16_linear(weight: Tensor, bias: Tensor | None = None) -> LinearFunction:
    """Create a matrix in bfloat16, if the processor is fast at that, between rows of float32."""
    if not cpu_has_bfloat16():
        return float_linear(weight, bias)
    bf16_weight, bf16_bias = weight.bfloat16(), None if bias is None else bias.bfloat16()

    def multiply_rows(x: Tensor) -> Tensor:
        return functional.linear(x.bfloat16(), bf16_weight, bf16_bias).float()

    return multiply_rows


class _ScratchBuffers(threading.local):
    """Memory for rows after a guard row, by the number of inputs; each thread has its own."""

    def __init__(self) -> None:
        self._buffers: dict[int, Tensor] = {}

    def get_buffer(self, inputs: int, rows: int) -> Tensor:
        """Return a guard row, which holds -1 and 1, and room for `rows` more (`[1 + rows, inputs]`)."""
        buffer = self._buffers.get(inputs)
        if buffer is None or len(buffer) <= rows:
            buffer = self._buffers[inputs] = torch.zeros(1 + rows, inputs)
            buffer[0, 0], buffer[0, -1] = -1.0, 1.0
        return buffer[: 1 + rows]


_scratch_buffers = _ScratchBuffers()


class Int8Linear:
    """A matrix of eight-bit integers with a scale for each output channel; rows in and out are float32."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._bias = None if bias is None else bias.float()
        self._inputs = weight.shape[1]
        self._packed = _quantize_weight(weight.float())

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply rows: `[rows, inputs]` to `[rows, outputs]`."""
        # One scale a row, so that no row coarsens another.
        scale = x.abs().amax(-1, keepdim=True).clamp_min_(MIN_SCALE)
        buffer = _scratch_buffers.get_buffer(self._inputs, len(x))
        torch.div(x, scale, out=buffer[1:])
        y: Tensor = torch.ops.quantized.linear_dynamic(buffer, self._packed)[1:]
        return y.mul_(scale) if self._bias is None else torch.addcmul(self._bias, y, scale)


def _quantize_weight(weight: Tensor) -> torch.ScriptObject:
    """Round to the nearest of 255 levels, the same number on either side of 0, a scale for each row."""
    scales = (weight.abs().amax(1) / INT8_MAX).clamp_min(MIN_SCALE).double()
    with warnings.catch_warnings():
        # The way to make such a tensor is to go in a later torch; the version is pinned, the operator is not to go.
        warnings.simplefilter("ignore")
        offsets = torch.zeros(len(weight), dtype=torch.long)
        rounded = torch.quantize_per_channel(weight, scales, offsets, 0, torch.qint8)
        packed: torch.ScriptObject = torch.ops.quantized.linear_prepack(rounded, None)
    return packed


def detach_from_mmap(model: torch.nn.Module, include_matrices: bool) -> None:
    """Copy the remaining parameters out of the memory-mapped checkpoint, so that the mapping can be released.

    Keeping any view keeps every page that was ever read resident. Matrices are copied only if `include_matrices`.
    """
    # Buffers are small; copying them all is simpler than finding out which are views.
    for module in model.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, buffer.detach().clone())
    for weight in model.parameters():
        if include_matrices or weight.dim() == 1:
            weight.data = weight.data.clone()


def linear_factory(use_int8: bool) -> LinearFactory:
    """Return what creates matrices of eight bits, or of the precision that they have."""
    if not use_int8:
        return float_linear
    return NativeInt8Linear if load_library() else Int8Linear
