"""The executor for all architectures without one of their own: transformers' modules, many sequences at once.

The modules are given from outside what elsewhere ties the rows of a call together: positions for each row, a mask that
says what each one sees, and a cache of ours that writes each new key at its sequence's own position. So rows join and
leave at any step, and the beams of a row stand side by side as if they were positions of a prompt that do not see each
other.

T5 has no positions but a bias by distance (Raffel et al., 2020), which its module computes for one distance of all
rows. It is computed here instead and added to the mask. BlenderBot 90M counts its positions from the length of the
cache; that length is given for each row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache
from transformers.cache_utils import Cache

from chatsite.engine.inference.executor import SequenceGroup, ids_to_tensor
from chatsite.engine.inference.executors.cached import CachedExecutor
from chatsite.engine.inference.kv_cache.manager import BatchSlice
from chatsite.engine.inference.kv_cache.pool import CacheShape
from chatsite.engine.inference.kv_cache.transformers_view import CacheView, SlottedCacheLayer, T5RelativeBias
from chatsite.engine.inference.quantization.linear import decode_threads
from chatsite.engine.inference.quantization.quantize_modules import PrecisionSwitch, quantize_model
from chatsite.errors import ModelLoadError, load_reasons

MAX_GROUPS = 16
MAX_SEQUENCES = 64
# Kinds of rotary positions that change with the longest sequence of a call.
DYNAMIC_ROPE_TYPES = {"dynamic", "longrope"}


class TransformersExecutor(CachedExecutor):
    """Runs many sequences through any model of the catalog; with `use_int8`, its steps are in integers.

    `context_tokens` is the number of the model's positions. Raises ModelLoadError for a model that looks ahead, or
    whose layers differ in the sizes of their keys.
    """

    def __init__(self, model: Any, context_tokens: int, use_int8: bool = False) -> None:
        config = model.config
        if getattr(config, "use_bidirectional_attention", False):
            raise ModelLoadError(reason=load_reasons.NotCausalError())
        self._switch = quantize_model(model) if use_int8 else PrecisionSwitch()
        self._model = model
        self._context_tokens = context_tokens
        self._has_encoder = bool(config.is_encoder_decoder)
        self._start_id: int = config.decoder_start_token_id if self._has_encoder else 0
        self._like: Tensor = model.get_input_embeddings().weight
        self._relative_bias = T5RelativeBias(model.get_decoder()) if config.model_type == "t5" else None
        self._window = getattr(config, "sliding_window", None)
        self._layer_types = set(getattr(config, "layer_types", None) or ())
        self.max_groups = 1 if _needs_single_row(config) else MAX_GROUPS
        self.max_sequences = MAX_SEQUENCES
        super().__init__(self._measure_cache(), self._like, pool_count=2 if self._has_encoder else 1)

    @torch.inference_mode()
    def _measure_cache(self) -> CacheShape:
        """Return the number of layers, of heads of the keys, and their width, by running the model once."""
        # Configurations name these sizes in a different way for each architecture; a run of one token tells them.
        cache = DynamicCache()
        if self._has_encoder:
            self._encode_prompt([self._start_id], cache)
        else:
            self._model(self._ids_tensor([[0]]), past_key_values=cache, use_cache=True)
        try:
            layers, _, _, heads, _, width = _stack_cache(cache).shape
        except RuntimeError as error:
            raise ModelLoadError(reason=load_reasons.UnevenKeysError()) from error
        return CacheShape(layers, heads, width)

    def create_group(
        self, prompt_ids: Sequence[int], prefix_ids: Sequence[int], max_new_tokens: int, *, num_beams: int = 1
    ) -> SequenceGroup:
        """Create a group: an encoder has its own positions, else prompt and answer share the context."""
        unread_ids = [*prompt_ids, *([self._start_id] if self._has_encoder else []), *prefix_ids]
        decoder_ids = unread_ids[len(prompt_ids) :] if self._has_encoder else unread_ids
        tokens_left = self._context_tokens - (len(prefix_ids) if self._has_encoder else len(decoder_ids))
        return SequenceGroup(
            prompt_ids,
            unread_ids,
            tokens_left,
            len(decoder_ids) + num_beams * max(0, min(max_new_tokens, tokens_left)),
            num_beams,
        )

    def cache_bytes(self, group: SequenceGroup) -> int:
        """Return the memory of every position of the group, and of a prompt that an encoder reads, in bytes."""
        return self._sizing_pool.bytes_for(group.max_positions) + (
            self._sizing_pool.bytes_for(len(group.prompt_ids)) if self._has_encoder else 0
        )

    @torch.inference_mode()
    def prefill_chunk(self, group: SequenceGroup, max_tokens: int) -> Tensor | None:
        """Read a piece of the prompt or of the answer's beginning; an encoder reads the prompt at once."""
        if not group.prefill_caches:
            prompt_ids = list(group.prompt_ids) if self._has_encoder else []
            group.unread_ids = group.unread_ids[len(prompt_ids) :]
            own_cache = self._sizing_pool.allocate_cache(1, len(group.unread_ids))
            group.prefill_caches = (
                (own_cache, self._encode_prompt(prompt_ids, DynamicCache())) if prompt_ids else (own_cache,)
            )
            if prompt_ids:
                return None
        # What was written is read as it was written, by the step's numbers, so that the answer goes on unchanged.
        prompt_tokens_left = 0 if self._has_encoder else max(0, len(group.prompt_ids) - group.num_read)
        max_tokens = min(max_tokens, prompt_tokens_left) if prompt_tokens_left else max_tokens
        chunk, group.unread_ids = group.unread_ids[:max_tokens], group.unread_ids[max_tokens:]
        # In the cache of one sequence cell number and token number are the same.
        end = group.num_read + len(chunk)
        query_tokens = torch.arange(group.num_read, end, device=self._like.device)
        cell_tokens = torch.arange(end, device=self._like.device).expand(1, len(chunk), end)
        view = CacheView(
            group.prefill_caches[0],
            query_tokens[None],
            cell_tokens,
            torch.zeros_like(query_tokens)[:, None],
            query_tokens[:, None],
        )
        with self._switch.using_floats(use_floats=bool(prompt_tokens_left)):
            logits = self._forward_model(
                [chunk], view, group.prefill_caches[-1], lengths=[len(group.prompt_ids)], logits_to_keep=1
            )
        group.num_read = end
        return None if group.unread_ids else logits[0, -1].float()

    def _encode_prompt(self, prompt_ids: Sequence[int], own_cache: DynamicCache) -> Tensor:
        """Return a prompt's keys and values in the decoder (`[layers, 2, 1, heads, positions, width]`)."""
        source = DynamicCache()
        encoded = self._model.get_encoder()(self._ids_tensor([prompt_ids]))[0]
        self._model(
            encoder_outputs=(encoded,),
            decoder_input_ids=self._ids_tensor([[self._start_id]]),
            past_key_values=EncoderDecoderCache(own_cache, source),
            use_cache=True,
        )
        return _stack_cache(source)

    def _ids_tensor(self, ids: Sequence[Sequence[int]]) -> Tensor:
        """Return token ids, or positions, as a tensor on the model's device (`[rows, queries]`)."""
        return torch.tensor([list(row_ids) for row_ids in ids], device=self._like.device)

    def activate_group(self, group: SequenceGroup) -> None:
        """Move what was read to a cache row of its own."""
        source = [len(group.prompt_ids)] if self._has_encoder else []
        self._kv_cache.add_group(group, [group.num_read, *source], [group.max_positions, *source])

    @torch.inference_mode()
    def decode_step(self, groups: Sequence[SequenceGroup]) -> Tensor:
        """Read one token of each beam of the groups; return logits `[sequences, vocabulary]`."""
        # Slices are computed one after the other, as modules take one shape of rows and queries.
        with decode_threads(sum(group.num_beams for group in groups)):
            logits = [self._decode_slice(batch_slice) for batch_slice in self._kv_cache.slice_batches(groups)]
        return torch.cat(logits).float()

    def _decode_slice(self, batch_slice: BatchSlice) -> Tensor:
        """Read one token of groups with the same number of beams (`[sequences, vocabulary]`)."""
        groups, pools = batch_slice.groups, batch_slice.batch.pools
        query_tokens = self._ids_tensor([[group.num_read] * group.num_beams for group in groups])
        cell_tokens = torch.from_numpy(batch_slice.batch.tokens_at_positions(groups, batch_slice.end)).to(
            self._like.device
        )
        view = CacheView(
            pools[0].cache[:, :, batch_slice.cache_rows],
            query_tokens,
            cell_tokens,
            batch_slice.row_index,
            batch_slice.position_index,
        )
        lengths = [len(group.prompt_ids) for group in groups]
        source = pools[-1].cache[:, :, batch_slice.cache_rows]
        return self._forward_model(
            [group.next_ids for group in groups], view, source, lengths=lengths, logits_to_keep=0
        ).flatten(0, 1)

    def _forward_model(
        self,
        ids: Sequence[Sequence[int]],
        view: CacheView,
        source: Tensor,
        *,
        lengths: Sequence[int],
        logits_to_keep: int,
    ) -> Tensor:
        """Compute all layers: ids (`[rows, queries]`) to logits (`[rows, queries, vocabulary]`).

        Only the last `logits_to_keep` logits of a row are computed, if that is not 0. `source` holds what a decoder
        sees of the prompts, which have the `lengths`.
        """
        tokens = self._ids_tensor(ids)
        # New objects for each pass: they only hold views of the pool.
        own_cache = Cache(layers=[SlottedCacheLayer(keys, values, view) for keys, values in view.cache])
        masks = self._attention_masks(view)
        if self._has_encoder:
            return self._forward_decoder(self._source_view(source, lengths), tokens, own_cache, masks=masks)
        output = self._model(
            tokens,
            position_ids=view.query_tokens,
            attention_mask=masks,
            past_key_values=own_cache,
            use_cache=True,
            logits_to_keep=logits_to_keep,
        )
        return output.logits  # type: ignore[no-any-return]

    def _source_view(self, source: Tensor, lengths: Sequence[int]) -> tuple[Cache, Tensor]:
        """Return a decoder's view of prompts, and the mask of their scores (`[rows, 1, 1, positions]`)."""
        longest = max(lengths)
        cache = Cache(
            layers=[SlottedCacheLayer(keys[:, :, :longest], values[:, :, :longest]) for keys, values in source]
        )
        # Prompts shorter than the longest are padded with what other requests left, so it must be hidden.
        hidden = torch.arange(longest, device=source.device) >= ids_to_tensor(list(lengths), source)[:, None]
        return cache, self._additive_mask(hidden[:, None, None])

    def _forward_decoder(
        self, source_view: tuple[Cache, Tensor], tokens: Tensor, own_cache: Cache, *, masks: Any
    ) -> Tensor:
        """Compute all layers of a decoder beside an encoder."""
        source, mask = source_view
        # The keys are there already; this only says that there is an encoder, and for how many rows.
        states = self._like.new_zeros(()).expand(len(tokens), mask.shape[-1], self._like.shape[1])
        output = self._model(
            encoder_outputs=(states,),
            attention_mask=mask.expand(-1, 1, tokens.shape[1], -1),
            decoder_input_ids=tokens,
            decoder_attention_mask=masks,
            past_key_values=EncoderDecoderCache(own_cache, source),
            use_cache=True,
        )
        return output.logits  # type: ignore[no-any-return]

    def _attention_masks(self, view: CacheView) -> Tensor | dict[str, Tensor]:
        """Return what is added to the scores, for each kind of layer if there are several."""
        full_mask = self._additive_mask(view.hidden_mask())
        if self._relative_bias:
            return full_mask + self._relative_bias.bias_for(view)
        if "sliding_attention" not in self._layer_types:
            return full_mask
        return {"full_attention": full_mask, "sliding_attention": self._additive_mask(view.hidden_mask(self._window))}

    def _additive_mask(self, hidden: Tensor) -> Tensor:
        """Return 0 for what is seen, minus infinity for what is hidden."""
        return self._like.new_zeros(hidden.shape).masked_fill_(hidden, float("-inf"))


def _stack_cache(cache: DynamicCache) -> Tensor:
    """Return what a cache of transformers holds (`[layers, 2, rows, heads, positions, width]`)."""
    layers: Sequence[Any] = cache.layers
    return torch.stack([torch.stack((layer.keys, layer.values)) for layer in layers])


def _needs_single_row(config: Any) -> bool:
    """Say whether a model's positions depend on the longest row of a call, so that its rows must run alone."""
    ropes = getattr(config, "rope_parameters", None) or {}
    rope_configs = ropes.values() if all(isinstance(value, dict) for value in ropes.values()) else [ropes]
    return any(rope.get("rope_type") in DYNAMIC_ROPE_TYPES for rope in rope_configs)
