"""Messages from a file, in the order and shape that the database holds them in: parents first, one version shown."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from chatsite.models import Role


@dataclass
class Said:
    """A message of a file. `key` and `parent` are names within the file; without a role it is left out of the tree.

    `public_id` is the id that it has if that is free, `origin` the one that is kept else. `runs` are the values of its
    generations, the oldest first.
    """

    key: str
    parent: str | None
    role: Role | None
    text: str
    created_at: datetime | None
    shown: bool = False
    comparing: bool = False
    public_id: str | None = None
    origin: str | None = None
    runs: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Found:
    """A conversation of a file. `said` is in order (`ordered`) and has its `shown` settled (`settled`).

    `origin` names it among all that its user ever imports. `public_id` is the id that it has if that is free, `source`
    its own origin where it was an import there already. `values` are other columns of it, `tags` the names of its tags.
    """

    origin: str
    title: str
    said: list[Said]
    created_at: datetime | None = None
    updated_at: datetime | None = None
    public_id: str | None = None
    source: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)


def by_time(said: Iterable[Said]) -> list[Said]:
    """Messages in the order in which they were written, those without a moment where they stand in the file."""
    latest: datetime | None = None
    moments = []
    for number, each in enumerate(said):
        latest = each.created_at or latest
        moments.append((latest is not None, latest, number, each))
    return [each for *_, each in sorted(moments, key=lambda place: (place[0], place[1] or 0, place[2]))]


def ordered(said: Sequence[Said]) -> list[Said]:
    """The messages with a role, each after its parent, else in the order given.

    A message whose parent is left out follows the next one above; one that follows itself, or nobody, begins.
    """
    nodes: dict[str, Said] = {}
    for each in said:
        nodes.setdefault(each.key, each)
    parents = _kept_parents(nodes)
    kept = [each for each in nodes.values() if each.role]
    place = {each.key: number for number, each in enumerate(kept)}
    below: dict[str, list[int]] = {}
    ready = []
    for each in kept:
        each.parent = parents.get(each.key)
        if each.parent is None:
            ready.append(place[each.key])
        else:
            below.setdefault(each.parent, []).append(place[each.key])
    return _released(kept, below, ready)


def _released(kept: Sequence[Said], below: dict[str, list[int]], ready: list[int]) -> list[Said]:
    """Take again and again the first message whose parent was taken; a circle is opened where it comes first."""
    result: list[Said] = []
    taken = [False] * len(kept)
    heapq.heapify(ready)
    lost = 0
    while len(result) < len(kept):
        while not ready:
            if not taken[lost]:
                kept[lost].parent = None
                ready.append(lost)
            lost += 1
        number = heapq.heappop(ready)
        if taken[number]:
            continue
        taken[number] = True
        result.append(kept[number])
        for child in below.get(kept[number].key, ()):
            heapq.heappush(ready, child)
    return result


def _kept_parents(nodes: dict[str, Said]) -> dict[str, str | None]:
    """The nearest message above each one that has a role, however long the way and even if it is a circle."""
    nearest: dict[str, str | None] = {}
    for key in nodes:
        way: list[str] = []
        seen: set[str] = set()
        at = nodes[key].parent
        while at is not None and at not in nearest and at in nodes and not nodes[at].role and at not in seen:
            way.append(at)
            seen.add(at)
            at = nodes[at].parent
        found = _nearest(at, nodes, nearest)
        nearest.update(dict.fromkeys(way, found))
        nearest[key] = found
    return nearest


def _nearest(at: str | None, nodes: dict[str, Said], nearest: dict[str, str | None]) -> str | None:
    if at is None or at not in nodes:
        return None
    return at if nodes[at].role else nearest.get(at)


def settled(said: Sequence[Said], current: str | None = None) -> list[Said]:
    """Have just one version of each message shown, in place; takes messages in order.

    That is the one on the way to `current` where there is one, else the last that says that it is, else the last.
    """
    way = _way({each.key: each.parent for each in said}, current)
    chosen: dict[str | None, tuple[int, str]] = {}
    for each in said:
        rank = 2 if each.key in way else 1 if each.shown and not way else 0
        if rank >= chosen.get(each.parent, (0, ""))[0]:
            chosen[each.parent] = rank, each.key
    shown = {key for _, key in chosen.values()}
    for each in said:
        each.shown = each.key in shown
    return list(said)


def _way(parents: dict[str, str | None], current: str | None) -> set[str]:
    way: set[str] = set()
    while current is not None and current in parents:
        way.add(current)
        current = parents[current]
    return way


def leaf(said: Sequence[Said]) -> str | None:
    """The key of the last message of the branch that is shown."""
    last: str | None = None
    for each in said:
        if each.shown and each.parent == last:
            last = each.key
    return last
