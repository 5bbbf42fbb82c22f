"""A backup of a site that is asked on, a clean stop, a restore and a start: nothing up to the backup is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pysqlite3 import dbapi2 as sqlite

from tests.support.served_site import HttpVisitor, ServedSite, running_site

WORDS = "words and words " * 40


def run_command(instance: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command on an instance."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CHATSITE_")}
    return subprocess.run(
        [sys.executable, "-m", "chatsite.cli", *words],
        env={**environ, "CHATSITE_INSTANCE": str(instance), "CHATSITE_DEFAULT_MODEL": "scripted"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def ask(site: ServedSite, *names: str) -> None:
    """Ask a question by each name, each by another visitor."""
    for name in names:
        HttpVisitor(site.url).post_question(f"/say {name} {WORDS}", name)


def stop(site: ServedSite, how: signal.Signals) -> None:
    """Stop the site, as an init system or a terminal does."""
    if how is signal.SIGINT:
        os.killpg(site.process.pid, how)
    else:
        site.process.send_signal(how)
    assert site.process.wait(60) == 0


def list_questions(file: Path) -> list[str]:
    """List the names of the stored questions, in a database without any damage."""
    with contextlib.closing(sqlite.connect(str(file))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute("SELECT text FROM message WHERE role = 'user' ORDER BY id").fetchall()
    return [text.split()[1] for (text,) in rows]


@pytest.mark.exhaustive
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_restored_site_has_everything_up_to_the_backup(tmp_path: Path, how: signal.Signals) -> None:
    instance, backup = tmp_path / "in?st %20#", tmp_path / "backup.db"
    early, late = [f"early{number}" for number in range(10)], [f"late{number}" for number in range(10)]
    with running_site(instance) as site:
        ask(site, *early)
        assert run_command(instance, "backup", str(backup)).returncode == 0
        ask(site, *late)
        refused = run_command(instance, "restore", str(backup))
        assert (refused.returncode, "the database is in use" in refused.stderr) == (1, True)
        stop(site, how)
    assert [path.name for path in instance.glob("chatsite.db*")] == ["chatsite.db"]
    assert list_questions(instance / "chatsite.db") == [*early, *late]
    restored = run_command(instance, "restore", str(backup))
    assert restored.returncode == 0, restored.stderr
    with running_site(instance) as site:
        ask(site, "afterwards")
    assert list_questions(instance / "chatsite.db") == [*early, "afterwards"]
    (former,) = instance.glob("before-restore/*/chatsite.db")
    assert list_questions(former) == [*early, *late]
