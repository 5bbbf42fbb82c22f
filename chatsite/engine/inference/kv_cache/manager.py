"""Which running group is in which row of the KV cache, and which positions each of its beams sees.

The beams of a group share one row. What two beams have in common is stored once: each beam has a list of the positions
that are its own, and going on from another beam copies that list, but no keys and no values. This is the idea of
PagedAttention (Kwon et al., 2023) with blocks of one position within a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from chatsite.engine.inference.executor import SequenceGroup
from chatsite.engine.inference.kv_cache.pool import KVCachePool

Positions = NDArray[numpy.int64]


class BeamPositions:
    """Which positions of a cache row belong to which beam of its group.

    The first `shared_length` positions belong to all beams. `_table` lists each beam's later ones in their order,
    counted from there (`[beams, tokens]`). A position that no beam lists any more is used again, so that a row needs
    few more positions than its beams have tokens in all.
    """

    def __init__(self, num_beams: int, shared_length: int) -> None:
        self.shared_length = shared_length
        self.num_beams = num_beams
        self._table: Positions = numpy.empty((num_beams, 0), numpy.int64)
        # Where each beam writes next, counted from `shared_length`; no two beams may write to one position.
        self._next_own: Positions = numpy.arange(num_beams)
        self.end = shared_length + num_beams

    @property
    def next_positions(self) -> Positions:
        """The position that each beam fills at the next step (`[beams]`)."""
        return self.shared_length + self._next_own

    def visible_positions(self) -> Positions:
        """Return the positions that each beam sees at the next step, its newest last (`[beams, read + 1]`)."""
        shared_positions = numpy.broadcast_to(numpy.arange(self.shared_length), (self.num_beams, self.shared_length))
        return numpy.concatenate([shared_positions, self.shared_length + self._table, self.next_positions[:, None]], 1)

    def hidden_mask(self) -> NDArray[numpy.bool_]:
        """Say of the first `end` positions which each beam does not see at the next step (`[beams, end]`)."""
        mask = numpy.zeros((self.num_beams, self.end), bool)
        # With one beam every position up to the end is its own.
        if self.num_beams > 1:
            own_mask = mask[:, self.shared_length :]
            own_mask[:] = True
            beams = numpy.arange(self.num_beams)
            own_mask[beams[:, None], self._table] = False
            # The new token sees itself.
            own_mask[beams, self._next_own] = False
        return mask

    def tokens_at_positions(self) -> Positions:
        """Return which token of each beam is at the first `end` positions (`[beams, end]`); -1 for none."""
        token_numbers = numpy.full((self.num_beams, self.end), -1)
        token_numbers[:, : self.shared_length] = numpy.arange(self.shared_length)
        own_numbers, own_length = token_numbers[:, self.shared_length :], self._table.shape[1]
        beams = numpy.arange(self.num_beams)
        own_numbers[beams[:, None], self._table] = self.shared_length + numpy.arange(own_length)
        # The token that is being read stands after all that were.
        own_numbers[beams, self._next_own] = self.shared_length + own_length
        return token_numbers

    def commit_step(self) -> None:
        """Count the next positions as filled, and choose new ones."""
        # Without beams the list would only count upwards; two numbers say the same.
        if self.num_beams == 1:
            self.shared_length += 1
            self.end += 1
        else:
            self._table = numpy.concatenate([self._table, self._next_own[:, None]], 1)
            self._choose_next_positions()

    def reorder_beams(self, parents: Sequence[int]) -> None:
        """Let beam `i` go on from what beam `parents[i]` has read."""
        # Most steps keep every beam with its parent, and copying the lists is not free.
        if list(parents) != list(range(self.num_beams)):
            self._table = self._table[list(parents)]
            self._choose_next_positions()

    def _choose_next_positions(self) -> None:
        """Choose the next position of each beam among those that no beam lists."""
        # So many places always leave `num_beams` free ones, even if no two beams share any position.
        is_used = numpy.zeros(self._table.size + self.num_beams, bool)
        is_used[self._table] = True
        self._next_own = numpy.flatnonzero(~is_used)[: self.num_beams]
        self.end = self.shared_length + int(max(self._table.max(initial=0), self._next_own[-1])) + 1


@dataclass(frozen=True)
class BatchSlice:
    """A contiguous slice of cache rows with the same number of beams, as one step of attention sees them.

    `groups` are in the rows `cache_rows` of `batch`, `beam_positions` are theirs; `like` is a tensor of the kind and
    device of keys and values.
    """

    batch: BeamWidthBatch
    groups: Sequence[SequenceGroup]
    beam_positions: Sequence[BeamPositions]
    cache_rows: slice
    like: Tensor

    @property
    def num_beams(self) -> int:
        """The number of sequences of each group."""
        return self.groups[0].num_beams

    @property
    def num_sequences(self) -> int:
        """The number of sequences of all groups."""
        return len(self.groups) * self.num_beams

    @cached_property
    def end(self) -> int:
        """The number of positions that are looked at."""
        return max(beam_positions.end for beam_positions in self.beam_positions)

    @cached_property
    def next_positions(self) -> Positions:
        """The position that each sequence fills (`[sequences]`)."""
        return numpy.concatenate([beam_positions.next_positions for beam_positions in self.beam_positions])

    @cached_property
    def row_index(self) -> Tensor:
        """The row of each sequence, counted from the first of the slice (`[sequences, 1]`)."""
        return torch.arange(len(self.groups), device=self.like.device).repeat_interleave(self.num_beams)[:, None]

    @cached_property
    def position_index(self) -> Tensor:
        """The positions of `next_positions` as a tensor (`[sequences, 1]`)."""
        return torch.from_numpy(self.next_positions).to(self.like.device)[:, None]

    @cached_property
    def visible_positions(self) -> Positions:
        """The positions that each sequence sees (`[sequences, most]`): the first `read + 1` of its row's."""
        # Rows of different lengths are padded with position 0; the kernel is told each length and never looks there.
        positions = numpy.zeros(
            (len(self.groups), self.num_beams, 1 + max(group.num_read for group in self.groups)), numpy.int64
        )
        for group_positions, group, beam_positions in zip(positions, self.groups, self.beam_positions, strict=True):
            group_positions[:, : group.num_read + 1] = beam_positions.visible_positions()
        return positions.reshape(self.num_sequences, -1)

    @cached_property
    def attention_mask(self) -> Tensor | None:
        """0 for what is seen and minus infinity for the rest (`[rows, 1, beams, end]`); None if all is seen."""
        hidden = numpy.ones((len(self.groups), 1, self.num_beams, self.end), bool)
        for group_mask, beam_positions in zip(hidden, self.beam_positions, strict=True):
            group_mask[0, :, : beam_positions.end] = beam_positions.hidden_mask()
        # Without a mask attention is faster, and a lone sequence or equally long ones need none.
        if not hidden.any():
            return None
        mask = torch.from_numpy(hidden).to(self.like.device)
        return self.like.new_zeros(mask.shape).masked_fill_(mask, float("-inf"))


class BeamWidthBatch:
    """The groups with one number of beams, each in the same row of every one of some pools; the first pool grows."""

    def __init__(self, pools: Sequence[KVCachePool]) -> None:
        self.pools = pools
        self.groups: list[SequenceGroup] = []
        self._beam_positions: list[BeamPositions] = []

    def add_group(self, group: SequenceGroup, lengths: Sequence[int], capacities: Sequence[int]) -> None:
        """Move what a group has read to a row of its own.

        `lengths` are the positions to be moved to each pool, `capacities` those that the row may need there.
        """
        for pool, cache, length, capacity in zip(self.pools, group.prefill_caches, lengths, capacities, strict=True):
            group.cache_row = pool.insert_row(cache, length, capacity)
        # It is copied; holding it would double the memory of every prompt.
        group.prefill_caches = ()
        self.groups.append(group)
        self._beam_positions.append(BeamPositions(group.num_beams, group.num_read))

    def slice_groups(self, groups: Sequence[SequenceGroup], like: Tensor) -> BatchSlice:
        """Describe groups that are in adjacent rows, for a step."""
        # Adjacent rows are a view of the pool; any others would have to be copied at each step.
        cache_rows = slice(groups[0].cache_row, groups[-1].cache_row + 1)
        return BatchSlice(self, groups, self._beam_positions[cache_rows], cache_rows, like)

    def tokens_at_positions(self, groups: Sequence[SequenceGroup], end: int) -> Positions:
        """Return which token of each beam the first `end` positions hold (`[groups, beams, end]`); -1 for none."""
        token_numbers = numpy.full((len(groups), groups[0].num_beams, end), -1)
        for group_numbers, group in zip(token_numbers, groups, strict=True):
            beam_positions = self._beam_positions[group.cache_row]
            group_numbers[:, : beam_positions.end] = beam_positions.tokens_at_positions()
        return token_numbers

    def commit_step(self, group: SequenceGroup) -> None:
        """Count one more position of each beam of a group as filled."""
        group.num_read += 1
        beam_positions = self._beam_positions[group.cache_row]
        lengths = self.pools[0].lengths
        # Beams that were dropped may have left a longer row than the ones that go on need.
        lengths[group.cache_row] = max(lengths[group.cache_row], beam_positions.end)
        beam_positions.commit_step()

    def reorder_beams(self, group: SequenceGroup, parents: Sequence[int]) -> None:
        """Let beam `i` of a group go on from what its beam `parents[i]` has read."""
        self._beam_positions[group.cache_row].reorder_beams(parents)

    def remove_group(self, group: SequenceGroup) -> None:
        """Free the row of a group; the last row moves there."""
        for pool in self.pools:
            pool.remove_row(group.cache_row)
        # The pools move their last row into the hole, and the lists here must follow them.
        last, beam_positions = self.groups.pop(), self._beam_positions.pop()
        if last is not group:
            self.groups[group.cache_row], self._beam_positions[group.cache_row] = last, beam_positions
            last.cache_row = group.cache_row
        group.cache_row = -1


class KVCacheManager:
    """Where each running group is: a batch for each number of beams, with pools from `make_pools`."""

    def __init__(self, make_pools: Callable[[], Sequence[KVCachePool]], like: Tensor) -> None:
        self._make_pools = make_pools
        self._like = like
        self._batches: dict[int, BeamWidthBatch] = {}

    @property
    def running_groups(self) -> list[SequenceGroup]:
        """All running groups, those with the same number of beams side by side."""
        return [group for batch in self._batches.values() for group in batch.groups]

    def slice_batches(self, groups: Sequence[SequenceGroup]) -> list[BatchSlice]:
        """Describe groups that are in adjacent rows, one slice for each number of beams."""
        groups_by_batch = (
            (batch, [group for group in groups if group.num_beams == num_beams])
            for num_beams, batch in self._batches.items()
        )
        return [batch.slice_groups(batch_groups, self._like) for batch, batch_groups in groups_by_batch if batch_groups]

    def add_group(self, group: SequenceGroup, lengths: Sequence[int], capacities: Sequence[int]) -> None:
        """Move what a group has read to a row of its own, as `BeamWidthBatch.add_group` does."""
        if group.num_beams not in self._batches:
            self._batches[group.num_beams] = BeamWidthBatch(self._make_pools())
        self._batches[group.num_beams].add_group(group, lengths, capacities)

    def commit_step(self, group: SequenceGroup) -> None:
        """Count one more position of each beam of a group as filled."""
        self._batches[group.num_beams].commit_step(group)

    def reorder_beams(self, group: SequenceGroup, parents: Sequence[int]) -> None:
        """Let beam `i` of a group go on from what its beam `parents[i]` has read."""
        self._batches[group.num_beams].reorder_beams(group, parents)

    def remove_group(self, group: SequenceGroup) -> None:
        """Free the row of a group, if it has one; the last row of its batch moves there."""
        group.prefill_caches = ()
        if group.cache_row >= 0:
            self._batches[group.num_beams].remove_group(group)


def concat_attention(
    attentions: Sequence[Callable[[int, Tensor], Tensor]], sizes: Sequence[int]
) -> Callable[[int, Tensor], Tensor]:
    """Join the attention of several slices, of `sizes` sequences, into one function; each attends by itself."""
    if len(attentions) == 1:
        return attentions[0]

    def attend_batches(number: int, heads: Tensor) -> Tensor:
        pieces = zip(attentions, heads.split_with_sizes(list(sizes)), strict=True)
        return torch.cat([attention(number, piece) for attention, piece in pieces])

    return attend_batches
