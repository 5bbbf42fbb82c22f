"""How quickly a file is imported while others post, and how quickly and in how much memory everything leaves."""

from __future__ import annotations

import io
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks import seeding
from benchmarks.figures import Table, ms, p50, p99
from chatsite import create_app
from chatsite.database import db
from chatsite.runner import bringing
from chatsite.services import accounts, imports, messages
from chatsite.services.transfer import markdown, writing

CONVERSATIONS, TURNS = 500, 20
TEXT = "A sentence of the usual length, about this and that. " * 6
MOST = 10**12
POST_PAUSE = 0.05


def measure(conversations: int = CONVERSATIONS, turns: int = TURNS) -> list[Table]:
    """Import a file of so many conversations of so many questions and answers, and export all of it again."""
    table = Table("Export and import", ["what", "messages", "messages/s", "MB/s", "memory it took, MB"])
    posts: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        _migrate(Path(name))
        with seeding.entered(Path(name)) as app:
            user = accounts.find_or_create("heavy")
            data = json.dumps([_conversation(number, turns) for number in range(conversations)]).encode()
            imports.receive(user, "file", io.BytesIO(data).read, MOST)
            over = threading.Event()
            poster = threading.Thread(target=_post, args=(app, over, posts))
            poster.start()
            table.add("import", *_figures(conversations * turns * 2, len(data), lambda: _bring_in(app.config)))
            over.set()
            poster.join()
            for kind, pieces in (("JSON", writing.export(user.id)), ("Markdown", markdown.export(user.id, "You"))):
                table.add(f"export as {kind}", *_export(conversations * turns * 2, pieces))
    table.notes.append(
        f"{conversations:,} conversations of ChatGPT with {2 * turns} messages each. While they come in somebody else "
        f"posts: {len(posts)} posts, p50 {ms(p50(posts))} ms, p99 {ms(p99(posts))} ms."
    )
    return [table]


def _migrate(instance: Path) -> None:
    app = create_app({"INSTANCE": instance, "MODEL": "scripted", "LOG_LEVEL": "warning"})
    with app.app_context():
        db.create_all()
        db.engine.dispose()


def _conversation(number: int, turns: int) -> dict[str, object]:
    mapping: dict[str, object] = {}
    parent = None
    for turn in range(2 * turns):
        key = f"{number}-{turn}"
        role, more = ("assistant", {"model_slug": "gpt-4o"}) if turn % 2 else ("user", {})
        content = {"content_type": "text", "parts": [f"{turn} {TEXT}"]}
        common = {"id": key, "author": {"role": role}, "create_time": 1.7e9 + turn}
        message = {**common, "content": content, "metadata": more}
        mapping[key] = {"id": key, "parent": parent, "children": [], "message": message}
        parent = key
    return {"title": f"Conversation {number}", "id": str(number), "current_node": parent, "mapping": mapping}


def _bring_in(config: object) -> int:
    bringing.work(config, threading.Event())  # type: ignore[arg-type]
    return 0


def _figures(count: int, size: int, work: object) -> list[str]:
    before = _memory()
    begun = time.perf_counter()
    size += work()  # type: ignore[operator]
    took = time.perf_counter() - begun
    grown = max(_memory() - before, 0)
    return [f"{count:,}", f"{count / took:,.0f}", f"{size / took / 1e6:.1f}", f"{grown / 1e6:.0f}"]


def _export(count: int, pieces: Iterator[str]) -> list[str]:
    return _figures(count, 0, lambda: sum(len(piece) for piece in pieces))


def _memory() -> int:
    return int(psutil.Process().memory_info().rss)


def _post(app: object, over: threading.Event, seconds: list[float]) -> None:
    """Somebody else goes on posting."""
    with app.app_context():  # type: ignore[attr-defined]
        user = accounts.find_or_create("poster")
        while not over.wait(POST_PAUSE):
            begun = time.perf_counter()
            messages.start(user, "Hello", "", "Hello", seeding.NO_LIMITS)
            seconds.append(time.perf_counter() - begun)
        db.session.remove()
