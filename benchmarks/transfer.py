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

from benchmarks.support import seed_data
from benchmarks.support.tables import Table, format_milliseconds, p50, p99
from chatsite import create_app
from chatsite.database import db
from chatsite.runner import import_worker
from chatsite.services.accounts import users
from chatsite.services.chat import messages
from chatsite.services.transfer import imports
from chatsite.services.transfer.exports import export_json, export_markdown

CONVERSATION_COUNT, EXCHANGE_COUNT = 500, 20
MESSAGE_TEXT = "A sentence of the usual length, about this and that. " * 6
MAX_BYTES = 10**12
POST_INTERVAL_SECONDS = 0.05


def measure_transfer(conversation_count: int = CONVERSATION_COUNT, exchange_count: int = EXCHANGE_COUNT) -> list[Table]:
    """Import a file of so many conversations of so many questions and answers, and export all of it again."""
    table = Table("Export and import", ["what", "messages", "messages/s", "MB/s", "memory it took, MB"])
    post_seconds: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        _create_database(Path(name))
        with seed_data.open_app(Path(name)) as app:
            user = users.get_or_create_by_token("heavy")
            data = json.dumps(
                [_make_conversation(number, exchange_count) for number in range(conversation_count)]
            ).encode()
            imports.upload(user, "file", io.BytesIO(data).read, max_bytes=MAX_BYTES)
            stop = threading.Event()
            poster = threading.Thread(target=_post_until_stopped, args=(app, stop, post_seconds))
            poster.start()
            table.add_row(
                "import",
                *_measure_cells(conversation_count * exchange_count * 2, len(data), lambda: _import_all(app.config)),
            )
            stop.set()
            poster.join()
            for kind, pieces in (
                ("JSON", export_json.export(user.id)),
                ("Markdown", export_markdown.export(user.id, "You")),
            ):
                table.add_row(f"export as {kind}", *_measure_export(conversation_count * exchange_count * 2, pieces))
    table.notes.append(
        f"{conversation_count:,} conversations of ChatGPT with {2 * exchange_count} messages each. "
        f"While they come in somebody else posts: {len(post_seconds)} posts, "
        f"p50 {format_milliseconds(p50(post_seconds))} ms, p99 {format_milliseconds(p99(post_seconds))} ms."
    )
    return [table]


def _create_database(instance: Path) -> None:
    app = create_app({"INSTANCE": instance, "DEFAULT_MODEL": "scripted", "LOG_LEVEL": "warning"})
    with app.app_context():
        db.create_all()
        db.engine.dispose()


def _make_conversation(number: int, exchange_count: int) -> dict[str, object]:
    mapping: dict[str, object] = {}
    parent = None
    for turn in range(2 * exchange_count):
        key = f"{number}-{turn}"
        role, more = ("assistant", {"model_slug": "gpt-4o"}) if turn % 2 else ("user", {})
        content = {"content_type": "text", "parts": [f"{turn} {MESSAGE_TEXT}"]}
        common = {"id": key, "author": {"role": role}, "create_time": 1.7e9 + turn}
        message = {**common, "content": content, "metadata": more}
        mapping[key] = {"id": key, "parent": parent, "children": [], "message": message}
        parent = key
    return {"title": f"Conversation {number}", "id": str(number), "current_node": parent, "mapping": mapping}


def _import_all(config: object) -> int:
    import_worker.run_imports(config, threading.Event())  # type: ignore[arg-type]
    return 0


def _measure_cells(count: int, size: int, work: object) -> list[str]:
    before = _memory_bytes()
    started = time.perf_counter()
    size += work()  # type: ignore[operator]
    seconds = time.perf_counter() - started
    memory_growth = max(_memory_bytes() - before, 0)
    return [f"{count:,}", f"{count / seconds:,.0f}", f"{size / seconds / 1e6:.1f}", f"{memory_growth / 1e6:.0f}"]


def _measure_export(count: int, pieces: Iterator[str]) -> list[str]:
    return _measure_cells(count, 0, lambda: sum(len(piece) for piece in pieces))


def _memory_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


def _post_until_stopped(app: object, stop: threading.Event, seconds: list[float]) -> None:
    """Somebody else goes on posting."""
    with app.app_context():  # type: ignore[attr-defined]
        user = users.get_or_create_by_token("poster")
        while not stop.wait(POST_INTERVAL_SECONDS):
            started = time.perf_counter()
            messages.start_conversation(
                user, messages.NewConversation("Hello"), messages.NewMessage("Hello"), limits=seed_data.NO_LIMITS
            )
            seconds.append(time.perf_counter() - started)
        db.session.remove()
