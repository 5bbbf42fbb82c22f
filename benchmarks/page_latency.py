"""How long pages take for a visitor with 10 conversations and for one with 10,000, on two sites asked in turn."""

from __future__ import annotations

import re
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.support import seed_data
from benchmarks.support.http_client import Client, TimedResponse, site_port
from benchmarks.support.tables import Table, format_milliseconds, format_ratio, p50, p99
from tests.support.served_site import ServedSite, running_site

SETTINGS: Any = {
    "WORKERS": "1",
    "MAX_QUEUED_PER_USER": "1000",
    "MAX_QUEUED": "100000",
    "LIMIT_ADDRESSES": "0",
    "SCRIPTED_TOKENS_PER_SECOND": "100000",
    "LOG_LEVEL": "warning",
}
FEW_CONVERSATIONS, MANY_CONVERSATIONS = 10, 10_000
OTHER_USERS, CONVERSATIONS_PER_OTHER_USER = 200, 50
WARM_UP_ROUNDS = 10
NEXT_PAGE_LINK = re.compile(r'(/conversations\?[^"]*before=[^"]+)"')


@dataclass
class MeasuredSite:
    """One of the two sites, with its visitor, and the seconds that each kind of request took."""

    client: Client
    conversation_id: str
    rows_url: str = "/conversations"
    seconds: dict[str, list[float]] = field(default_factory=dict)
    question_count: int = 0

    def run_requests(self) -> None:
        """Make each kind of request once."""
        self._record_time("front page", self.client.get("/"))
        self._record_time("conversation", self.client.get(f"/conversations/{self.conversation_id}"))
        self._record_time("rows of the sidebar", self.client.get(self.rows_url, htmx=True))
        self.question_count += 1
        self._record_time("post", self.client.post_question("/say ok", f"token-{self.question_count}"))

    def find_rows_url(self) -> None:
        """Learn the address that the sidebar asks for its next rows, where there are more."""
        match = NEXT_PAGE_LINK.search(self.client.get("/").body)
        self.rows_url = match.group(1).replace("&amp;", "&") if match else self.rows_url

    def _record_time(self, kind: str, response: TimedResponse) -> None:
        if response.status != 200:
            raise RuntimeError(f"The {kind} was answered with {response.status}.")
        self.seconds.setdefault(kind, []).append(response.seconds)


def measure_pages(
    rounds: int, many_conversations: int = MANY_CONVERSATIONS, other_users: int = OTHER_USERS
) -> list[Table]:
    """Make every kind of request so many times on either site, in turn."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        few = _prepare_site(stack.enter_context(running_site(Path(name) / "few", **SETTINGS)), FEW_CONVERSATIONS, 0)
        large = _prepare_site(
            stack.enter_context(running_site(Path(name) / "many", **SETTINGS)), many_conversations, other_users
        )
        for number in range(WARM_UP_ROUNDS + rounds):
            for measured in (few, large):
                measured.run_requests()
                if number < WARM_UP_ROUNDS:
                    measured.seconds.clear()
    return [_make_table(few, large, many_conversations, other_users)]


def _prepare_site(site: ServedSite, conversation_count: int, other_users: int) -> MeasuredSite:
    """Fill a site, and begin to look at it."""
    with seed_data.open_app(site.instance):
        for _ in range(other_users):
            seed_data.create_visitor(CONVERSATIONS_PER_OTHER_USER)
        visitor = seed_data.create_visitor(conversation_count)
    measured = MeasuredSite(Client(site_port(site), visitor.token), visitor.conversation_id)
    measured.find_rows_url()
    # Filling the other site takes longer than a connection without requests is kept; the next request opens a new one.
    measured.client.close()
    return measured


def _make_table(few: MeasuredSite, many: MeasuredSite, conversation_count: int, other_users: int) -> Table:
    table = Table(
        "Pages",
        [
            "request",
            f"{FEW_CONVERSATIONS}: p50 ms",
            "p99 ms",
            f"{conversation_count:,}: p50 ms",
            "p99 ms",
            "ratio of p50",
            "ratio of p99",
        ],
    )
    for kind, small in few.seconds.items():
        large = many.seconds[kind]
        cells = (
            format_milliseconds(p50(small)),
            format_milliseconds(p99(small)),
            format_milliseconds(p50(large)),
            format_milliseconds(p99(large)),
        )
        table.add_row(kind, *cells, format_ratio(p50(large), p50(small)), format_ratio(p99(large), p99(small)))
    table.notes.append(
        f"The visitor has {FEW_CONVERSATIONS} conversations and the site to themselves, or {conversation_count:,} "
        f"on a site with {other_users} other visitors who have {CONVERSATIONS_PER_OTHER_USER} each. "
        f"{len(few.seconds['post'])} requests of each kind, in turn."
    )
    return table
