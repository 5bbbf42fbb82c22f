"""The weights of a Llama-like model, joined: query, key and value are one matrix, gate and up another.

Fewer and larger products read the same bytes with fewer calls, which is what a step of few rows waits for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from chatsite.engine.inference.quantization.linear import LinearFactory, LinearFunction


@dataclass(frozen=True)
class LayerWeights:
    """The weights of one layer; norms are `[hidden]`."""

    input_norm: Tensor
    qkv_proj: LinearFunction
    o_proj: LinearFunction
    post_attention_norm: Tensor
    gate_up_proj: LinearFunction
    down_proj: LinearFunction


class FusedProjections(NamedTuple):
    """A layer's projections, joined: query, key and value (`[outputs, hidden]`) with their bias, and gate and up."""

    qkv: Tensor
    qkv_bias: Tensor | None
    gate_up: Tensor


def fuse_projections(layer: Any) -> FusedProjections:
    """Join query, key and value into one matrix, their biases, and gate and up into another.

    The module keeps working on views of the joined ones, so that nothing is stored twice.
    """
    attention, mlp = layer.self_attn, layer.mlp
    projections = [attention.q_proj, attention.k_proj, attention.v_proj]
    qkv, gate_up = _fuse_weights(projections), _fuse_weights([mlp.gate_proj, mlp.up_proj])
    biases = [projection.bias for projection in projections]
    return FusedProjections(qkv, None if biases[0] is None else torch.cat(biases).detach(), gate_up)


def _fuse_weights(linears: list[Any]) -> Tensor:
    joined = torch.cat([linear.weight for linear in linears]).detach()
    for linear, part in zip(linears, torch.split(joined, [len(linear.weight) for linear in linears]), strict=True):
        linear.weight = torch.nn.Parameter(part, requires_grad=False)
    return joined


def build_layer_weights(layer: Any, fused: FusedProjections, make_linear: LinearFactory) -> LayerWeights:
    """Build the matrices of a layer of transformers' module with `make_linear`."""
    out, down = layer.self_attn.o_proj, layer.mlp.down_proj
    return LayerWeights(
        input_norm=layer.input_layernorm.weight,
        qkv_proj=make_linear(fused.qkv, fused.qkv_bias),
        o_proj=make_linear(out.weight, out.bias),
        post_attention_norm=layer.post_attention_layernorm.weight,
        gate_up_proj=make_linear(fused.gate_up, None),
        down_proj=make_linear(down.weight, None),
    )
