"""How long pages take for a visitor with 10 conversations and for one with 10,000, on two sites asked in turn."""

from __future__ import annotations

import re
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import seeding
from benchmarks.client import Answer, Client, port
from benchmarks.figures import Table, ms, p50, p99, ratio
from tests.site import Site, running_site

SETTINGS: Any = {
    "WORKERS": "1",
    "QUEUE_PER_USER": "1000",
    "QUEUE_TOTAL": "100000",
    "SCRIPTED_TOKENS_PER_SECOND": "100000",
    "LOG_LEVEL": "warning",
}
FEW, MANY = 10, 10_000
OTHERS, EACH_OF_OTHERS = 200, 50
WARM_UP = 10
NEXT_PAGE = re.compile(r'(/conversations\?[^"]*before=[^"]+)"')


@dataclass
class Side:
    """One of the two sites, with its visitor, and the seconds that each kind of request took."""

    client: Client
    conversation: str
    rows: str = "/conversations"
    seconds: dict[str, list[float]] = field(default_factory=dict)
    asked: int = 0

    def visit(self) -> None:
        """Make each kind of request once."""
        self._note("front page", self.client.get("/"))
        self._note("conversation", self.client.get(f"/conversations/{self.conversation}"))
        self._note("rows of the sidebar", self.client.get(self.rows, htmx=True))
        self.asked += 1
        self._note("post", self.client.ask("/say ok", f"token-{self.asked}"))

    def find_rows(self) -> None:
        """Learn the address that the sidebar asks for its next rows, where there are more."""
        found = NEXT_PAGE.search(self.client.get("/").body)
        self.rows = found.group(1).replace("&amp;", "&") if found else self.rows

    def _note(self, kind: str, answer: Answer) -> None:
        if answer.status != 200:
            raise RuntimeError(f"The {kind} was answered with {answer.status}.")
        self.seconds.setdefault(kind, []).append(answer.seconds)


def measure(rounds: int, many: int = MANY, others: int = OTHERS) -> list[Table]:
    """Make every kind of request so many times on either site, in turn."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        few = _side(stack.enter_context(running_site(Path(name) / "few", **SETTINGS)), FEW, 0)
        large = _side(stack.enter_context(running_site(Path(name) / "many", **SETTINGS)), many, others)
        for number in range(WARM_UP + rounds):
            for side in (few, large):
                side.visit()
                if number < WARM_UP:
                    side.seconds.clear()
    return [_table(few, large, many, others)]


def _side(site: Site, conversations: int, others: int) -> Side:
    """Fill a site, and begin to look at it."""
    with seeding.entered(site.instance):
        for _ in range(others):
            seeding.visitor(EACH_OF_OTHERS)
        stored = seeding.visitor(conversations)
    side = Side(Client(port(site), stored.token), stored.conversation)
    side.find_rows()
    # Filling the other site takes longer than a connection without requests is kept; the next request opens a new one.
    side.client.close()
    return side


def _table(few: Side, many: Side, conversations: int, others: int) -> Table:
    table = Table(
        "Pages",
        ["request", f"{FEW}: p50 ms", "p99 ms", f"{conversations:,}: p50 ms", "p99 ms", "ratio of p50", "ratio of p99"],
    )
    for kind, small in few.seconds.items():
        large = many.seconds[kind]
        cells = ms(p50(small)), ms(p99(small)), ms(p50(large)), ms(p99(large))
        table.add(kind, *cells, ratio(p50(large), p50(small)), ratio(p99(large), p99(small)))
    table.notes.append(
        f"The visitor has {FEW} conversations and the site to themselves, or {conversations:,} on a site with {others} "
        f"other visitors who have {EACH_OF_OTHERS} each. {len(few.seconds['post'])} requests of each kind, in turn."
    )
    return table
