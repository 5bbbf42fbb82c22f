"""What transformers' modules are given from outside: a cache, masks, and T5's relative bias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import CacheLayerMixin


@dataclass(frozen=True)
class CacheView:
    """The cache layout of one forward pass: where it writes, and what each query sees.

    `cache` is `[layers, 2, rows, heads, positions, width]`. `query_tokens[row, query]` is the position of the query in
    its sequence. `cell_tokens[row, query, cell]` is the position that the cell holds for this query, -1 if none; it
    differs from query to query because of beams. New keys go to the cells `cell_index` of the rows `row_index` (`[rows
    * queries, 1]` both).
    """

    cache: Tensor
    query_tokens: Tensor
    cell_tokens: Tensor
    row_index: Tensor
    cell_index: Tensor

    def hidden_mask(self, window: int | None = None) -> Tensor:
        """Say which cells a query does not see (`[rows, 1, queries, cells]`); a window shows only the newest ones."""
        query_tokens = self.query_tokens[..., None]
        # Cells of other beams hold -1 here; a cell with a later token is the future of this query.
        mask = (self.cell_tokens < 0) | (self.cell_tokens > query_tokens)
        return (mask if window is None else mask | (self.cell_tokens <= query_tokens - window))[:, None]


class SlottedCacheLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """The keys and values of one layer, for transformers; those of an encoder have no `view` and do not change."""

    keys: Tensor
    values: Tensor

    def __init__(self, keys: Tensor, values: Tensor, view: CacheView | None = None) -> None:
        self.keys, self.values, self.is_initialized = keys, values, True
        self._view = view

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Write new keys and values (`[rows, heads, queries, width]`); return all that are looked at."""
        if self._view is None:
            raise RuntimeError("What the encoder has read does not change.")
        heads = torch.arange(key_states.shape[1], device=key_states.device)[None]
        index = (self._view.row_index, heads, self._view.cell_index)
        # In place: `keys` and `values` are views of the pool, which must keep what this step writes.
        for stored, new in ((self.keys, key_states), (self.values, value_states)):
            stored.index_put_(index, new.transpose(1, 2).flatten(0, 1))
        end = self._view.cell_tokens.shape[2]
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> Any:
        """Return the length before the first query of each row: plus a query's number it is a position."""
        return self.keys.shape[2] if self._view is None else _lengths_before_query(self._view)

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Do nothing: the memory is there from the beginning."""

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Raise NotImplementedError: masks are made here, never by transformers."""
        raise NotImplementedError

    def get_max_length(self) -> int:
        """Return -1: there is no maximum."""
        return -1


def _lengths_before_query(view: CacheView) -> Tensor:
    return view.query_tokens - torch.arange(view.query_tokens.shape[1], device=view.query_tokens.device)


class T5RelativeBias:
    """T5's bias by distance (Raffel et al., 2020), taken out of a decoder."""

    def __init__(self, decoder: Any) -> None:
        attention = decoder.block[0].layer[0].SelfAttention
        table = attention.relative_attention_bias.weight
        self._table: Tensor = table.detach()
        self._bucket_of = attention._relative_position_bucket
        self._sizes = (attention.relative_attention_num_buckets, attention.relative_attention_max_distance)
        # The module adds its bias to the mask; with zeros there the right one can be part of the mask.
        attention.compute_bias = self._zero_bias

    def _zero_bias(self, query_length: int, key_length: int, **_: Any) -> Tensor:
        return self._table.new_zeros(1, self._table.shape[1], query_length, key_length)

    def bias_for(self, view: CacheView) -> Tensor:
        """Return the bias of each query for each cell (`[rows, heads, queries, cells]`)."""
        distances = view.cell_tokens - view.query_tokens[..., None]
        buckets = self._bucket_of(distances, False, *self._sizes)
        return self._table[buckets].permute(0, 3, 1, 2)
