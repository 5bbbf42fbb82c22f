"""What is temporary leaves nothing behind: real processes, and a look for the bytes in every file that there is."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest
from pysqlite3 import dbapi2 as sqlite

from tests.support.served_site import REPOSITORY_ROOT, HttpVisitor, ServedSite, running_site, wait_until

pytestmark = pytest.mark.slow

SECRETS = ("Quokka", "Numbat", "Bilby", "Potoroo", "Dunnart")


def post(visitor: HttpVisitor, path: str, **form: str) -> str:
    """Send a form; returns the address that it led to."""
    body = urllib.parse.urlencode({"csrf_token": visitor.csrf_token, **form}).encode()
    with visitor.opener.open(visitor.url + path, body, timeout=60) as response:
        response.read()
        return str(response.url)


def begin(visitor: HttpVisitor, text: str) -> str:
    """Begin a temporary conversation; returns its name."""
    return post(visitor, "/messages", text=text, temporary="1", idempotency_key=text[-9:]).rpartition("/")[2]


def rows(site: ServedSite, query: str) -> int:
    """A number that the database tells, asked for by a reader who leaves at once."""
    connection = sqlite.connect(f"file:{site.instance / 'chatsite.db'}?mode=ro", uri=True)
    try:
        return int(connection.execute(query).fetchone()[0])
    finally:
        connection.close()


def found(folder: Path, words: tuple[str, ...]) -> list[tuple[str, str]]:
    """Which of the words are in which of the files, in any of the ways that text is stored."""
    hits = []
    for path in folder.rglob("*"):
        content = path.read_bytes().lower() if path.is_file() else b""
        hits += [(path.name, word) for word in words for form in _forms(word) if form in content]
    return hits


def _forms(word: str) -> list[bytes]:
    small = word.lower()
    return [small.encode(), small.encode("utf-16-le"), urllib.parse.quote(small + " ").encode()]


def back_up(site: ServedSite, target: Path) -> None:
    """Take a backup as the command does."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CHATSITE_")}
    environ |= {"CHATSITE_INSTANCE": str(site.instance), "CHATSITE_DEFAULT_MODEL": "scripted"}
    command = [sys.executable, "-m", "chatsite.cli", "backup", str(target)]
    subprocess.run(command, cwd=REPOSITORY_ROOT, env=environ, check=True, timeout=60)


def test_temporary_chat_leaves_no_bytes_on_disk(tmp_path: Path) -> None:
    """Questions, answers, another version, an answer that is being written, a message that waits for it, a draft, the
    title, the names: nothing.

    The looks are taken while the site goes on, so that nothing is owed to its end.
    """
    instance = tmp_path / "instance"
    with running_site(instance, WORKERS="1", THREADS="16", LOG_LEVEL="debug", LOG_FORMAT="json") as site:
        visitor = HttpVisitor(site.url)
        kept = visitor.post_question("/say Wombat", "kept")
        wait_until(
            lambda: "Wombat" in visitor.get_message_text(visitor.list_message_ids(kept)[-1]), what="An ordinary answer"
        )

        done = begin(visitor, "/say Quokka")
        wait_until(
            lambda: "Quokka" in visitor.get_message_text(visitor.list_message_ids(done)[-1]), what="A temporary answer"
        )
        question = visitor.list_message_ids(done)[0]
        post(visitor, f"/messages/{question}/versions", text="/say Numbat", idempotency_key="edited")
        wait_until(
            lambda: "Numbat" in visitor.get_message_text(visitor.list_message_ids(done)[-1]), what="Another version"
        )
        post(
            visitor,
            f"/conversations/{done}/draft?_method=PUT",
            text="Potoroo, not sent",
            draft_version="",
            idempotency_key="draft",
        )
        running = begin(visitor, "/slow " + "Bilby " * 200)
        wait_until(lambda: rows(site, "SELECT count(*) FROM chunk") > 3, what="An answer under way")
        visitor.post_question("/say Dunnart", "waiting", running)
        assert rows(site, "SELECT count(*) FROM waiting_message") == 1
        names = (done, running, *visitor.list_message_ids(done), *visitor.list_message_ids(running))
        assert {word for _, word in found(instance, SECRETS)} == set(SECRETS)

        back_up(site, tmp_path / "copy.db")
        for conversation in (done, running):
            visitor.get("/")
            assert post(visitor, f"/conversations/{conversation}/closure").endswith("/?temporary=1")
        assert rows(site, "SELECT count(*) FROM message WHERE text <> ''") == 2
        assert rows(site, "SELECT count(*) FROM waiting_message") == 0
        # A runner sweeps when it starts, and this one had no time to.
        for runner in site.list_runners():
            runner.kill()
        wait_until(lambda: rows(site, "SELECT count(*) FROM conversation") == 1, what="The sweep")
        assert found(tmp_path, SECRETS) == []
        assert found(tmp_path / "instance", names) == []
        assert "Wombat" in visitor.get_message_text(visitor.list_message_ids(kept)[-1])
        assert {"chatsite.db", "copy.db"} <= {path for path, _ in found(tmp_path, ("Wombat",))}
