"""How each database is asked where something is: places of messages and of titles, and nothing else.

A place is `seconds << 30 | id` (`chatsite.models.search`). The owner is part of every question, inside the index, and
whoever loads what lies at a place looks at the owner again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from chatsite.database import db, write
from chatsite.models.search import ID_BITS, LATEST, fill, postgresql_place, sqlite_place
from chatsite.services.search_query import Query, Term

HIGHEST = (LATEST + 1 << ID_BITS) - 1


@dataclass(frozen=True)
class Span:
    """Places from `lowest` to below `end`."""

    lowest: int = 0
    end: int = HIGHEST + 1

    @classmethod
    def of(cls, query: Query, end: int | None = None) -> Span:
        """Where a query looks; `end` is where the page before stopped."""
        until = _seconds(query.until) << ID_BITS if query.until else HIGHEST + 1
        since = _seconds(query.since) << ID_BITS if query.since else 0
        return cls(since, min(until, HIGHEST + 1 if end is None else end))


def row_id(place: int) -> int:
    """The id of the row at a place."""
    return place & (1 << ID_BITS) - 1


def newest(user_id: int, query: Query, span: Span, limit: int) -> Sequence[int]:
    """The newest places of messages that fit, at most `limit`, the newest first."""
    if _is_sqlite():
        return _run(SQLITE_NEWEST.format("message_fts"), span, limit, match=_match(user_id, query, "text"))
    words, values = _tsquery(user_id, query)
    return _run(POSTGRESQL_NEWEST.format("message_search", words), span, limit, user=user_id, **values)


def titles(user_id: int, query: Query, span: Span, limit: int) -> Sequence[int]:
    """The newest places of conversations whose titles fit, at most `limit`, the newest first."""
    if _is_sqlite():
        return _run(SQLITE_NEWEST.format("conversation_fts"), span, limit, match=_match(user_id, query, "title"))
    words, values = _tsquery(user_id, query)
    return _run(POSTGRESQL_NEWEST.format("conversation_search", words), span, limit, user=user_id, **values)


def drift() -> int:
    """How many messages are missing in the index, or are in it and should not be; this looks at all of them."""
    place, indexed = (
        (sqlite_place("m"), "SELECT id AS place FROM message_fts_docsize")
        if _is_sqlite()
        else (postgresql_place("m"), "SELECT place FROM message_search")
    )
    return int(db.session.scalars(text(DRIFT.format(place, indexed))).one())


def rebuild() -> None:
    """Index everything anew."""
    with write() as session:
        fill(session.connection())


DRIFT = """
WITH stored AS (
    SELECT {0} AS place FROM message m JOIN conversation c ON c.id = m.conversation_id
    WHERE m.text <> '' AND c.expires_at IS NULL
), indexed AS ({1})
SELECT (SELECT count(*) FROM stored WHERE place NOT IN (SELECT place FROM indexed))
    + (SELECT count(*) FROM indexed WHERE place NOT IN (SELECT place FROM stored))
"""
SQLITE_NEWEST = """
SELECT rowid FROM {0} WHERE {0} MATCH :match AND rowid >= :lowest AND rowid < :end ORDER BY rowid DESC LIMIT :limit
"""
POSTGRESQL_NEWEST = """
SELECT place FROM {0} WHERE user_id = :user AND words @@ ({1}) AND place >= :lowest AND place < :end
ORDER BY place DESC LIMIT :limit
"""


def _run(statement: str, span: Span, limit: int, **values: object) -> Sequence[int]:
    bound = {"lowest": span.lowest, "end": span.end, "limit": limit, **values}
    return db.session.scalars(text(statement), bound).all()


def _match(user_id: int, query: Query, column: str) -> str:
    """The query in the language of FTS5: each term is quoted, so that none of it is taken for an operator."""
    wanted = [f'owner:"u{user_id}"', *(_quoted(column, term) for term in query.words)]
    unwanted = [_quoted(column, term) for term in query.without]
    if column == "text":
        wanted += [_quoted("model", term) for term in query.models]
        wanted += [f'role:"{query.role}"'] if query.role else []
        unwanted += [_quoted("model", term) for term in query.without_models]
    found = " AND ".join(wanted)
    return f"({found}) NOT ({' OR '.join(unwanted)})" if unwanted else found


def _quoted(column: str, term: Term) -> str:
    escaped = term.text.replace('"', '""')
    return f'{column}:"{escaped}"' + ("*" if term.prefix else "")


def _tsquery(user_id: int, query: Query) -> tuple[str, dict[str, object]]:
    """The query as an expression of PostgreSQL, and the values in it."""
    values: dict[str, object] = {"owner": f"'/u{user_id}'"}
    parts = ["CAST(:owner AS tsquery)"]
    if query.role:
        values["role"] = f"'/{query.role}'"
        parts.append("CAST(:role AS tsquery)")
    for expression, term in _expressions(query):
        name = f"term{len(values)}"
        values[name] = term.text
        parts.append(expression.format(f":{name}"))
    return " && ".join(parts), values


PHRASE = "phraseto_tsquery('simple', search_fold({}))"
PREFIX = "CAST(nullif(CAST(phraseto_tsquery('simple', search_fold({})) AS text), '') || ':*' AS tsquery)"
MODEL = (
    "CAST((SELECT string_agg(quote_literal(each){}, ' & ') FROM unnest(search_lexemes('/m', {{}})) AS each) AS tsquery)"
)


def _expressions(query: Query) -> Iterator[tuple[str, Term]]:
    for term in query.words:
        yield (PREFIX if term.prefix else PHRASE), term
    for term in query.without:
        yield "!! " + (PREFIX if term.prefix else PHRASE), term
    for term in query.models:
        yield _model(term), term
    for term in query.without_models:
        yield "!! " + _model(term), term


def _model(term: Term) -> str:
    return MODEL.format(" || ':*'" if term.prefix else "")


def _seconds(moment: datetime) -> int:
    return max(0, min(int(moment.timestamp()), LATEST))


def _is_sqlite() -> bool:
    return db.engine.dialect.name == "sqlite"
