"""Where beams have what they have read."""

from __future__ import annotations

import random

import pytest

from chatsite.engine.decoding.places import Trail


@pytest.mark.parametrize("seed", range(20))
def test_a_trail_holds_what_each_beam_has_read(seed: int) -> None:
    chance = random.Random(seed)
    beams, shared = chance.randrange(1, 7), chance.randrange(0, 5)
    trail, most = Trail(beams, shared), shared + beams * 30
    place: dict[int, int] = {position: -1 - position for position in range(shared)}
    read = [[-1 - position for position in range(shared)] for _ in range(beams)]
    for step in range(30):
        seen, listed = ~trail.hidden(), trail.listed().tolist()
        for beam, position in enumerate(trail.next.tolist()):
            place[position] = step * beams + beam
            read[beam].append(place[position])
        assert trail.end <= most
        assert [[place[position] for position in mine] for mine in listed] == read
        for beam in range(beams):
            assert sorted(place[position] for position in range(trail.end) if seen[beam, position]) == sorted(
                read[beam]
            )
        trail.advance()
        parents = [chance.randrange(beams) for _ in range(beams)]
        trail.reorder(parents)
        read = [[*read[parent]] for parent in parents]
