"""Where beams have what they have read."""

from __future__ import annotations

import random

import pytest

from chatsite.engine.inference.kv_cache.manager import BeamPositions


@pytest.mark.parametrize("seed", range(20))
def test_beam_positions_track_tokens_of_each_beam(seed: int) -> None:
    chance = random.Random(seed)
    beams, shared = chance.randrange(1, 7), chance.randrange(0, 5)
    positions, most = BeamPositions(beams, shared), shared + beams * 30
    place: dict[int, int] = {position: -1 - position for position in range(shared)}
    read = [[-1 - position for position in range(shared)] for _ in range(beams)]
    for step in range(30):
        seen, listed = ~positions.hidden_mask(), positions.visible_positions().tolist()
        for beam, position in enumerate(positions.next_positions.tolist()):
            place[position] = step * beams + beam
            read[beam].append(place[position])
        assert positions.end <= most
        assert [[place[position] for position in mine] for mine in listed] == read
        for beam in range(beams):
            assert sorted(place[position] for position in range(positions.end) if seen[beam, position]) == sorted(
                read[beam]
            )
        positions.commit_step()
        parents = [chance.randrange(beams) for _ in range(beams)]
        positions.reorder_beams(parents)
        read = [[*read[parent]] for parent in parents]
