"""A storm: visitors ask and read while processes are killed at random moments.

Each question is `/say` or `/draft` and a text of its own, so that the scripted engine's answer is known to the letter,
whether it is written word after word or decided at the end. A visitor posts a question again and again under one client
token until it is acknowledged, as a browser or a person would. At the end the database must hold every acknowledged
question once, with its exact answer.
"""

from __future__ import annotations

import http.client
import random
import threading
import time
import urllib.error
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
from pysqlite3 import dbapi2 as sqlite

from tests.site import Site, Visitor, running_site

SETTINGS = {
    "RUNNER_PAUSE_SECONDS": "0.2",
    "LEASE_SECONDS": "1",
    "TICK_MS": "20",
    "ATTEMPTS": "100",
    "QUEUE_PER_USER": "20",
    "QUEUE_TOTAL": "1000",
    "SCRIPTED_TOKENS_PER_SECOND": "150",
    "LOG_LEVEL": "warning",
    "WORKERS": "2",
    "THREADS": "64",
}
FIRST_CALM = 1.0
BETWEEN_KILLS = (0.05, 0.45)
PATIENCE = 60.0
WORDS = ("agua", "river", "piedra", "stone", "night", "luz", "canción", "word", "😀", "ñandú")
NETWORK = (urllib.error.URLError, http.client.HTTPException, OSError)


@dataclass
class Result:
    """What a storm did and what it left behind."""

    kills: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    repeated_posts: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    stuck: int = 0
    chunks_left: int = 0
    integrity: str = ""
    attempts: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    slowest: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether everything acknowledged is there, once and exact."""
        bad = self.lost + self.doubled + self.wrong + self.stuck + self.chunks_left
        return self.acknowledged > 0 and bad == 0 and self.integrity == "ok"

    def __str__(self) -> str:
        kills = ", ".join(f"{count} {name}" for name, count in sorted(self.kills.items()))
        return (
            f"{self.kills.total()} kills ({kills}) in {self.seconds:.0f} s: {self.acknowledged} acknowledged: "
            f"{self.lost} lost, {self.doubled} doubled, {self.wrong} wrong, {self.stuck} stuck, "
            f"{self.chunks_left} chunks left, integrity {self.integrity}; {self.repeated_posts} posts repeated; "
            f"answers by attempts {self.attempts}; slowest answer {self.slowest:.1f} s"
        )


def storm(folder: Path, kills: int, visitors: int = 16, seed: int | None = None) -> Result:
    """Let a storm of so many kills pass over a site in `folder`; returns the counts."""
    chance, result, over = random.Random(seed), Result(), threading.Event()
    started = time.monotonic()
    with running_site(folder, **SETTINGS) as site:
        people = [_Person(site, number, over) for number in range(visitors)]
        threads = [threading.Thread(target=person.live) for person in people]
        for thread in threads:
            thread.start()
        time.sleep(FIRST_CALM)
        for _ in range(kills):
            result.kills[_kill(site, chance)] += 1
            time.sleep(chance.uniform(*BETWEEN_KILLS))
        over.set()
        for thread in threads:
            thread.join(PATIENCE)
        _await_calm(folder)
    result.seconds = time.monotonic() - started
    for person in people:
        result.acknowledged += len(person.acknowledged)
        result.repeated_posts += person.repeated
    _count(folder, {key: text for person in people for key, text in person.acknowledged.items()}, result)
    return result


def _kill(site: Site, chance: random.Random) -> str:
    """`kill -9` the runner or a web worker, whichever chance says; returns which.

    Only what has come to work is killed: a storm that strikes processes while they start would show nothing.
    """
    kind = chance.choice(["runner", "worker", "worker"])
    while True:
        found = _working_runners(site) if kind == "runner" else site.workers()
        try:
            if found:
                chance.choice(found).kill()
                return kind
        except psutil.NoSuchProcess:
            continue
        time.sleep(0.02)


def _working_runners(site: Site) -> list[psutil.Process]:
    """The runners, when one of those that live now has written at an answer or said that it is ready."""
    found = site.runners()
    if not found:
        return []
    born = datetime.fromtimestamp(max(process.create_time() for process in found), UTC).replace(tzinfo=None)
    recent = "SELECT 1 FROM runner WHERE state = 'ready' AND seen_at > ?"
    return found if _query(site.instance, recent, born.isoformat(" ")) else []


class _Person:
    """Somebody who asks, watches the answer, and asks again."""

    def __init__(self, site: Site, number: int, over: threading.Event) -> None:
        self._visitor = Visitor(site.url)
        self._chance = random.Random(number)
        self._number = number
        self._over = over
        self.acknowledged: dict[str, str] = {}
        self.repeated = 0

    def live(self) -> None:
        """Go on until the storm is over."""
        conversation, asked = "", 0
        while not self._over.is_set():
            key = f"p{self._number}-{asked}"
            text = f"{key} " + " ".join(self._chance.choices(WORDS, k=self._chance.randint(10, 60)))
            command = self._chance.choice(("/say", "/draft"))
            conversation = self._post(f"{command} {text}", key, conversation)
            self.acknowledged[key] = text
            asked += 1
            self._watch(conversation)
            if self._chance.random() < 0.3:
                conversation = ""

    def _post(self, text: str, key: str, conversation: str) -> str:
        """Post until it is acknowledged."""
        while True:
            try:
                return self._visitor.ask(text, key, conversation)
            except NETWORK:
                self.repeated += 1
                time.sleep(0.05)

    def _watch(self, conversation: str) -> None:
        """Read the answer's stream, again when it breaks, until it is over."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                answer = self._visitor.messages(conversation)[-1]
                if "event: done" in self._visitor.get(f"/messages/{answer}/stream", timeout=20):
                    return
            except (*NETWORK, IndexError):
                time.sleep(0.05)


def _await_calm(folder: Path) -> None:
    """Wait until no answer waits or is being written, but not for ever: what is stuck is counted."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and _query(
        folder, "SELECT 1 FROM generation WHERE status IN ('queued', 'generating')"
    ):
        time.sleep(0.2)


def _count(folder: Path, expected: dict[str, str], result: Result) -> None:
    """Compare what is stored with what was acknowledged."""
    rows = _query(
        folder,
        """SELECT question.client_token, answer.text, generation.status FROM message AS question
        JOIN message AS answer ON answer.id = (SELECT min(id) FROM message AS later
            WHERE later.conversation_id = question.conversation_id AND later.id > question.id)
        JOIN generation ON generation.message_id = answer.id WHERE question.role = 'user'""",
    )
    seen = Counter(token for token, _, _ in rows)
    result.lost = sum(token not in seen for token in expected)
    result.doubled = sum(count - 1 for count in seen.values())
    result.stuck = sum(status in {"queued", "generating"} for _, _, status in rows)
    result.wrong = sum(status == "done" and text != expected.get(token) for token, text, status in rows)
    result.wrong += sum(status not in {"done", "queued", "generating"} for _, _, status in rows)
    result.chunks_left = len(_query(folder, "SELECT 1 FROM chunk"))
    result.integrity = _query(folder, "PRAGMA integrity_check")[0][0]
    if _query(folder, "PRAGMA foreign_key_check"):
        result.integrity = "foreign keys broken"
    result.attempts = dict(_query(folder, "SELECT attempt, count(*) FROM generation GROUP BY attempt ORDER BY attempt"))
    [(slowest,)] = _query(folder, "SELECT max(julianday(finished_at) - julianday(created_at)) FROM generation")
    result.slowest = (slowest or 0) * 86400


def _query(folder: Path, sql: str, *values: str) -> list[tuple]:  # type: ignore[type-arg]
    connection = sqlite.connect(str(folder / "chatsite.db"), timeout=20)
    try:
        return list(connection.execute(sql, values))
    finally:
        connection.close()
