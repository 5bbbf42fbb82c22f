"""Products with matrices of eight-bit integers by `native/`, where a compiler built it and the processor can.

It is built with the package, and is optional: without it the same work is torch's, which takes about twice as long
(docs/decisions/decoding.md).
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from chatsite.engine.decoding.native import library

BLOCK = 64
"""Outputs in a block."""
FOUR = 4
"""Inputs that are multiplied by one instruction."""
GROUP = 64
"""Inputs that are rounded together."""


class Matrix8(ctypes.Structure):
    """`struct matrix` of native/step.h."""

    _fields_ = [
        ("weights", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("inputs", ctypes.c_long),
        ("outputs", ctypes.c_long),
    ]


class Room(ctypes.Structure):
    """`struct room` of native/step.h: what rounded rows take."""

    _fields_ = [("rounded", ctypes.c_void_p), ("scales", ctypes.c_void_p), ("shifts", ctypes.c_void_p)]


class _Rooms(threading.local):
    """Room for rounded rows; each thread has its own, and it grows."""

    def __init__(self) -> None:
        self._groups = 0
        self._kept: tuple[Tensor, ...] = ()
        self._room = Room()

    def reserve(self, rows: int, inputs: int) -> int:
        """The address of a `struct room` that is large enough."""
        groups = rows * -(-inputs // GROUP)
        if groups > self._groups:
            self._groups = groups
            rounded = torch.empty(groups * GROUP, dtype=torch.int8)
            self._kept = rounded, torch.empty(groups), torch.empty(groups, dtype=torch.int32)
            self._room = Room(*(part.data_ptr() for part in self._kept))
        return ctypes.addressof(self._room)


rooms = _Rooms()


class CompiledEightBits:
    """A matrix of eight-bit integers with a scale for each output; rows in and out are float32.

    `weight` is `[outputs, inputs]`, `bias` `[outputs]`. Raises RuntimeError where `library` gives None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        compiled = library()
        if compiled is None:
            raise RuntimeError("The products were not compiled for this machine.")
        self._multiply = compiled.chatsite_multiply
        self.outputs, self.inputs = weight.shape
        self.padded = -(-self.inputs // FOUR) * FOUR
        blocks = -(-self.outputs // BLOCK)
        self._weights = torch.empty(blocks * BLOCK * self.padded, dtype=torch.uint8)
        self._scales = torch.empty(self.outputs)
        floats = weight.float().contiguous()
        sizes = self.outputs, self.inputs, self.padded
        compiled.chatsite_pack(floats.data_ptr(), *sizes, self._weights.data_ptr(), self._scales.data_ptr())
        self._bias = None if bias is None else bias.float().contiguous()
        bias_address = None if self._bias is None else self._bias.data_ptr()
        addresses = self._weights.data_ptr(), self._scales.data_ptr(), bias_address
        self._matrix = Matrix8(*addresses, self.padded, self.outputs)
        self.address = ctypes.addressof(self._matrix)

    def __call__(self, x: Tensor) -> Tensor:
        """Shape `[rows, inputs]` to `[rows, outputs]`."""
        x, rows = x.contiguous(), len(x)
        y = torch.empty(rows, self.outputs)
        room = rooms.reserve(rows, self.padded)
        self._multiply(self.address, x.data_ptr(), self.inputs, rows, room, y.data_ptr())
        return y


def within(numbers: Sequence[int] | NDArray[numpy.signedinteger], end: int) -> None:
    """Raise IndexError unless all are from 0 to below `end`; compiled code does not look where it reads and writes."""
    if min(numbers) < 0 or max(numbers) >= end:
        raise IndexError(f"A number from {min(numbers)} to {max(numbers)} lies outside of {end} places.")
