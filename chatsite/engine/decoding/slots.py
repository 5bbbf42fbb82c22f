"""Keys and values of the sequences that a batch works on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy
import torch
from torch import Tensor

from chatsite.engine.decoding.stepping import Row

GRAIN = 128


class Slots:
    """One place for each running sequence, in every layer; the places in use are the first ones, without holes.

    `cache` has the shape `[layers, places, heads, positions, width]`; keys are the first half of the heads,
    values the second. It grows when a sequence needs more and is dropped when the last one has left. Memory of
    positions that no sequence has reached is promised by the system but not taken.
    """

    def __init__(self, layers: int, heads: int, width: int, like: Tensor) -> None:
        self._like = like
        self._sizes = (layers, heads, width)
        self.lengths: list[int] = []
        self.cache = self.space(0, 0)

    def space(self, places: int, positions: int) -> Tensor:
        """An empty cache for so many places and positions."""
        layers, heads, width = self._sizes
        return zeros((layers, places, heads, positions, width), self._like)

    def bytes(self, positions: int) -> int:
        """What one sequence of that length takes."""
        layers, heads, width = self._sizes
        return layers * heads * width * positions * self._like.element_size()

    def add(self, filled: Tensor, length: int, most: int) -> int:
        """A place for what a sequence has read (`[layers, 1, heads, length or more, width]`).

        `most` is how long it may become. Returns the number of the place.
        """
        place = len(self.lengths)
        self._reserve(place + 1, max(length, most))
        self.cache[:, place, :, :length] = filled[:, 0, :, :length]
        self.lengths.append(length)
        return place

    def remove(self, place: int) -> None:
        """Free a place; the last sequence moves into the hole."""
        last = len(self.lengths) - 1
        length, longest = self.lengths[last], max(self.lengths)
        self.lengths.pop()
        if place != last:
            self.cache[:, place, :, :length] = self.cache[:, last, :, :length]
            self.lengths[place] = length
        # What is hidden is multiplied by 0, and 0 times what is not a number would spoil the next one here.
        self.cache[:, last, :, :longest] = 0
        if not self.lengths:
            self.cache = self.space(0, 0)

    def _reserve(self, places: int, positions: int) -> None:
        had = self.cache.shape
        if places <= had[1] and positions <= had[3]:
            return
        longest = max(self.lengths, default=0)
        count = len(self.lengths)
        grown = -(-positions // GRAIN) * GRAIN
        cache = self.space(max(had[1], 1 << (places - 1).bit_length()), max(had[3], grown))
        cache[:, :count, :, :longest] = self.cache[:, :count, :, :longest]
        self.cache = cache


class Places:
    """The running sequences, each in the same place of every one of some caches; the first cache grows by steps."""

    def __init__(self, *slots: Slots) -> None:
        self.slots = slots
        self.rows: list[Row] = []

    def add(self, row: Row, lengths: Sequence[int], most: Sequence[int]) -> None:
        """Move what a sequence has read, `lengths` positions of each cache, to a place where `most` have room."""
        for slots, cache, length, final in zip(self.slots, row.caches, lengths, most, strict=True):
            row.place = slots.add(cache, length, final)
        row.caches = ()
        self.rows.append(row)

    def advance(self, row: Row) -> None:
        """One more position of the first cache is filled."""
        row.read += 1
        self.slots[0].lengths[row.place] = row.read

    def remove(self, row: Row) -> None:
        """Free the place of a sequence, if it has one; the last one moves there."""
        row.caches = ()
        if row.place < 0:
            return
        for slots in self.slots:
            slots.remove(row.place)
        last = self.rows.pop()
        if last is not row:
            self.rows[row.place] = last
            last.place = row.place
        row.place = -1


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
