"""A step of a Llama-like model in eight bits as one call of a compiled kernel (`native/llama.c`)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from chatsite.engine.inference.native import LANES, load_library
from chatsite.engine.inference.native.int8 import require_in_range, scratch_buffers

POINTER, NUMBER = ctypes.c_void_p, ctypes.c_long


class _Layer(ctypes.Structure):
    """`struct layer` of native/llama.c."""

    _fields_ = [
        (name, POINTER)
        for name in ("input_norm", "post_attention_norm", "qkv_proj", "o_proj", "gate_up_proj", "down_proj")
    ]


class _Llama(ctypes.Structure):
    """`struct llama` of native/llama.c."""

    _fields_ = [
        *((name, POINTER) for name in ("layers", "lm_head", "embedding", "final_norm")),
        *((name, NUMBER) for name in ("num_layers", "hidden", "heads", "groups", "width", "inner")),
        ("eps", ctypes.c_float),
    ]


class _Step(ctypes.Structure):
    """`struct step` of native/llama.c."""

    _fields_ = [
        *((name, POINTER) for name in ("llama", "ids", "positions", "cache_rows")),
        ("rows", NUMBER),
        ("cache", POINTER),
        *((name, NUMBER) for name in ("layer_stride", "kind_stride", "row_stride", "head_stride")),
        *((name, POINTER) for name in ("rotary_table", "scratch", "buffer")),
        ("num_logits", NUMBER),
        ("logits", POINTER),
    ]


@dataclass(frozen=True)
class LlamaWeights:
    """What a compiled step computes with.

    `layers` are LayerWeights of the executor; their matrices and `lm_head` are NativeInt8Linear. `embedding` is
    `[vocabulary, hidden]` and `final_norm` `[hidden]`, in float32; `eps` is that of the norms.
    """

    layers: Sequence[Any]
    lm_head: Any
    embedding: Tensor
    final_norm: Tensor
    num_heads: int
    num_kv_heads: int
    head_dim: int
    eps: float


class NativeLlama:
    """All layers of a model over packed matrices.

    `make_rotary_table` returns cosines and sines of the positions up to a number (`[positions, 2, width]`). Keys and
    values lie in a cache of float32, `[layers, 2, rows, heads, positions, width]`. Raises RuntimeError if
    `load_library` returns None.
    """

    def __init__(self, weights: LlamaWeights, make_rotary_table: Callable[[int], Tensor]) -> None:
        native = load_library()
        if native is None:
            raise RuntimeError("The step was not compiled for this machine.")
        self._native_step, self._make_rotary_table = native.chatsite_llama_step, make_rotary_table
        # The structures hold addresses only; what they point to must live as long, whatever becomes of the modules.
        layers, head = weights.layers, weights.lm_head
        embedding, final_norm = weights.embedding.detach(), weights.final_norm.detach()
        norms = [(layer.input_norm.detach(), layer.post_attention_norm.detach()) for layer in layers]
        self._keep_alive = (layers, norms, head, embedding, final_norm)
        self._head, self._vocabulary_size, self._vocabulary_rows = head, head.outputs, len(embedding)
        self._layers = (_Layer * len(layers))(*map(_layer_struct, layers))
        hidden, inner = embedding.shape[1], layers[0].down_proj.inputs
        pointers = ctypes.addressof(self._layers), head.address, embedding.data_ptr(), final_norm.data_ptr()
        sizes = len(layers), hidden, weights.num_heads, weights.num_kv_heads, weights.head_dim, inner
        self._llama = _Llama(*pointers, *sizes, weights.eps)
        self._scratch_floats = native.chatsite_llama_scratch(ctypes.addressof(self._llama))
        self._max_inputs = max(
            max(
                m.padded_inputs
                for m in (
                    layer_weights.qkv_proj,
                    layer_weights.o_proj,
                    layer_weights.gate_up_proj,
                    layer_weights.down_proj,
                )
            )
            for layer_weights in layers
        )
        self._rotary_table = make_rotary_table(LANES)

    def prefill_chunk(self, ids: Sequence[int], begin: int, cache: Tensor) -> Tensor:
        """Read `ids` from position `begin` on of the only sequence in `cache`; return the last logits."""
        return self._run_step(ids, range(begin, begin + len(ids)), [0] * len(ids), cache=cache, num_logits=1)[0]

    def decode_step(
        self, ids: Sequence[int], positions: Sequence[int], cache_rows: Sequence[int], *, cache: Tensor
    ) -> Tensor:
        """Read one id of each sequence in `cache_rows`, at its position; return logits `[rows, vocabulary]`."""
        return self._run_step(ids, positions, cache_rows, cache=cache, num_logits=len(ids))

    def _run_step(
        self, ids: Sequence[int], positions: Sequence[int], cache_rows: Sequence[int], *, cache: Tensor, num_logits: int
    ) -> Tensor:
        rows = len(ids)
        # The kernel reads and writes wherever these numbers say.
        require_in_range(ids, self._vocabulary_rows)
        require_in_range(positions, cache.shape[4])
        require_in_range(cache_rows, cache.shape[2])
        # Doubled, so that a long answer computes few tables; most answers never reach the context's end.
        if max(positions) >= len(self._rotary_table):
            self._rotary_table = self._make_rotary_table(2 * (max(positions) + 1))
        # One tensor for three lists: `long` is 64 bits, as the structure says.
        numbers = torch.tensor([ids, positions, cache_rows])
        scratch, logits = torch.empty(rows * self._scratch_floats), torch.empty(num_logits, self._vocabulary_size)
        addresses = numbers.data_ptr(), numbers[1].data_ptr(), numbers[2].data_ptr()
        strides = cache.stride()[:4]
        buffer = scratch_buffers.reserve_buffer(rows, max(self._max_inputs, self._head.padded_inputs))
        arrays = self._rotary_table.data_ptr(), scratch.data_ptr(), buffer, num_logits, logits.data_ptr()
        # Everything that is addressed here is a local variable, alive until the call returns.
        step = _Step(ctypes.addressof(self._llama), *addresses, rows, cache.data_ptr(), *strides, *arrays)
        self._native_step(ctypes.addressof(step))
        return logits


def is_supported(hidden: int, inner: int, width: int) -> bool:
    """Say whether there are kernels and a model's sizes fill their registers."""
    return load_library() is not None and not (hidden % LANES or inner % LANES or width % (2 * LANES))


def _layer_struct(layer: Any) -> _Layer:
    matrices = (layer.qkv_proj.address, layer.o_proj.address, layer.gate_up_proj.address, layer.down_proj.address)
    return _Layer(layer.input_norm.data_ptr(), layer.post_attention_norm.data_ptr(), *matrices)
