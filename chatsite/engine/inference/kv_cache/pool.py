"""The memory of the KV cache: one row for each running group, without gaps."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy
import torch
from torch import Tensor
from torch.nn import functional

# Pools grow by so many positions at a time, so that an answer that grows token by token copies its cache rarely.
POSITION_STEP = 128


class CacheShape(NamedTuple):
    """The sizes of a cache that a model decides: its layers, the heads of its keys, and the numbers of a head."""

    layers: int
    heads: int
    width: int


class KVCachePool:
    """The keys and values of running groups: the rows in use are the first ones, without gaps.

    `cache` has the shape `[layers, 2, rows, heads, positions, width]`, keys first and values second. It grows when a
    row needs more and is dropped when the last one has left. Memory of positions that no row has reached is promised by
    the system but not taken.
    """

    def __init__(self, shape: CacheShape, like: Tensor) -> None:
        self._like = like
        self._shape = shape
        self.lengths: list[int] = []
        self.cache = self.allocate_cache(0, 0)

    def allocate_cache(self, rows: int, positions: int) -> Tensor:
        """Return an empty cache for `rows` rows of `positions` positions."""
        layers, heads, width = self._shape
        return lazy_zeros((layers, 2, rows, heads, positions, width), self._like)

    def bytes_for(self, positions: int) -> int:
        """Return the memory of `positions` positions of one row in bytes, all layers together."""
        layers, heads, width = self._shape
        return layers * 2 * heads * width * positions * self._like.element_size()

    def insert_row(self, prefilled: Tensor, length: int, max_positions: int) -> int:
        """Copy what a group has read (`[layers, 2, 1, heads, length or more, width]`) to a new row.

        `max_positions` is how many positions it may need. Returns the number of the row.
        """
        # The rows in use are the first ones, so the next free row is their number.
        row = len(self.lengths)
        self._grow_cache(row + 1, max(length, max_positions))
        self.cache[:, :, row, :, :length] = prefilled[:, :, 0, :, :length]
        self.lengths.append(length)
        return row

    def remove_row(self, row: int) -> None:
        """Free a row; the last row moves into its place."""
        last = len(self.lengths) - 1
        length, longest = self.lengths[last], max(self.lengths)
        self.lengths.pop()
        if row != last:
            self.cache[:, :, row, :, :length] = self.cache[:, :, last, :, :length]
            self.lengths[row] = length
        # What is hidden is multiplied by 0, and 0 times what is not a number would spoil the next one here.
        self.cache[:, :, last, :, :longest] = 0
        if not self.lengths:
            self.cache = self.allocate_cache(0, 0)

    def _grow_cache(self, rows: int, positions: int) -> None:
        old_shape = self.cache.shape
        if rows <= old_shape[2] and positions <= old_shape[4]:
            return
        longest = max(self.lengths, default=0)
        count = len(self.lengths)
        rounded_positions = -(-positions // POSITION_STEP) * POSITION_STEP
        # Rows are doubled, so that n groups that arrive one by one copy the cache log n times.
        cache = self.allocate_cache(
            max(old_shape[2], 1 << (rows - 1).bit_length()), max(old_shape[4], rounded_positions)
        )
        cache[:, :, :count, :, :longest] = self.cache[:, :, :count, :, :longest]
        self.cache = cache


def lazy_zeros(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Return zeros of the kind of `like`; on a processor their memory is taken page by page as it is written."""
    if like.device.type != "cpu" or not math.prod(shape):
        return like.new_zeros(shape)
    # numpy's zeros come from calloc, which maps pages without touching them; torch's would write every one.
    pages = numpy.zeros(math.prod(shape) * like.element_size(), numpy.uint8)
    return torch.from_numpy(pages).view(like.dtype).view(shape)


def length_mask(lengths: Tensor, max_positions: int, like: Tensor) -> Tensor | None:
    """Return a mask that shows each sequence the first `lengths` (`[sequences]`) of `max_positions` positions.

    It holds 0 for what is seen and minus infinity for the rest (`[sequences, 1, 1, max_positions]`); None if all see
    all.
    """
    if int(lengths.min()) == max_positions:
        return None
    # The softmax of minus infinity is exactly 0, so that hidden positions do not matter at all.
    hidden = torch.arange(max_positions, device=like.device) >= lengths[:, None]
    return like.new_zeros(hidden.shape).masked_fill_(hidden, float("-inf"))[:, None, None]


def batched_attention(queries: Tensor, keys: Tensor, values: Tensor, *, mask: Tensor | None) -> Tensor:
    """Compute scaled dot-product attention (Vaswani et al., 2017) of the beams of some rows to their row.

    `queries` are `[rows * beams, heads, width]`, `keys` and `values` `[rows, heads, positions, width]`; `mask` is added
    to the scores `[rows, heads, beams, positions]`. Returns `[rows * beams, heads * width]`. For as few queries as
    beams are, two batched products are up to twice as fast as torch's fused attention on a processor.
    """
    rows, heads, positions, width = keys.shape
    # Scaling the few queries is cheaper than scaling the scores of all positions.
    scaled_queries = (queries * width**-0.5).view(rows, -1, heads, width).transpose(1, 2)
    scores = torch.bmm(scaled_queries.flatten(0, 1), keys.flatten(0, 1).transpose(1, 2)).view(
        rows, heads, -1, positions
    )
    if mask is not None:
        scores += mask
    weights = functional.softmax(scores, -1).flatten(0, 1)
    attended: Tensor = torch.bmm(weights, values.flatten(0, 1)).view(rows, heads, -1, width).transpose(1, 2)
    return attended.reshape(-1, heads * width)
