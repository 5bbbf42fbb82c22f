"""`python -m benchmarks.store`: ten conversations beside a million messages, on real gunicorn.

`--quick` fills and measures less, to see that it works; `--write` puts the tables into docs/benchmarks.md.
"""

from __future__ import annotations

import random
import sys
import tempfile
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from benchmarks import library, seeding, transfer
from benchmarks.client import Client, port
from benchmarks.figures import Table, ms, p50, p99, ratio, run
from benchmarks.library import Library
from chatsite.database import db
from chatsite.models import Conversation
from chatsite.services import accounts
from tests.site import Site, running_site, until

SETTINGS: Any = {"WORKERS": "1", "RUNNER": "external", "LOG_LEVEL": "warning"}
LENGTH = 100
SMALL = 10
WARM_UP = 5
COMMON, USUAL = 40, 4000
# What is aimed at, as p99 in milliseconds.
AIMS = {
    "rows of the sidebar": 50,
    "opening a conversation": 100,
    "search, newest first: a common word": 150,
    "search, newest first: a usual word": 150,
    "search by relevance: a common word": 400,
    "search by relevance: two words": 400,
    "search as one types": 150,
}


@dataclass
class Visitor:
    """Somebody on one of the sites, with the names of some of their conversations and the words they look for."""

    name: str
    client: Client
    conversations: list[str]
    words: list[str]
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def visit(self, chance: random.Random) -> None:
        """Make each kind of request once."""
        common, usual = chance.choice(self.words[:COMMON]), chance.choice(self.words[COMMON:USUAL])
        self._ask("front page", "/")
        self._ask("rows of the sidebar", "/conversations", htmx=True)
        self._ask("opening a conversation", f"/conversations/{chance.choice(self.conversations)}")
        self._search("search, newest first: a common word", common)
        self._search("search, newest first: a usual word", usual)
        self._search("search by relevance: a common word", common, sort="relevance")
        self._search("search by relevance: two words", f"{common} {usual}", sort="relevance")
        self._search("search as one types", usual[: chance.randint(2, 4)], htmx=True)

    def _search(self, kind: str, words: str, sort: str = "newest", htmx: bool = False) -> None:
        self._ask(kind, f"/search?{urllib.parse.urlencode({'q': words, 'sort': sort})}", htmx)

    def _ask(self, kind: str, address: str, htmx: bool = False) -> None:
        answer = self.client.get(address, htmx)
        if answer.status != 200:
            raise RuntimeError(f"{address} was answered with {answer.status}.")
        self.seconds.setdefault(kind, []).append(answer.seconds)


def _measure(quick: bool) -> Iterator[Table]:
    conversations, heavy = (200, 50) if quick else (10_000, 2_000)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        small, few = _site(stack, Path(name) / "small", SMALL, SMALL)
        large, many = _site(stack, Path(name) / "large", conversations, heavy)
        visitors = [
            _visitor("small", small, few, few.heavy),
            _visitor("heavy", large, many, many.heavy),
            _visitor("light", large, many, many.light),
        ]
        _visit_in_turn(visitors, rounds=20 if quick else 200)
        yield _table(visitors, conversations, heavy, many.seconds)
    yield from transfer.measure(20) if quick else transfer.measure()


def _site(stack: ExitStack, folder: Path, conversations: int, heavy: int) -> tuple[Site, Library]:
    site = stack.enter_context(running_site(folder, wait_until_ready=False, **SETTINGS))
    until(site.alive, what="The first page")
    with seeding.entered(site.instance):
        return site, library.fill(conversations, conversations * LENGTH, heavy * LENGTH)


def _visitor(name: str, site: Site, filled: Library, token: str) -> Visitor:
    with seeding.entered(site.instance):
        user = accounts.find_or_create(token)
        query = select(Conversation.public_id).where(Conversation.user_id == user.id).limit(1000)
        found = list(db.session.scalars(query))
    return Visitor(name, Client(port(site), token), found, filled.words)


def _visit_in_turn(visitors: list[Visitor], rounds: int) -> None:
    chance = random.Random(7)
    for number in range(WARM_UP + rounds):
        for visitor in visitors:
            visitor.visit(chance)
            if number < WARM_UP:
                visitor.seconds.clear()


def _table(visitors: list[Visitor], conversations: int, heavy: int, filling: float) -> Table:
    small, large, light = visitors
    columns = ["request", "small: p50 ms", "p99 ms", "heavy user: p50 ms", "p99 ms", "light user: p50 ms", "p99 ms"]
    table = Table("A large store", [*columns, "aim for p99", "ratio of p50, heavy to small"])
    for kind, times in small.seconds.items():
        cells = [ms(show(each.seconds[kind])) for each in visitors for show in (p50, p99)]
        aim = f"{AIMS[kind]}" if kind in AIMS else ""
        table.add(kind, *cells, aim, ratio(p50(large.seconds[kind]), p50(times)))
    table.notes.append(
        f"The small site has {SMALL} conversations of {LENGTH} messages. The large one has {conversations:,} with "
        f"{conversations * LENGTH:,} messages, {heavy * LENGTH:,} of them the heavy user's; the light user has "
        f"{len(light.conversations)} conversations. It was filled in {filling:.0f} s, the index of the search with it. "
        f"{len(next(iter(small.seconds.values())))} requests of each kind and visitor, in turn, over HTTP."
    )
    return table


if __name__ == "__main__":
    sys.exit(run(__doc__, "store", _measure))
