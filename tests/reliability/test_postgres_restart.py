"""A server of PostgreSQL that is killed and started again while answers are written: no process of the site ends."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.chaos_database import ChaosDatabase
from tests.chaos.postgres_server import BINARIES, PostgresServer, running_postgres
from tests.support.served_site import HttpVisitor, running_site, wait_until

WORD_COUNT = 120
WORDS = " ".join(f"word{number}" for number in range(1, WORD_COUNT + 1))
# Leases that end are not the subject: on a busy machine the server may be away for longer than a short one.
SETTINGS: Any = {
    "SCRIPTED_TOKENS_PER_SECOND": "150",
    "MAX_ANSWER_TOKENS": "4000",
    "LEASE_SECONDS": "30",
    "WORKERS": "1",
}
PROGRESS = "SELECT token_count FROM generation WHERE status = 'generating'"
ANSWERS = "SELECT status, attempts, crash_count, text FROM generation JOIN message ON message.id = message_id"


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server of its own. The account of its processes cannot get into the folders of pytest."""
    if not list(Path(BINARIES).glob("*/bin/initdb")):
        pytest.skip("needs the programs of a PostgreSQL server")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with running_postgres(Path(folder) / "postgres") as started:
            yield started


@pytest.mark.slow
def test_restart_of_postgres_ends_no_process(tmp_path: Path, server: PostgresServer) -> None:
    """The runner waits and goes on with its own answer, in its first attempt; the web waits, too."""
    database = ChaosDatabase(tmp_path, server.url)
    with running_site(tmp_path, **SETTINGS, DATABASE_URL=server.url) as site:
        processes = {process.pid for process in (*site.list_runners(), *site.list_workers())}
        visitor = HttpVisitor(site.url)
        visitor.post_question(f"/long {WORD_COUNT}", "key")
        wait_until(lambda: any(row.token_count > 20 for row in database.query(PROGRESS)), what="The beginning")
        server.restart()
        wait_until(lambda: not database.count_unfinished(), what="The end of the answer")
        visitor.post_question("/say Afterwards", "second key")
        wait_until(lambda: not database.count_unfinished(), what="The next answer")
        assert {process.pid for process in (*site.list_runners(), *site.list_workers())} == processes
    rows = [tuple(row) for row in database.query(f"{ANSWERS} ORDER BY generation.id")]
    assert rows == [("done", 1, 0, WORDS), ("done", 1, 0, "Afterwards")]
