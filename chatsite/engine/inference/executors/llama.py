"""Llama's architecture (SmolLM2, and Qwen2 but for its biases), one token of many sequences at a time.

The same weights as in transformers' module, joined: query, key and value are one matrix, gate and up another.
A step touches each weight once for all rows. Rotary positions follow Su et al., "RoFormer" (2021), in the
half-rotated form that the checkpoints use; grouped-query attention follows Ainslie et al., "GQA" (2023).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from chatsite.engine.inference.executor import SequenceGroup, ids_to_tensor
from chatsite.engine.inference.executors.cached import CachedExecutor
from chatsite.engine.inference.executors.llama_weights import LayerWeights, build_layer_weights, fuse_projections
from chatsite.engine.inference.kv_cache.manager import BatchSlice, concat_attention
from chatsite.engine.inference.kv_cache.pool import CacheShape, batched_attention, length_mask
from chatsite.engine.inference.native.llama import LlamaWeights, NativeLlama, is_supported
from chatsite.engine.inference.quantization.linear import (
    bf16_linear,
    decode_threads,
    detach_from_mmap,
    linear_factory,
)

MODEL_TYPES = {"llama", "qwen2"}
MAX_GROUPS = 16
# Beams take prompts of thousands of tokens as one row does; what bounds them is the budget of bytes.
MAX_SEQUENCES = 64

Attend = Callable[[int, Tensor], Tensor]
"""Attention of one layer: its number and rotated `[rows, heads, width]` to `[rows, query heads * width]`."""
RotaryAngles = tuple[Tensor, Tensor]
"""Cosines and signed sines, `[rows, 1, width]` each."""


def supports(model: Any) -> bool:
    """Say whether a model is of this architecture, without variations that it has elsewhere."""
    config = model.config
    if config.model_type not in MODEL_TYPES or config.hidden_act != "silu":
        return False
    has_fixed_rope = model.model.rotary_emb.rope_type in {"default", "linear", "llama3"}
    return has_fixed_rope and not getattr(config, "use_sliding_window", False)


class LlamaExecutor(CachedExecutor):
    """Runs many sequences through a model that `supports`; with `use_int8`, steps are in integers.

    A compiled kernel takes whole steps if it can. Without it prompts are read in floats at all times: the first token
    of a chat has outliers, and all that follows looks back at it (docs/decisions/0008-decoding.md).
    """

    max_groups = MAX_GROUPS
    max_sequences = MAX_SEQUENCES

    def __init__(self, model: Any, use_int8: bool = False) -> None:
        config, body = model.config, model.model
        if use_int8:
            # Norms and biases are kept as they are.
            detach_from_mmap(model, include_matrices=False)
        self._eps: float = config.rms_norm_eps
        self._context_tokens: int = config.max_position_embeddings
        self._head_dim: int = body.layers[0].self_attn.head_dim
        self._num_kv_heads: int = config.num_key_value_heads
        self._num_heads: int = config.num_attention_heads
        self._embedding: Tensor = body.embed_tokens.weight
        self._final_norm: Tensor = body.norm.weight
        make_linear = linear_factory(use_int8)
        fused_layers = [(layer, fuse_projections(layer)) for layer in body.layers]
        self._layers = [build_layer_weights(layer, fused, make_linear) for layer, fused in fused_layers]
        self._lm_head = make_linear(model.lm_head.weight, None)
        self._rotary = body.rotary_emb
        use_native = use_int8 and is_supported(config.hidden_size, config.intermediate_size, self._head_dim)
        use_bf16_prefill = use_int8 and not use_native
        self._prefill_layers = (
            [build_layer_weights(layer, fused, bf16_linear) for layer, fused in fused_layers]
            if use_bf16_prefill
            else self._layers
        )
        if use_int8:
            # The floats are most of the memory, and nothing reads them any more.
            body.layers = torch.nn.ModuleList()
            detach_from_mmap(model, include_matrices=True)
        self.native = self._create_native() if use_native else None
        shape = CacheShape(len(self._layers), self._num_kv_heads, self._head_dim)
        super().__init__(shape, self._embedding, pool_count=1)

    def _create_native(self) -> NativeLlama:
        """Create the compiled kernel of a whole step."""
        weights = LlamaWeights(
            layers=self._layers,
            lm_head=self._lm_head,
            embedding=self._embedding.float(),
            final_norm=self._final_norm,
            num_heads=self._num_heads,
            num_kv_heads=self._num_kv_heads,
            head_dim=self._head_dim,
            eps=self._eps,
        )
        return NativeLlama(weights, self._rotary_table)

    def _rotary_table(self, positions: int) -> Tensor:
        """Return cosines and sines of the first `positions` positions (`[positions, 2, width]`)."""
        return torch.stack(self._rotary(self._embedding, torch.arange(positions)[None]), 2)[0].float().contiguous()

    def create_group(
        self, prompt_ids: Sequence[int], prefix_ids: Sequence[int], max_new_tokens: int, *, num_beams: int = 1
    ) -> SequenceGroup:
        """Create a group: prompt and answer are one sequence of at most the context's length."""
        # Without an encoder prompt and answer share the positions.
        unread_ids = [*prompt_ids, *prefix_ids]
        tokens_left = self._context_tokens - len(unread_ids)
        return SequenceGroup(
            prompt_ids,
            unread_ids,
            tokens_left,
            len(unread_ids) + num_beams * max(0, min(max_new_tokens, tokens_left)),
            num_beams,
        )

    def cache_bytes(self, group: SequenceGroup) -> int:
        """Return the memory of every position that the group may reach, in bytes."""
        return self._sizing_pool.bytes_for(group.max_positions)

    @torch.inference_mode()
    def prefill_chunk(self, group: SequenceGroup, max_tokens: int) -> Tensor | None:
        """Read a piece of the prompt, or of the answer's beginning, before the group is activated.

        What was written is read as it was written, by the step's numbers, so that the answer goes on unchanged.
        """
        if not group.prefill_caches:
            group.prefill_caches = (self._sizing_pool.allocate_cache(1, len(group.unread_ids)),)
        # A piece never holds both prompt and prefix, as these may be read by different weights.
        prompt_tokens_left = len(group.prompt_ids) - group.num_read
        max_tokens = min(max_tokens, prompt_tokens_left) if prompt_tokens_left > 0 else max_tokens
        chunk, group.unread_ids = group.unread_ids[:max_tokens], group.unread_ids[max_tokens:]
        begin, group.num_read = group.num_read, group.num_read + len(chunk)
        if self.native:
            logits = self.native.prefill_chunk(chunk, begin, group.prefill_caches[0])
        else:
            logits = self._prefill_in_torch(
                chunk, begin, group, layers=self._prefill_layers if prompt_tokens_left > 0 else self._layers
            )
        return None if group.unread_ids else logits

    def _prefill_in_torch(
        self, chunk: Sequence[int], begin: int, group: SequenceGroup, *, layers: list[LayerWeights]
    ) -> Tensor:
        """Read ids from position `begin` on; return the logits after them (`[vocabulary]`)."""
        attention = self._prefill_attention(group.prefill_caches[0], begin, group.num_read)
        positions = torch.arange(begin, group.num_read, device=self._embedding.device)
        return self._lm_head(self._forward_layers(layers, chunk, positions, attention=attention)[-1:])[0].float()

    def activate_group(self, group: SequenceGroup) -> None:
        """Move what was read to a cache row of its own."""
        self._kv_cache.add_group(group, [group.num_read], [group.max_positions])

    @torch.inference_mode()
    def decode_step(self, groups: Sequence[SequenceGroup]) -> Tensor:
        """Read one token of each beam of the groups; return logits `[sequences, vocabulary]`."""
        # The kernel knows no lists of positions; beams of this family are rare, and torch computes them.
        if self.native and all(group.num_beams == 1 for group in groups):
            cache = self._kv_cache.slice_batches(groups)[0].batch.pools[0].cache
            tokens = [group.next_ids[0] for group in groups]
            return self.native.decode_step(
                tokens, [group.num_read for group in groups], [group.cache_row for group in groups], cache=cache
            )
        slices = self._kv_cache.slice_batches(groups)
        positions = ids_to_tensor([group.num_read for group in groups for _ in group.next_ids], self._embedding)
        attention = concat_attention(
            [self._decode_attention(batch_slice) for batch_slice in slices],
            [batch_slice.num_sequences for batch_slice in slices],
        )
        tokens = [token for group in groups for token in group.next_ids]
        with decode_threads(len(tokens)):
            return self._lm_head(self._forward_layers(self._layers, tokens, positions, attention=attention)).float()

    def _forward_layers(
        self, layers: list[LayerWeights], ids: Sequence[int], positions: Tensor, *, attention: Attend
    ) -> Tensor:
        """Compute all layers: ids at `positions` (`[rows]`) to normalized hidden states `[rows, hidden]`."""
        x = self._embedding[ids_to_tensor(ids, self._embedding)]
        angles = self._rotary_angles(positions)
        for number, layer in enumerate(layers):
            heads = layer.qkv_proj(self._rms_norm(x, layer.input_norm)).view(len(x), -1, self._head_dim)
            # Values carry no positions (Su et al., 2021).
            _rotate_heads(heads[:, : self._num_heads + self._num_kv_heads], angles)
            x = x + layer.o_proj(attention(number, heads))
            gate, up = layer.gate_up_proj(self._rms_norm(x, layer.post_attention_norm)).chunk(2, -1)
            x = x + layer.down_proj(functional.silu(gate).mul_(up))
        return self._rms_norm(x, self._final_norm)

    def _rotary_angles(self, positions: Tensor) -> RotaryAngles:
        """Return cosines of positions (`[rows]`), and sines with the sign that `_rotate_heads` needs."""
        cos, sin = (half.transpose(0, 1) for half in self._rotary(self._embedding, positions[None]))
        below, above = sin.chunk(2, -1)
        return cos, torch.cat([-below, above], -1)

    def _rms_norm(self, x: Tensor, weight: Tensor) -> Tensor:
        """Apply the root-mean-square norm (Zhang and Sennrich, 2019) in float32, as checkpoints were trained."""
        # Squares of 16-bit floats would overflow.
        x32 = x.float()
        rms = (x32 * x32).mean(-1, keepdim=True).add_(self._eps).rsqrt_()
        normal: Tensor = (x32 * rms).to(x.dtype) * weight
        return normal

    def _prefill_attention(self, cache: Tensor, begin: int, end: int) -> Attend:
        """Return attention of one sequence in `cache`, whose positions `begin` to `end` are new."""
        lengths = torch.arange(begin, end, device=cache.device) + 1
        mask = length_mask(lengths, end, cache)
        mask = None if mask is None else mask.view(len(lengths), end).repeat(self._num_heads // self._num_kv_heads, 1)

        def attend_chunk(number: int, heads: Tensor) -> Tensor:
            own_cache = cache[number, :, 0].flatten(0, 1)
            own_cache[:, begin:end] = heads[:, self._num_heads :].transpose(0, 1)
            # The queries that share a key stand below one another, as if they were more positions.
            queries = heads[:, : self._num_heads].transpose(0, 1).reshape(self._num_kv_heads, -1, self._head_dim)
            keys, values = own_cache[: self._num_kv_heads, :end], own_cache[self._num_kv_heads :, :end]
            attended = functional.scaled_dot_product_attention(queries[None], keys[None], values[None], attn_mask=mask)
            return attended.view(self._num_heads, -1, self._head_dim).transpose(0, 1).flatten(1)

        return attend_chunk

    def _decode_attention(self, batch_slice: BatchSlice) -> Attend:
        """Return attention of one new position of each beam of a slice."""
        cache = batch_slice.batch.pools[0].cache[:, :, batch_slice.cache_rows]
        head_index = torch.arange(self._num_kv_heads, device=cache.device)[None]
        index = (batch_slice.row_index, head_index, batch_slice.position_index)
        # The queries that share a key stand below one another, as if they were more beams.
        shared = self._num_heads // self._num_kv_heads
        mask = None if batch_slice.attention_mask is None else batch_slice.attention_mask.repeat_interleave(shared, 2)

        def attend_step(number: int, heads: Tensor) -> Tensor:
            keys, values = cache[number]
            queries, new_keys, new_values = heads.split_with_sizes(
                [self._num_heads, self._num_kv_heads, self._num_kv_heads], 1
            )
            keys.index_put_(index, new_keys)
            values.index_put_(index, new_values)
            queries = queries.view(-1, self._num_kv_heads, shared, self._head_dim).transpose(1, 2).flatten(0, 1)
            attended = batched_attention(
                queries, keys[:, :, : batch_slice.end], values[:, :, : batch_slice.end], mask=mask
            )
            return attended.view(-1, shared, self._num_kv_heads, self._head_dim).transpose(1, 2).flatten(1)

        return attend_step


def _rotate_heads(heads: Tensor, angles: RotaryAngles) -> None:
    """Rotate heads (`[rows, heads, width]`) in place by their positions' angles (Su et al., 2021)."""
    cos, sin = angles
    quantized = heads.roll(heads.shape[-1] // 2, -1)
    heads.mul_(cos).addcmul_(quantized, sin)
