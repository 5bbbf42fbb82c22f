"""What the generic way gives to transformers' modules from outside: a cache, masks, and T5's bias by distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import CacheLayerMixin


@dataclass(frozen=True)
class Cells:
    """Where a pass through the model writes, and what it looks at.

    `cache` is `[layers, 2, rows, heads, positions, width]`. Query `q` of row `r` is token number `reads[r, q]` of its
    sequence. Cell `c` of the row holds, for that query, the token number `holds[r, q, c]`, or -1. New keys go to
    the cells `positions` of the rows `numbers` (`[rows * queries, 1]` both).
    """

    cache: Tensor
    reads: Tensor
    holds: Tensor
    numbers: Tensor
    positions: Tensor

    def hidden(self, window: int | None = None) -> Tensor:
        """Which cells a query does not see (`[rows, 1, queries, cells]`); a window shows only the newest so many."""
        reads = self.reads[..., None]
        away = (self.holds < 0) | (self.holds > reads)
        return (away if window is None else away | (self.holds <= reads - window))[:, None]


class CellLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer's keys and values, for transformers; what an encoder has read has no `cells` and does not change."""

    keys: Tensor
    values: Tensor

    def __init__(self, keys: Tensor, values: Tensor, cells: Cells | None = None) -> None:
        self.keys, self.values, self.is_initialized = keys, values, True
        self._cells = cells

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Write what is new (`[rows, heads, queries, width]`); gives all that is looked at."""
        if self._cells is None:
            raise RuntimeError("What the encoder has read does not change.")
        heads = torch.arange(key_states.shape[1], device=key_states.device)[None]
        where = (self._cells.numbers, heads, self._cells.positions)
        for all_, new in ((self.keys, key_states), (self.values, value_states)):
            all_.index_put_(where, new.transpose(1, 2).flatten(0, 1))
        end = self._cells.holds.shape[2]
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> Any:
        """How much was read before the first query of each row, so that adding a query's number gives its position."""
        return self.keys.shape[2] if self._cells is None else _lengths(self._cells)

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """It is there from the beginning."""

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Masks are made here, never by transformers."""
        raise NotImplementedError

    def get_max_length(self) -> int:
        """There is no maximum."""
        return -1


def _lengths(cells: Cells) -> Tensor:
    return cells.reads - torch.arange(cells.reads.shape[1], device=cells.reads.device)


class Distances:
    """T5's bias by distance, taken out of a decoder."""

    def __init__(self, decoder: Any) -> None:
        attention = decoder.block[0].layer[0].SelfAttention
        table = attention.relative_attention_bias.weight
        self._table: Tensor = table.detach()
        self._bucket = attention._relative_position_bucket
        self._sizes = (attention.relative_attention_num_buckets, attention.relative_attention_max_distance)
        attention.compute_bias = self._nothing

    def _nothing(self, query_length: int, key_length: int, **_: Any) -> Tensor:
        return self._table.new_zeros(1, self._table.shape[1], query_length, key_length)

    def of(self, cells: Cells) -> Tensor:
        """The bias of each query for each cell (`[rows, heads, queries, cells]`)."""
        distances = cells.holds - cells.reads[..., None]
        buckets = self._bucket(distances, False, *self._sizes)
        return self._table[buckets].permute(0, 3, 1, 2)
