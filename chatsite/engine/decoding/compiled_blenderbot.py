"""The step of BlenderBot's decoder in eight bits as one call of compiled code (`native/blenderbot.c`)."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from chatsite.engine.decoding.compiled import rooms, within
from chatsite.engine.decoding.native import LANES, library
from chatsite.engine.decoding.places import Part

POINTER, NUMBER = ctypes.c_void_p, ctypes.c_long
MATRICES = ("qkv", "out", "query", "cross_out", "up", "down")
NORMS = ("before", "between", "last")
FLOAT_BYTES = 4

Table = NDArray[numpy.int64]
"""Sequences as `struct sequence` of native/blenderbot.c: `[rows, 14]`."""


class _Norm(ctypes.Structure):
    """`struct norm` of native/blenderbot.c."""

    _fields_ = [("weight", POINTER), ("bias", POINTER)]


class _Layer(ctypes.Structure):
    """`struct layer` of native/blenderbot.c."""

    _fields_ = [*((name, _Norm) for name in NORMS), *((name, POINTER) for name in MATRICES)]


class _Model(ctypes.Structure):
    """`struct blenderbot` of native/blenderbot.c."""

    _fields_ = [
        *((name, POINTER) for name in ("layers", "head", "embedding", "positions")),
        ("end", _Norm),
        *((name, NUMBER) for name in ("depth", "hidden", "heads", "width", "inner")),
        *((name, ctypes.c_float) for name in ("scale", "eps")),
    ]


class _Step(ctypes.Structure):
    """`struct step` of native/blenderbot.c."""

    _fields_ = [
        *((name, POINTER) for name in ("model", "sequences")),
        ("rows", NUMBER),
        *((name, POINTER) for name in ("scratch", "room")),
        ("told", NUMBER),
        ("logits", POINTER),
    ]


class CompiledBlenderbot:
    """All layers of a decoder over packed matrices.

    `layers` are those of `blenderbot.py`, their matrices and `head` are CompiledEightBits. Keys and values lie in
    caches of float32, `[layers, 2, places, heads, positions, width]`.
    """

    def __init__(
        self, layers: Sequence[Any], head: Any, embedding: Tensor, positions: Tensor, end: Any, heads: int, scale: float
    ) -> None:
        compiled = library()
        if compiled is None:
            raise RuntimeError("The step was not compiled for this machine.")
        self._run = compiled.chatsite_blenderbot_step
        # The structures hold addresses only; what they point to must live as long, whatever becomes of the modules.
        embedding, positions = embedding.detach(), positions.detach()
        self._kept: list[Any] = [layers, head, embedding, positions]
        self._vocabulary, self._known, self._longest = head.outputs, len(embedding), len(positions)
        self._layers = (_Layer * len(layers))(*map(self._layer, layers))
        pointers = ctypes.addressof(self._layers), head.address, embedding.data_ptr(), positions.data_ptr()
        hidden, inner = embedding.shape[1], layers[0].up.outputs
        sizes = len(layers), hidden, heads, hidden // heads, inner
        self._model = _Model(*pointers, self._norm(end), *sizes, scale, end.eps)
        self._scratch = compiled.chatsite_blenderbot_scratch(ctypes.addressof(self._model))
        self._widest = max(head.padded, *(getattr(layer, name).padded for layer in layers for name in MATRICES))

    def _layer(self, layer: Any) -> _Layer:
        norms = [self._norm(getattr(layer, name)) for name in NORMS]
        return _Layer(*norms, *(getattr(layer, name).address for name in MATRICES))

    def _norm(self, norm: Any) -> _Norm:
        weight, bias = norm.weight.detach(), norm.bias.detach()
        self._kept += [weight, bias]
        return _Norm(weight.data_ptr(), bias.data_ptr())

    def read(self, ids: Sequence[int], begin: int, own: Tensor, source: Tensor) -> Tensor:
        """Read `ids` from position `begin` on of the only sequence in both caches; gives the last logits."""
        positions = numpy.arange(begin, begin + len(ids))
        within(positions, own.shape[4])
        table = _table(list(ids), positions, positions, positions + 1)
        table[:, 5:9], table[:, 9:13], table[:, 13] = _address(own), _address(source), source.shape[4]
        return self._step(table, 1)[0]

    def step(self, ids: Sequence[int], parts: Sequence[Part]) -> Tensor:
        """One id of each sequence of some rows; gives logits `[sequences, vocabulary]`."""
        tables, lists = zip(*map(_describe, parts), strict=True)
        table = numpy.concatenate(tables)
        table[:, 0] = ids
        # The lists are what some of the addresses in the table point to.
        return self._step(table, len(ids), lists)

    def _step(self, table: Table, told: int, _kept: Any = None) -> Tensor:
        rows = len(table)
        within(table[:, 0], self._known)
        within(table[:, 1], self._longest)
        scratch, logits = torch.empty(rows * self._scratch), torch.empty(told, self._vocabulary)
        room = rooms.reserve(rows, self._widest)
        addresses = ctypes.addressof(self._model), table.ctypes.data
        step = _Step(*addresses, rows, scratch.data_ptr(), room, told, logits.data_ptr())
        self._run(ctypes.addressof(step))
        return logits


def can_compile(hidden: int, inner: int) -> bool:
    """Whether there is compiled code and a model's sizes fill its registers."""
    return library() is not None and not (hidden % LANES or inner % LANES)


def _table(ids: Sequence[int], reads: Table, nexts: Table, lengths: Table) -> Table:
    table = numpy.zeros((len(ids), 14), numpy.int64)
    table[:, 0], table[:, 1], table[:, 2], table[:, 3] = ids, reads, nexts, lengths
    return table


def _describe(part: Part) -> tuple[Table, Table]:
    """The sequences of a part without their ids, and the lists of positions that they point to."""
    within(part.next, part.rank.slots[0].cache.shape[4])
    within([len(row.prompt) - 1 for row in part.rows], part.rank.slots[1].cache.shape[4])
    reads = numpy.repeat([row.read for row in part.rows], part.beams)
    lists = numpy.ascontiguousarray(part.lists) if part.beams > 1 else numpy.empty((0, 0), numpy.int64)
    table = _table([0] * part.sequences, reads, part.next, reads + 1)
    if part.beams > 1:
        table[:, 4] = lists.ctypes.data + lists.strides[0] * numpy.arange(part.sequences)
    places = numpy.repeat(numpy.arange(part.places.start, part.places.stop), part.beams)
    for column, slots in zip((5, 9), part.rank.slots, strict=True):
        table[:, column : column + 4] = _address(slots.cache)
        table[:, column] += places * slots.cache.stride(2) * FLOAT_BYTES
    table[:, 13] = numpy.repeat([len(row.prompt) for row in part.rows], part.beams)
    return table, lists


def _address(cache: Tensor) -> list[int]:
    """`struct cache` of native/blenderbot.c, for the first place."""
    return [cache.data_ptr(), cache.stride(0), cache.stride(1), cache.stride(3)]
