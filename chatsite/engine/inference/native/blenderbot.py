"""A step of BlenderBot's decoder in eight bits as one call of a compiled kernel (`native/blenderbot.c`)."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from chatsite.engine.inference.kv_cache.manager import BatchSlice
from chatsite.engine.inference.native import LANES, load_library
from chatsite.engine.inference.native.int8 import require_in_range, scratch_buffers

POINTER, NUMBER = ctypes.c_void_p, ctypes.c_long
MATRICES = ("qkv_proj", "o_proj", "cross_q_proj", "cross_o_proj", "up_proj", "down_proj")
NORMS = ("input_norm", "post_attention_norm", "final_norm")
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
        *((name, POINTER) for name in ("layers", "lm_head", "embedding", "positions")),
        ("final_norm", _Norm),
        *((name, NUMBER) for name in ("num_layers", "hidden", "heads", "width", "inner")),
        *((name, ctypes.c_float) for name in ("scale", "eps")),
    ]


class _Step(ctypes.Structure):
    """`struct step` of native/blenderbot.c."""

    _fields_ = [
        *((name, POINTER) for name in ("model", "sequences")),
        ("rows", NUMBER),
        *((name, POINTER) for name in ("scratch", "buffer")),
        ("num_logits", NUMBER),
        ("logits", POINTER),
    ]


@dataclass(frozen=True)
class BlenderbotWeights:
    """What a compiled step computes with.

    `layers` are LayerWeights of the executor; their matrices and `lm_head` are NativeInt8Linear. `embedding` is
    `[vocabulary, hidden]` and `positions` `[positions, hidden]`, in float32; embeddings are multiplied by `scale`.
    """

    layers: Sequence[Any]
    lm_head: Any
    embedding: Tensor
    positions: Tensor
    final_norm: Any
    num_heads: int
    scale: float


class NativeBlenderbot:
    """All layers of a decoder over packed matrices.

    Keys and values lie in caches of float32, `[layers, 2, rows, heads, positions, width]`. Raises RuntimeError if
    `load_library` returns None.
    """

    def __init__(
        self,
        weights: BlenderbotWeights,
    ) -> None:
        native = load_library()
        if native is None:
            raise RuntimeError("The step was not compiled for this machine.")
        self._native_step = native.chatsite_blenderbot_step
        # The structures hold addresses only; what they point to must live as long, whatever becomes of the modules.
        layers, head, final_norm = weights.layers, weights.lm_head, weights.final_norm
        embedding, positions = weights.embedding.detach(), weights.positions.detach()
        self._keep_alive: list[Any] = [layers, head, embedding, positions]
        self._vocabulary_size, self._vocabulary_rows, self._max_positions = head.outputs, len(embedding), len(positions)
        self._layers = (_Layer * len(layers))(*map(self._layer_struct, layers))
        pointers = ctypes.addressof(self._layers), head.address, embedding.data_ptr(), positions.data_ptr()
        hidden, inner = embedding.shape[1], layers[0].up_proj.outputs
        sizes = len(layers), hidden, weights.num_heads, hidden // weights.num_heads, inner
        self._model = _Model(*pointers, self._norm_struct(final_norm), *sizes, weights.scale, final_norm.eps)
        self._scratch_floats = native.chatsite_blenderbot_scratch(ctypes.addressof(self._model))
        self._max_inputs = max(
            head.padded_inputs, *(getattr(layer, name).padded_inputs for layer in layers for name in MATRICES)
        )

    def _layer_struct(self, layer: Any) -> _Layer:
        norms = [self._norm_struct(getattr(layer, name)) for name in NORMS]
        return _Layer(*norms, *(getattr(layer, name).address for name in MATRICES))

    def _norm_struct(self, norm: Any) -> _Norm:
        weight, bias = norm.weight.detach(), norm.bias.detach()
        self._keep_alive += [weight, bias]
        return _Norm(weight.data_ptr(), bias.data_ptr())

    def prefill_chunk(self, ids: Sequence[int], begin: int, own_cache: Tensor, *, source_cache: Tensor) -> Tensor:
        """Read `ids` from position `begin` on of the only sequence in both caches; return the last logits."""
        positions = numpy.arange(begin, begin + len(ids))
        require_in_range(positions, own_cache.shape[4])
        table = _sequence_table(list(ids), positions, positions, lengths=positions + 1)
        table[:, 5:9], table[:, 9:13], table[:, 13] = (
            _cache_struct(own_cache),
            _cache_struct(source_cache),
            source_cache.shape[4],
        )
        return self._run_step(table, 1)[0]

    def decode_step(self, ids: Sequence[int], slices: Sequence[BatchSlice]) -> Tensor:
        """Read one id of each sequence of some slices; return logits `[sequences, vocabulary]`."""
        tables, lists = zip(*map(_describe_slice, slices), strict=True)
        table = numpy.concatenate(tables)
        # The ids stand beam by beam, as the sequences of the slices do.
        table[:, 0] = ids
        # The lists are what some of the addresses in the table point to.
        return self._run_step(table, len(ids), lists)

    def _run_step(self, table: Table, num_logits: int, _keep_alive: Any = None) -> Tensor:
        rows = len(table)
        # The kernel reads wherever these numbers say.
        require_in_range(table[:, 0], self._vocabulary_rows)
        require_in_range(table[:, 1], self._max_positions)
        scratch, logits = torch.empty(rows * self._scratch_floats), torch.empty(num_logits, self._vocabulary_size)
        buffer = scratch_buffers.reserve_buffer(rows, self._max_inputs)
        addresses = ctypes.addressof(self._model), table.ctypes.data
        step = _Step(*addresses, rows, scratch.data_ptr(), buffer, num_logits, logits.data_ptr())
        self._native_step(ctypes.addressof(step))
        return logits


def is_supported(hidden: int, inner: int) -> bool:
    """Say whether there are kernels and a model's sizes fill their registers."""
    return load_library() is not None and not (hidden % LANES or inner % LANES)


def _sequence_table(ids: Sequence[int], reads: Table, nexts: Table, *, lengths: Table) -> Table:
    # A struct of 14 longs and pointers, all of 64 bits, is a row of an integer table.
    table = numpy.zeros((len(ids), 14), numpy.int64)
    table[:, 0], table[:, 1], table[:, 2], table[:, 3] = ids, reads, nexts, lengths
    return table


def _describe_slice(batch_slice: BatchSlice) -> tuple[Table, Table]:
    """Return the sequences of a slice without their ids, and the lists of positions that they point to."""
    require_in_range(batch_slice.next_positions, batch_slice.batch.pools[0].cache.shape[4])
    require_in_range(
        [len(group.prompt_ids) - 1 for group in batch_slice.groups], batch_slice.batch.pools[1].cache.shape[4]
    )
    reads = numpy.repeat([group.num_read for group in batch_slice.groups], batch_slice.num_beams)
    lists = (
        numpy.ascontiguousarray(batch_slice.visible_positions)
        if batch_slice.num_beams > 1
        else numpy.empty((0, 0), numpy.int64)
    )
    table = _sequence_table([0] * batch_slice.num_sequences, reads, batch_slice.next_positions, lengths=reads + 1)
    if batch_slice.num_beams > 1:
        # A null pointer says that a sequence sees the first positions, without a list.
        table[:, 4] = lists.ctypes.data + lists.strides[0] * numpy.arange(batch_slice.num_sequences)
    cache_rows = numpy.repeat(
        numpy.arange(batch_slice.cache_rows.start, batch_slice.cache_rows.stop), batch_slice.num_beams
    )
    for column, pool in zip((5, 9), batch_slice.batch.pools, strict=True):
        table[:, column : column + 4] = _cache_struct(pool.cache)
        # Beams of one group share a row, so that several sequences get the same address.
        table[:, column] += cache_rows * pool.cache.stride(2) * FLOAT_BYTES
    table[:, 13] = numpy.repeat([len(group.prompt_ids) for group in batch_slice.groups], batch_slice.num_beams)
    return table, lists


def _cache_struct(cache: Tensor) -> list[int]:
    """Return the fields of `struct cache` of native/blenderbot.c, for the first row."""
    return [cache.data_ptr(), cache.stride(0), cache.stride(1), cache.stride(3)]
