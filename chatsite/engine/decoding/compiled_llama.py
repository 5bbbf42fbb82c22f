"""The step of a Llama-like model in eight bits as one call of compiled code (`native/llama.c`)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from chatsite.engine.decoding.compiled import rooms, within
from chatsite.engine.decoding.native import LANES, library

POINTER, NUMBER = ctypes.c_void_p, ctypes.c_long


class _Layer(ctypes.Structure):
    """`struct layer` of native/llama.c."""

    _fields_ = [(name, POINTER) for name in ("before", "between", "qkv", "out", "gate_up", "down")]


class _Llama(ctypes.Structure):
    """`struct llama` of native/llama.c."""

    _fields_ = [
        *((name, POINTER) for name in ("layers", "head", "embedding", "end")),
        *((name, NUMBER) for name in ("depth", "hidden", "heads", "groups", "width", "inner")),
        ("eps", ctypes.c_float),
    ]


class _Step(ctypes.Structure):
    """`struct step` of native/llama.c."""

    _fields_ = [
        *((name, POINTER) for name in ("llama", "ids", "positions", "places")),
        ("rows", NUMBER),
        ("cache", POINTER),
        *((name, NUMBER) for name in ("layer_stride", "kind_stride", "place_stride", "head_stride")),
        *((name, POINTER) for name in ("turns", "scratch", "room")),
        ("told", NUMBER),
        ("logits", POINTER),
    ]


class CompiledLlama:
    """All layers of a model over packed matrices.

    `layers` are those of `llama.py`, their matrices and `head` are CompiledEightBits; `shape` is how many heads there
    are, how many of keys, and how wide they are.
    `angles` gives the cosines and sines of the positions up to a number (`[positions, 2, width]`). Keys and values lie
    in a cache of float32, `[layers, 2, places, groups, positions, width]`.
    """

    def __init__(
        self,
        layers: Sequence[Any],
        head: Any,
        embedding: Tensor,
        end: Tensor,
        shape: tuple[int, int, int],
        eps: float,
        angles: Callable[[int], Tensor],
    ) -> None:
        compiled = library()
        if compiled is None:
            raise RuntimeError("The step was not compiled for this machine.")
        self._run, self._angles = compiled.chatsite_llama_step, angles
        # The structures hold addresses only; what they point to must live as long, whatever becomes of the modules.
        embedding, end = embedding.detach(), end.detach()
        norms = [(layer.before.detach(), layer.between.detach()) for layer in layers]
        self._kept = (layers, norms, head, embedding, end)
        self._head, self._vocabulary, self._known = head, head.outputs, len(embedding)
        self._layers = (_Layer * len(layers))(*map(_addresses, layers))
        hidden, inner = embedding.shape[1], layers[0].down.inputs
        pointers = ctypes.addressof(self._layers), head.address, embedding.data_ptr(), end.data_ptr()
        self._llama = _Llama(*pointers, len(layers), hidden, *shape, inner, eps)
        self._scratch = compiled.chatsite_llama_scratch(ctypes.addressof(self._llama))
        self._widest = max(max(m.padded for m in (each.qkv, each.out, each.gate_up, each.down)) for each in layers)
        self._turns = angles(LANES)

    def read(self, ids: Sequence[int], begin: int, cache: Tensor) -> Tensor:
        """Read `ids` at successive positions of the only sequence in `cache`; gives the last logits `[vocabulary]`."""
        return self._step(ids, range(begin, begin + len(ids)), [0] * len(ids), cache, 1)[0]

    def step(self, ids: Sequence[int], positions: Sequence[int], places: Sequence[int], cache: Tensor) -> Tensor:
        """Read one id of each of the sequences in `places`, at its position; gives logits `[rows, vocabulary]`."""
        return self._step(ids, positions, places, cache, len(ids))

    def _step(
        self, ids: Sequence[int], positions: Sequence[int], places: Sequence[int], cache: Tensor, told: int
    ) -> Tensor:
        rows = len(ids)
        within(ids, self._known)
        within(positions, cache.shape[4])
        within(places, cache.shape[2])
        if max(positions) >= len(self._turns):
            self._turns = self._angles(2 * (max(positions) + 1))
        numbers = torch.tensor([ids, positions, places])
        scratch, logits = torch.empty(rows * self._scratch), torch.empty(told, self._vocabulary)
        each = numbers.data_ptr(), numbers[1].data_ptr(), numbers[2].data_ptr()
        strides = cache.stride()[:4]
        room = rooms.reserve(rows, max(self._widest, self._head.padded))
        arrays = self._turns.data_ptr(), scratch.data_ptr(), room, told, logits.data_ptr()
        step = _Step(ctypes.addressof(self._llama), *each, rows, cache.data_ptr(), *strides, *arrays)
        self._run(ctypes.addressof(step))
        return logits


def can_compile(hidden: int, inner: int, width: int) -> bool:
    """Whether there is compiled code and a model's sizes fill its registers."""
    return library() is not None and not (hidden % LANES or inner % LANES or width % (2 * LANES))


def _addresses(layer: Any) -> _Layer:
    matrices = (layer.qkv.address, layer.out.address, layer.gate_up.address, layer.down.address)
    return _Layer(layer.before.data_ptr(), layer.between.data_ptr(), *matrices)
