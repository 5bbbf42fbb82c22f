"""BlenderBot's decoder (Roller et al., 2020), one token of many sequences at a time.

A pre-norm Transformer with learned positions. In transformers' module all rows of a call share one position, so
that rows cannot join in the middle; here each row has its own. Query, key and value of the self-attention are one
matrix, and what the cross-attention needs of the prompt is computed once a request. The encoder stays
transformers' own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from chatsite.engine.inference.executor import SequenceGroup, ids_to_tensor
from chatsite.engine.inference.executors.cached import CachedExecutor
from chatsite.engine.inference.kv_cache.manager import BatchSlice, concat_attention
from chatsite.engine.inference.kv_cache.pool import CacheShape, batched_attention, length_mask
from chatsite.engine.inference.native.blenderbot import BlenderbotWeights, NativeBlenderbot, is_supported
from chatsite.engine.inference.quantization.linear import (
    LinearFunction,
    decode_threads,
    detach_from_mmap,
    linear_factory,
)

MAX_GROUPS = 16
# All of them with the ten beams that the model was published with.
MAX_SEQUENCES = 160

Attend = Callable[[int, Tensor], Tensor]
"""Attention of one layer: its number and `[rows, heads, width]` to `[rows, hidden]`."""
NormFunction = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LayerWeights:
    """The weights of one layer of the decoder."""

    input_norm: NormFunction
    qkv_proj: LinearFunction
    o_proj: LinearFunction
    post_attention_norm: NormFunction
    cross_q_proj: LinearFunction
    cross_kv_proj: LinearFunction
    cross_o_proj: LinearFunction
    final_norm: NormFunction
    up_proj: LinearFunction
    down_proj: LinearFunction


def supports(model: Any) -> bool:
    """Say whether a model is of this architecture."""
    config = model.config
    return bool(config.model_type == "blenderbot" and config.activation_function == "gelu")


class BlenderbotExecutor(CachedExecutor):
    """Runs many sequences through a model that `supports`; with `use_int8`, its decoder is in integers."""

    max_groups = MAX_GROUPS
    max_sequences = MAX_SEQUENCES

    def __init__(self, model: Any, use_int8: bool = False) -> None:
        config, decoder = model.config, model.model.decoder
        if use_int8:
            # Norms and biases are kept as they are.
            detach_from_mmap(model, include_matrices=False)
        self._context_tokens: int = config.max_position_embeddings
        self._start_id: int = config.decoder_start_token_id
        self._num_heads: int = config.decoder_attention_heads
        self._head_dim = config.d_model // self._num_heads
        self._encoder = model.get_encoder()
        self._embedding: Tensor = decoder.embed_tokens.weight
        self._scale = math.sqrt(config.d_model) if config.scale_embedding else 1.0
        self._positions: Tensor = decoder.embed_positions.weight
        self._final_norm: NormFunction = decoder.layer_norm
        self._layers = [_build_layer_weights(layer, use_int8) for layer in decoder.layers]
        self._lm_head = linear_factory(use_int8)(model.lm_head.weight, model.final_logits_bias[0])
        # One pool for the answer's keys and values, one for the prompt's.
        super().__init__(CacheShape(len(self._layers), self._num_heads, self._head_dim), self._embedding, pool_count=2)
        if use_int8:
            # The floats of the decoder's matrices are most of the memory, and nothing reads them any more.
            decoder.layers = torch.nn.ModuleList()
            detach_from_mmap(model, include_matrices=True)
        use_native = use_int8 and is_supported(config.d_model, config.decoder_ffn_dim)
        self.native = self._create_native() if use_native else None

    def _create_native(self) -> NativeBlenderbot:
        """Create the compiled kernel of a whole step."""
        weights = BlenderbotWeights(
            layers=self._layers,
            lm_head=self._lm_head,
            embedding=self._embedding,
            positions=self._positions,
            final_norm=self._final_norm,
            num_heads=self._num_heads,
            scale=self._scale,
        )
        return NativeBlenderbot(weights)

    def create_group(
        self, prompt_ids: Sequence[int], prefix_ids: Sequence[int], max_new_tokens: int, *, num_beams: int = 1
    ) -> SequenceGroup:
        """Create a group: the encoder reads the prompt, the decoder its start token and the prefix."""
        # The decoder's positions are its own: a long prompt takes nothing from the answer.
        unread_ids = [*prompt_ids, self._start_id, *prefix_ids]
        tokens_left = self._context_tokens - len(prefix_ids)
        return SequenceGroup(
            prompt_ids,
            unread_ids,
            tokens_left,
            1 + len(prefix_ids) + num_beams * max(0, min(max_new_tokens, tokens_left - 1)),
            num_beams,
        )

    def cache_bytes(self, group: SequenceGroup) -> int:
        """Return the memory of the prompt and of every position that the answer may reach, in bytes."""
        return self._sizing_pool.bytes_for(group.max_positions + len(group.prompt_ids))

    @torch.inference_mode()
    def prefill_chunk(self, group: SequenceGroup, max_tokens: int) -> Tensor | None:
        """Encode the prompt, which is never long; at the next calls, read the answer's beginning."""
        if not group.prefill_caches:
            group.unread_ids = group.unread_ids[len(group.prompt_ids) :]
            group.prefill_caches = (
                self._sizing_pool.allocate_cache(1, len(group.unread_ids)),
                self._encode_prompt(group.prompt_ids),
            )
            return None
        # The prefix is read by the numbers of decode steps, or a resumed answer would go on differently.
        chunk, group.unread_ids = group.unread_ids[:max_tokens], group.unread_ids[max_tokens:]
        begin, group.num_read = group.num_read, group.num_read + len(chunk)
        own_cache, source_cache = group.prefill_caches
        if self.native:
            logits = self.native.prefill_chunk(chunk, begin, own_cache, source_cache=source_cache)
        else:
            self_attention = self._prefill_attention(own_cache, begin, group.num_read)
            cross_attention = self._cross_attention(source_cache, None)
            positions = torch.arange(begin, group.num_read, device=self._embedding.device)
            hidden = self._forward_layers(chunk, positions, self_attention, cross_attention=cross_attention)
            logits = self._lm_head(hidden[-1:])[0].float()
        return None if group.unread_ids else logits

    def _encode_prompt(self, prompt_ids: Sequence[int]) -> Tensor:
        """Return keys and values of a prompt for all layers (`[layers, 2, 1, heads, positions, width]`)."""
        encoded = self._encoder(ids_to_tensor(list(prompt_ids), self._embedding)[None])[0][0]
        # They are the same at every step, so they are computed once a request.
        keys_and_values = torch.stack([layer.cross_kv_proj(encoded) for layer in self._layers])
        return (
            keys_and_values.view(len(keys_and_values), len(prompt_ids), 2, 1, -1, self._head_dim)
            .permute(0, 2, 3, 4, 1, 5)
            .contiguous()
        )

    def activate_group(self, group: SequenceGroup) -> None:
        """Move what was read to a cache row of its own."""
        source = len(group.prompt_ids)
        self._kv_cache.add_group(group, [group.num_read, source], [group.max_positions, source])

    @torch.inference_mode()
    def decode_step(self, groups: Sequence[SequenceGroup]) -> Tensor:
        """Read one token of each beam of the groups; return logits `[sequences, vocabulary]`."""
        slices = self._kv_cache.slice_batches(groups)
        tokens = [token for group in groups for token in group.next_ids]
        if self.native:
            return self.native.decode_step(tokens, slices)
        # Groups with different numbers of beams share all products and differ only in attention.
        sizes = [batch_slice.num_sequences for batch_slice in slices]
        positions = ids_to_tensor([group.num_read for group in groups for _ in group.next_ids], self._embedding)
        self_attention = concat_attention([self._decode_attention(batch_slice) for batch_slice in slices], sizes)
        cross_attention = concat_attention([self._decode_cross_attention(batch_slice) for batch_slice in slices], sizes)
        with decode_threads(len(tokens)):
            return self._lm_head(
                self._forward_layers(tokens, positions, self_attention, cross_attention=cross_attention)
            ).float()

    def _forward_layers(
        self, ids: Sequence[int], positions: Tensor, self_attention: Attend, *, cross_attention: Attend
    ) -> Tensor:
        """Compute all layers: ids at `positions` (`[rows]`) to normalized hidden states `[rows, hidden]`."""
        x = self._embedding[ids_to_tensor(ids, self._embedding)] * self._scale + self._positions[positions]
        for number, layer in enumerate(self._layers):
            # Pre-norm: the sum itself is never normalized until the end.
            x = x + layer.o_proj(self_attention(number, self._split_heads(layer.qkv_proj(layer.input_norm(x)))))
            x = x + layer.cross_o_proj(
                cross_attention(number, self._split_heads(layer.cross_q_proj(layer.post_attention_norm(x))))
            )
            x = x + layer.down_proj(functional.gelu(layer.up_proj(layer.final_norm(x))))
        return self._final_norm(x)

    def _split_heads(self, x: Tensor) -> Tensor:
        """Split rows into heads: `[rows, heads * width]` to `[rows, heads, width]`."""
        return x.view(len(x), -1, self._head_dim)

    def _prefill_attention(self, cache: Tensor, begin: int, end: int) -> Attend:
        """Return self-attention of one sequence in `cache`, whose positions `begin` to `end` are new."""
        mask = length_mask(torch.arange(begin, end, device=cache.device) + 1, end, cache)
        mask = None if mask is None else mask.view(1, 1, end - begin, end)

        def attend_chunk(number: int, heads: Tensor) -> Tensor:
            # New keys are written before attention, as each token sees itself.
            queries, new_keys, new_values = heads.chunk(3, 1)
            keys, values = cache[number]
            keys[0, :, begin:end] = new_keys.transpose(0, 1)
            values[0, :, begin:end] = new_values.transpose(0, 1)
            return batched_attention(queries, keys[:, :, :end], values[:, :, :end], mask=mask)

        return attend_chunk

    def _decode_attention(self, batch_slice: BatchSlice) -> Attend:
        """Return self-attention of one new position of each beam of a slice."""
        cache = batch_slice.batch.pools[0].cache[:, :, batch_slice.cache_rows]
        index = (
            batch_slice.row_index,
            torch.arange(self._num_heads, device=cache.device)[None],
            batch_slice.position_index,
        )

        def attend_step(number: int, heads: Tensor) -> Tensor:
            queries, new_keys, new_values = heads.chunk(3, 1)
            keys, values = cache[number]
            keys.index_put_(index, new_keys)
            values.index_put_(index, new_values)
            return batched_attention(
                queries, keys[:, :, : batch_slice.end], values[:, :, : batch_slice.end], mask=batch_slice.attention_mask
            )

        return attend_step

    def _decode_cross_attention(self, batch_slice: BatchSlice) -> Attend:
        """Return the attention of the groups of a slice to their prompts."""
        lengths = [len(group.prompt_ids) for group in batch_slice.groups]
        longest = max(lengths)
        cache = batch_slice.batch.pools[1].cache[:, :, batch_slice.cache_rows, :, :longest]
        return self._cross_attention(cache, length_mask(ids_to_tensor(lengths, cache), longest, cache))

    def _cross_attention(self, cache: Tensor, mask: Tensor | None) -> Attend:
        """Return the attention of all sequences of some rows to the one prompt of each row in `cache`."""

        def attend_source(number: int, heads: Tensor) -> Tensor:
            keys, values = cache[number]
            return batched_attention(heads, keys, values, mask=mask)

        return attend_source


def _build_layer_weights(layer: Any, use_int8: bool) -> LayerWeights:
    self_attention, cross_attention = layer.self_attn, layer.encoder_attn
    return LayerWeights(
        input_norm=layer.self_attn_layer_norm,
        qkv_proj=_fuse_linears([self_attention.q_proj, self_attention.k_proj, self_attention.v_proj], use_int8),
        o_proj=_fuse_linears([self_attention.out_proj], use_int8),
        post_attention_norm=layer.encoder_attn_layer_norm,
        cross_q_proj=_fuse_linears([cross_attention.q_proj], use_int8),
        cross_kv_proj=_fuse_linears([cross_attention.k_proj, cross_attention.v_proj], use_int8),
        cross_o_proj=_fuse_linears([cross_attention.out_proj], use_int8),
        final_norm=layer.final_layer_norm,
        up_proj=_fuse_linears([layer.fc1], use_int8),
        down_proj=_fuse_linears([layer.fc2], use_int8),
    )


def _fuse_linears(linears: list[Any], use_int8: bool) -> LinearFunction:
    """Join linear modules into one matrix; they keep working on views of it, so that nothing is stored twice."""
    weight = linears[0].weight if len(linears) == 1 else torch.cat([linear.weight for linear in linears]).detach()
    bias = torch.cat([linear.bias for linear in linears]).detach()
    if len(linears) > 1 and not use_int8:
        for linear, part in zip(linears, torch.split(weight, [len(linear.weight) for linear in linears]), strict=True):
            linear.weight = torch.nn.Parameter(part, requires_grad=False)
    return linear_factory(use_int8)(weight, bias)
