"""Keys and values of the sequences that a batch works on."""

from __future__ import annotations

import math

import numpy
import torch
from torch import Tensor
from torch.nn import functional

GRAIN = 128


class Slots:
    """One place for each running row, in every layer; the places in use are the first ones, without holes.

    `cache` has the shape `[layers, 2, places, heads, positions, width]`, keys first and values second. It grows when
    a row needs more and is dropped when the last one has left. Memory of positions that no row has reached is
    promised by the system but not taken.
    """

    def __init__(self, layers: int, heads: int, width: int, like: Tensor) -> None:
        self._like = like
        self._sizes = (layers, heads, width)
        self.lengths: list[int] = []
        self.cache = self.space(0, 0)

    def space(self, places: int, positions: int) -> Tensor:
        """An empty cache for so many places and positions."""
        layers, heads, width = self._sizes
        return zeros((layers, 2, places, heads, positions, width), self._like)

    def bytes(self, positions: int) -> int:
        """What so many positions take."""
        layers, heads, width = self._sizes
        return layers * 2 * heads * width * positions * self._like.element_size()

    def add(self, filled: Tensor, length: int, most: int) -> int:
        """A place for what a row has read (`[layers, 2, 1, heads, length or more, width]`).

        `most` is how many positions it may need. Returns the number of the place.
        """
        place = len(self.lengths)
        self._reserve(place + 1, max(length, most))
        self.cache[:, :, place, :, :length] = filled[:, :, 0, :, :length]
        self.lengths.append(length)
        return place

    def remove(self, place: int) -> None:
        """Free a place; the last row moves into the hole."""
        last = len(self.lengths) - 1
        length, longest = self.lengths[last], max(self.lengths)
        self.lengths.pop()
        if place != last:
            self.cache[:, :, place, :, :length] = self.cache[:, :, last, :, :length]
            self.lengths[place] = length
        # What is hidden is multiplied by 0, and 0 times what is not a number would spoil the next one here.
        self.cache[:, :, last, :, :longest] = 0
        if not self.lengths:
            self.cache = self.space(0, 0)

    def _reserve(self, places: int, positions: int) -> None:
        had = self.cache.shape
        if places <= had[2] and positions <= had[4]:
            return
        longest = max(self.lengths, default=0)
        count = len(self.lengths)
        grown = -(-positions // GRAIN) * GRAIN
        cache = self.space(max(had[2], 1 << (places - 1).bit_length()), max(had[4], grown))
        cache[:, :, :count, :, :longest] = self.cache[:, :, :count, :, :longest]
        self.cache = cache


def zeros(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Zeros of the kind of `like`. On a processor the system gives the memory page by page as it is written."""
    if like.device.type != "cpu" or not math.prod(shape):
        return like.new_zeros(shape)
    pages = numpy.zeros(math.prod(shape) * like.element_size(), numpy.uint8)
    return torch.from_numpy(pages).view(like.dtype).view(shape)


def visible(lengths: Tensor, most: int, like: Tensor) -> Tensor | None:
    """What each sequence may look at: the first `lengths` (`[sequences]`) of `most` positions.

    Returns 0 for yes and minus infinity for no (`[sequences, 1, 1, most]`), or None when all see all.
    """
    if int(lengths.min()) == most:
        return None
    hidden = torch.arange(most, device=like.device) >= lengths[:, None]
    return like.new_zeros(hidden.shape).masked_fill_(hidden, float("-inf"))[:, None, None]


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """Scaled dot-product attention (Vaswani et al., 2017) of the beams of some rows to what their row has.

    `queries` are `[rows * beams, heads, width]`, `keys` and `values` `[rows, heads, positions, width]`; `mask` is
    added to the scores `[rows, heads, beams, positions]`. Gives `[rows * beams, heads * width]`. For queries as few
    as beams are, two batched products are up to twice as fast as torch's fused attention on a processor.
    """
    rows, heads, positions, width = keys.shape
    asked = (queries * width**-0.5).view(rows, -1, heads, width).transpose(1, 2)
    scores = torch.bmm(asked.flatten(0, 1), keys.flatten(0, 1).transpose(1, 2)).view(rows, heads, -1, positions)
    if mask is not None:
        scores += mask
    weights = functional.softmax(scores, -1).flatten(0, 1)
    seen: Tensor = torch.bmm(weights, values.flatten(0, 1)).view(rows, heads, -1, width).transpose(1, 2)
    return seen.reshape(-1, heads * width)
