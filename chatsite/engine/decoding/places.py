"""Where the running rows of a batch have what they have read, and where they read on.

The beams of a row share one place. What two beams have in common is there once: each beam has a list of the positions
that are its own, and going on from another beam copies that list, no keys and no values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from chatsite.engine.decoding.slots import Slots
from chatsite.engine.decoding.stepping import Row

Positions = NDArray[numpy.int64]


class Trail:
    """At which positions of its place a row has what its beams have read.

    The first `shared` positions are everybody's. `_table` lists each beam's later ones in their order, counted from
    there (`[beams, tokens]`). A position that no beam lists any more is used again, so that a row needs few more
    than its beams have in all.
    """

    def __init__(self, beams: int, shared: int) -> None:
        self.shared = shared
        self.beams = beams
        self._table: Positions = numpy.empty((beams, 0), numpy.int64)
        self._next: Positions = numpy.arange(beams)
        self.end = shared + beams

    @property
    def next(self) -> Positions:
        """The position that each beam fills at the next step."""
        return self.shared + self._next

    def listed(self) -> Positions:
        """The positions that each beam sees at the next step, the one that it fills last (`[beams, read + 1]`)."""
        shared = numpy.broadcast_to(numpy.arange(self.shared), (self.beams, self.shared))
        return numpy.concatenate([shared, self.shared + self._table, self.next[:, None]], 1)

    def hidden(self) -> NDArray[numpy.bool_]:
        """Which of the first `end` positions each beam does not see at the next step, where it fills one itself."""
        hidden = numpy.zeros((self.beams, self.end), bool)
        if self.beams > 1:
            own = hidden[:, self.shared :]
            own[:] = True
            beams = numpy.arange(self.beams)
            own[beams[:, None], self._table] = False
            own[beams, self._next] = False
        return hidden

    def holds(self) -> Positions:
        """Which token of each beam's sequence is at each of the first `end` positions (`[beams, end]`); -1 for none."""
        holds = numpy.full((self.beams, self.end), -1)
        holds[:, : self.shared] = numpy.arange(self.shared)
        own, read = holds[:, self.shared :], self._table.shape[1]
        beams = numpy.arange(self.beams)
        own[beams[:, None], self._table] = self.shared + numpy.arange(read)
        own[beams, self._next] = self.shared + read
        return holds

    def advance(self) -> None:
        """The next positions are filled."""
        if self.beams == 1:
            self.shared += 1
            self.end += 1
        else:
            self._table = numpy.concatenate([self._table, self._next[:, None]], 1)
            self._choose()

    def reorder(self, parents: Sequence[int]) -> None:
        """Beam `i` has read what beam `parents[i]` has."""
        if list(parents) != list(range(self.beams)):
            self._table = self._table[list(parents)]
            self._choose()

    def _choose(self) -> None:
        """Choose the next positions among those that nobody lists."""
        used = numpy.zeros(self._table.size + self.beams, bool)
        used[self._table] = True
        self._next = numpy.flatnonzero(~used)[: self.beams]
        self.end = self.shared + int(max(self._table.max(initial=0), self._next[-1])) + 1


@dataclass(frozen=True)
class Part:
    """Some rows of one rank that stand side by side in `places`, at a step; each sees some of `end` positions."""

    rank: Rank
    rows: Sequence[Row]
    trails: Sequence[Trail]
    places: slice
    like: Tensor

    @property
    def beams(self) -> int:
        """How many sequences each row is."""
        return self.rows[0].beams

    @property
    def sequences(self) -> int:
        """How many there are in all."""
        return len(self.rows) * self.beams

    @cached_property
    def end(self) -> int:
        """How many positions are looked at."""
        return max(trail.end for trail in self.trails)

    @cached_property
    def next(self) -> Positions:
        """The position that each sequence fills (`[sequences]`)."""
        return numpy.concatenate([trail.next for trail in self.trails])

    @cached_property
    def numbers(self) -> Tensor:
        """Which of the places each sequence is in (`[sequences, 1]`)."""
        return torch.arange(len(self.rows), device=self.like.device).repeat_interleave(self.beams)[:, None]

    @cached_property
    def positions(self) -> Tensor:
        """`next` as a tensor (`[sequences, 1]`)."""
        return torch.from_numpy(self.next).to(self.like.device)[:, None]

    @cached_property
    def lists(self) -> Positions:
        """The positions that each sequence sees (`[sequences, most]`): the first `read + 1` of its row's."""
        lists = numpy.zeros((len(self.rows), self.beams, 1 + max(row.read for row in self.rows)), numpy.int64)
        for mine, row, trail in zip(lists, self.rows, self.trails, strict=True):
            mine[:, : row.read + 1] = trail.listed()
        return lists.reshape(self.sequences, -1)

    @cached_property
    def mask(self) -> Tensor | None:
        """0 for what is seen and minus infinity for what is not (`[rows, 1, beams, end]`), or None when all is seen."""
        hidden = numpy.ones((len(self.rows), 1, self.beams, self.end), bool)
        for mine, trail in zip(hidden, self.trails, strict=True):
            mine[0, :, : trail.end] = trail.hidden()
        if not hidden.any():
            return None
        away = torch.from_numpy(hidden).to(self.like.device)
        return self.like.new_zeros(away.shape).masked_fill_(away, float("-inf"))


class Rank:
    """Rows of equally many beams, each in the same place of every one of some caches; the first cache grows."""

    def __init__(self, slots: Sequence[Slots]) -> None:
        self.slots = slots
        self.rows: list[Row] = []
        self._trails: list[Trail] = []

    def add(self, row: Row, lengths: Sequence[int], most: Sequence[int]) -> None:
        """Move what a row has read, `lengths` positions of each cache, to a place where `most` have room."""
        for slots, cache, length, final in zip(self.slots, row.caches, lengths, most, strict=True):
            row.place = slots.add(cache, length, final)
        row.caches = ()
        self.rows.append(row)
        self._trails.append(Trail(row.beams, row.read))

    def part(self, rows: Sequence[Row], like: Tensor) -> Part:
        """What a step needs to know of some of its rows."""
        places = slice(rows[0].place, rows[-1].place + 1)
        return Part(self, rows, self._trails[places], places, like)

    def holds(self, rows: Sequence[Row], end: int) -> Positions:
        """Which token of each beam the first `end` positions hold at a step, or -1 (`[rows, beams, end]`)."""
        holds = numpy.full((len(rows), rows[0].beams, end), -1)
        for mine, row in zip(holds, rows, strict=True):
            trail = self._trails[row.place]
            mine[:, : trail.end] = trail.holds()
        return holds

    def advance(self, row: Row) -> None:
        """One more position of each of its beams is filled."""
        row.read += 1
        trail = self._trails[row.place]
        filled = self.slots[0].lengths
        filled[row.place] = max(filled[row.place], trail.end)
        trail.advance()

    def reorder(self, row: Row, parents: Sequence[int]) -> None:
        """Each beam has read what its parent has."""
        self._trails[row.place].reorder(parents)

    def remove(self, row: Row) -> None:
        """Free the place of a row; the last one moves there."""
        for slots in self.slots:
            slots.remove(row.place)
        last, trail = self.rows.pop(), self._trails.pop()
        if last is not row:
            self.rows[row.place], self._trails[row.place] = last, trail
            last.place = row.place
        row.place = -1


class Places:
    """The running rows: a rank for each number of beams, with caches from `make`."""

    def __init__(self, make: Callable[[], Sequence[Slots]], like: Tensor) -> None:
        self._make = make
        self._like = like
        self._ranks: dict[int, Rank] = {}

    @property
    def rows(self) -> list[Row]:
        """All of them, those of one rank side by side."""
        return [row for rank in self._ranks.values() for row in rank.rows]

    def parts(self, rows: Sequence[Row]) -> list[Part]:
        """Some rows that stand side by side, rank by rank."""
        mine = ((rank, [row for row in rows if row.beams == beams]) for beams, rank in self._ranks.items())
        return [rank.part(found, self._like) for rank, found in mine if found]

    def add(self, row: Row, lengths: Sequence[int], most: Sequence[int]) -> None:
        """A place for a row in the rank of its beams."""
        if row.beams not in self._ranks:
            self._ranks[row.beams] = Rank(self._make())
        self._ranks[row.beams].add(row, lengths, most)

    def advance(self, row: Row) -> None:
        """One more position of each of its beams is filled."""
        self._ranks[row.beams].advance(row)

    def reorder(self, row: Row, parents: Sequence[int]) -> None:
        """Each beam has read what its parent has."""
        self._ranks[row.beams].reorder(row, parents)

    def remove(self, row: Row) -> None:
        """Free the place of a row, if it has one; the last one of its rank moves there."""
        row.caches = ()
        if row.place >= 0:
            self._ranks[row.beams].remove(row)


def together(
    attends: Sequence[Callable[[int, Tensor], Tensor]], sizes: Sequence[int]
) -> Callable[[int, Tensor], Tensor]:
    """One attention of the sequences of several parts, whose numbers are `sizes`; each part attends by itself."""
    if len(attends) == 1:
        return attends[0]

    def attend(number: int, heads: Tensor) -> Tensor:
        pieces = zip(attends, heads.split_with_sizes(list(sizes)), strict=True)
        return torch.cat([one(number, piece) for one, piece in pieces])

    return attend
