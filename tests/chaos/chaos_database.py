"""What a storm left in the database, read with SQL of its own, on SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import NullPool, bindparam, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from chatsite.database_connections import engine_options

ANSWERS = """SELECT question.idempotency_key, answer.text, generation.status FROM message AS question
    JOIN message AS answer ON answer.id = (SELECT min(id) FROM message AS later
        WHERE later.conversation_id = question.conversation_id AND later.id > question.id)
    JOIN generation ON generation.message_id = answer.id
    WHERE question.role = 'user' AND question.idempotency_key IS NOT NULL"""
ATTEMPTS = "SELECT attempts, count(*) FROM generation WHERE lease_owner IS NULL GROUP BY attempts ORDER BY attempts"


class ChaosDatabase:
    """The database of a site in `folder`, or at `url`. Each query has a connection of its own."""

    def __init__(self, folder: Path, url: str = "") -> None:
        self._is_sqlite = not url
        url = url or f"sqlite:///{folder / 'chatsite.db'}"
        options = {
            key: value for key, value in engine_options(url, 20_000).items() if key in {"module", "connect_args"}
        }
        self._engine = create_engine(url, poolclass=NullPool, **options)

    def query(self, sql: str, **values: Any) -> Sequence[Any]:
        """Return the rows of a query."""
        with self._engine.connect() as connection:
            return connection.execute(text(sql), values).all()

    def has_ready_runner(self, since: datetime) -> bool:
        """Return whether a runner has said since then that it is ready; False while the database is away."""
        sql = "SELECT 1 FROM runner WHERE state = 'ready' AND heartbeat_at > :since"
        statement = text(sql).bindparams(bindparam("since", since.isoformat(" ") if self._is_sqlite else since))
        try:
            with self._engine.connect() as connection:
                return bool(connection.execute(statement).first())
        except SQLAlchemyError:
            return False

    def has_running_answer(self) -> bool:
        """Return whether an answer is being written; False while the database is away."""
        try:
            return bool(self.query("SELECT 1 FROM generation WHERE status = 'generating' LIMIT 1"))
        except SQLAlchemyError:
            return False

    def list_acknowledged(self) -> set[str]:
        """Return the keys of all questions and the names of all files that are stored."""
        asked = "SELECT idempotency_key FROM message WHERE idempotency_key IS NOT NULL"
        waiting = "SELECT idempotency_key FROM waiting_message"
        return {name for (name,) in self.query(f"{asked} UNION {waiting} UNION SELECT name FROM import")}

    def count_unfinished(self) -> int:
        """Return how many answers, imports and messages wait or are being dealt with."""
        waiting = "SELECT count(*) FROM generation WHERE status IN ('queued', 'generating')"
        importing = "SELECT count(*) FROM import WHERE state IN ('queued', 'running')"
        unposted = "SELECT count(*) FROM waiting_message"
        return sum(self.query(sql)[0][0] for sql in (waiting, importing, unposted))

    def check_integrity(self) -> str:
        """Return `ok`, or what is wrong with the file."""
        if not self._is_sqlite:
            return "ok"
        if self.query("PRAGMA foreign_key_check"):
            return "foreign keys broken"
        return str(self.query("PRAGMA integrity_check")[0][0])
