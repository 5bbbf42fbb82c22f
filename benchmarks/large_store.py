"""`python -m benchmarks.large_store`: ten conversations beside a million messages, on real gunicorn.

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

from benchmarks import transfer
from benchmarks.support import large_dataset, seed_data
from benchmarks.support.http_client import Client, site_port
from benchmarks.support.large_dataset import LargeDataset
from benchmarks.support.tables import Table, format_milliseconds, format_ratio, p50, p99, run_benchmark
from chatsite.database import db
from chatsite.models import Conversation
from chatsite.services.accounts import users
from tests.support.served_site import ServedSite, running_site, wait_until

SETTINGS: Any = {"WORKERS": "1", "RUNNER": "external", "LOG_LEVEL": "warning"}
CONVERSATION_LENGTH = 100
SMALL_CONVERSATION_COUNT = 10
WARM_UP_ROUNDS = 5
COMMON_WORD_RANK, AVERAGE_WORD_RANK = 40, 4000
# What is aimed at, as p99 in milliseconds.
TARGET_P99_MS = {
    "rows of the sidebar": 50,
    "opening a conversation": 100,
    "search, newest first: a common word": 150,
    "search, newest first: a usual word": 150,
    "search by relevance: a common word": 400,
    "search by relevance: two words": 400,
    "search as one types": 150,
}


@dataclass
class StoreVisitor:
    """Somebody on one of the sites, with the names of some of their conversations and the words they look for."""

    name: str
    client: Client
    conversation_ids: list[str]
    words: list[str]
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def run_requests(self, rng: random.Random) -> None:
        """Make each kind of request once."""
        common, average = (
            rng.choice(self.words[:COMMON_WORD_RANK]),
            rng.choice(self.words[COMMON_WORD_RANK:AVERAGE_WORD_RANK]),
        )
        self._time_request("front page", "/")
        self._time_request("rows of the sidebar", "/conversations", htmx=True)
        self._time_request("opening a conversation", f"/conversations/{rng.choice(self.conversation_ids)}")
        self._time_search("search, newest first: a common word", common)
        self._time_search("search, newest first: a usual word", average)
        self._time_search("search by relevance: a common word", common, sort="relevance")
        self._time_search("search by relevance: two words", f"{common} {average}", sort="relevance")
        self._time_search("search as one types", average[: rng.randint(2, 4)], htmx=True)

    def _time_search(self, kind: str, words: str, sort: str = "newest", htmx: bool = False) -> None:
        self._time_request(kind, f"/search?{urllib.parse.urlencode({'q': words, 'sort': sort})}", htmx)

    def _time_request(self, kind: str, url: str, htmx: bool = False) -> None:
        response = self.client.get(url, htmx)
        if response.status != 200:
            raise RuntimeError(f"{url} was answered with {response.status}.")
        self.seconds.setdefault(kind, []).append(response.seconds)


def _measure_store(quick: bool) -> Iterator[Table]:
    conversations, heavy_conversations = (200, 50) if quick else (10_000, 2_000)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        small, few = _start_site(stack, Path(name) / "small", SMALL_CONVERSATION_COUNT, SMALL_CONVERSATION_COUNT)
        large, many = _start_site(stack, Path(name) / "large", conversations, heavy_conversations)
        visitors = [
            _find_visitor("small", small, few, few.heavy_token),
            _find_visitor("heavy", large, many, many.heavy_token),
            _find_visitor("light", large, many, many.light_token),
        ]
        _visit_in_turn(visitors, rounds=20 if quick else 200)
        yield _make_table(visitors, conversations, heavy_conversations, many.seconds)
    yield from transfer.measure_transfer(20) if quick else transfer.measure_transfer()


def _start_site(
    stack: ExitStack, folder: Path, conversation_count: int, heavy_conversations: int
) -> tuple[ServedSite, LargeDataset]:
    site = stack.enter_context(running_site(folder, wait_until_ready=False, **SETTINGS))
    wait_until(site.is_alive, what="The first page")
    with seed_data.open_app(site.instance):
        return site, large_dataset.create_dataset(
            conversation_count, conversation_count * CONVERSATION_LENGTH, heavy_conversations * CONVERSATION_LENGTH
        )


def _find_visitor(name: str, site: ServedSite, dataset: LargeDataset, token: str) -> StoreVisitor:
    with seed_data.open_app(site.instance):
        user = users.get_or_create_by_token(token)
        query = select(Conversation.public_id).where(Conversation.user_id == user.id).limit(1000)
        conversation_ids = list(db.session.scalars(query))
    return StoreVisitor(name, Client(site_port(site), token), conversation_ids, dataset.words)


def _visit_in_turn(visitors: list[StoreVisitor], rounds: int) -> None:
    rng = random.Random(7)
    for number in range(WARM_UP_ROUNDS + rounds):
        for visitor in visitors:
            visitor.run_requests(rng)
            if number < WARM_UP_ROUNDS:
                visitor.seconds.clear()


def _make_table(visitors: list[StoreVisitor], conversations: int, heavy: int, fill_seconds: float) -> Table:
    small, large, light = visitors
    columns = ["request", "small: p50 ms", "p99 ms", "heavy user: p50 ms", "p99 ms", "light user: p50 ms", "p99 ms"]
    table = Table("A large store", [*columns, "aim for p99", "ratio of p50, heavy to small"])
    for kind, times in small.seconds.items():
        cells = [
            format_milliseconds(percentile(visitor.seconds[kind])) for visitor in visitors for percentile in (p50, p99)
        ]
        target = f"{TARGET_P99_MS[kind]}" if kind in TARGET_P99_MS else ""
        table.add_row(kind, *cells, target, format_ratio(p50(large.seconds[kind]), p50(times)))
    table.notes.append(
        f"The small site has {SMALL_CONVERSATION_COUNT} conversations of {CONVERSATION_LENGTH} messages. "
        f"The large one has {conversations:,} with {conversations * CONVERSATION_LENGTH:,} messages, "
        f"{heavy * CONVERSATION_LENGTH:,} of them the heavy user's; the light user has "
        f"{len(light.conversation_ids)} conversations. "
        f"It was filled in {fill_seconds:.0f} s, the index of the search with it. "
        f"{len(next(iter(small.seconds.values())))} requests of each kind and visitor, in turn, over HTTP."
    )
    return table


if __name__ == "__main__":
    sys.exit(run_benchmark(__doc__, "store", _measure_store))
