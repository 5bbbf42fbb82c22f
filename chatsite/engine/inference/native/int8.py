"""Products with matrices of eight-bit integers by the compiled kernels (`native/matmul.c`).

They are built with the package, and are optional: without them the same work is torch's, which takes about twice as
long (docs/decisions/0009-compiled.md).
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from chatsite.engine.inference.native import load_library

BLOCK_OUTPUTS = 64
"""Outputs in a block."""
INPUTS_PER_INSTRUCTION = 4
"""Inputs that are multiplied by one instruction."""
INPUTS_PER_GROUP = 64
"""Inputs that are rounded together."""


class Int8Matrix(ctypes.Structure):
    """The fields of `struct matrix` of native/kernels.h."""

    _fields_ = [
        ("weights", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("inputs", ctypes.c_long),
        ("outputs", ctypes.c_long),
    ]


class ScratchBuffer(ctypes.Structure):
    """The fields of `struct buffer` of native/kernels.h: memory for rounded rows."""

    _fields_ = [("rounded", ctypes.c_void_p), ("scales", ctypes.c_void_p), ("shifts", ctypes.c_void_p)]


class _ScratchBuffers(threading.local):
    """Memory for rounded rows; each thread has its own, and it grows."""

    def __init__(self) -> None:
        self._groups = 0
        self._tensors: tuple[Tensor, ...] = ()
        self._buffer = ScratchBuffer()

    def reserve_buffer(self, rows: int, inputs: int) -> int:
        """Return the address of a `struct buffer` that is large enough for `rows` rows of `inputs` numbers."""
        groups = rows * -(-inputs // INPUTS_PER_GROUP)
        # A buffer is never freed: a step asks for the same sizes thousands of times a second.
        if groups > self._groups:
            self._groups = groups
            rounded = torch.empty(groups * INPUTS_PER_GROUP, dtype=torch.int8)
            self._tensors = rounded, torch.empty(groups), torch.empty(groups, dtype=torch.int32)
            self._buffer = ScratchBuffer(*(part.data_ptr() for part in self._tensors))
        return ctypes.addressof(self._buffer)


scratch_buffers = _ScratchBuffers()


class NativeInt8Linear:
    """A matrix of eight-bit integers with a scale for each output; rows in and out are float32.

    `weight` is `[outputs, inputs]`, `bias` `[outputs]`. Raises RuntimeError if `load_library` returns None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        native = load_library()
        if native is None:
            raise RuntimeError("The products were not compiled for this machine.")
        self._matmul = native.chatsite_matmul
        self.outputs, self.inputs = weight.shape
        self.padded_inputs = -(-self.inputs // INPUTS_PER_INSTRUCTION) * INPUTS_PER_INSTRUCTION
        blocks = -(-self.outputs // BLOCK_OUTPUTS)
        # Whole blocks, so that the kernel need not ask at each output whether it is there.
        self._weights = torch.empty(blocks * BLOCK_OUTPUTS * self.padded_inputs, dtype=torch.uint8)
        self._scales = torch.empty(self.outputs)
        floats = weight.float().contiguous()
        sizes = self.outputs, self.inputs, self.padded_inputs
        native.chatsite_pack(floats.data_ptr(), *sizes, self._weights.data_ptr(), self._scales.data_ptr())
        self._bias = None if bias is None else bias.float().contiguous()
        bias_address = None if self._bias is None else self._bias.data_ptr()
        addresses = self._weights.data_ptr(), self._scales.data_ptr(), bias_address
        # The structure holds addresses of tensors, which live as long as this object does.
        self._matrix = Int8Matrix(*addresses, self.padded_inputs, self.outputs)
        self.address = ctypes.addressof(self._matrix)

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply rows: `[rows, inputs]` to `[rows, outputs]`."""
        # The kernel counts in floats from an address and knows no strides.
        x, rows = x.contiguous(), len(x)
        y = torch.empty(rows, self.outputs)
        buffer = scratch_buffers.reserve_buffer(rows, self.padded_inputs)
        self._matmul(self.address, x.data_ptr(), self.inputs, rows, buffer, y.data_ptr())
        return y


def require_in_range(numbers: Sequence[int] | NDArray[numpy.signedinteger], end: int) -> None:
    """Raise IndexError unless all numbers are from 0 to below `end`; kernels do not check where they write."""
    if min(numbers) < 0 or max(numbers) >= end:
        raise IndexError(f"A number from {min(numbers)} to {max(numbers)} lies outside of {end} places.")
