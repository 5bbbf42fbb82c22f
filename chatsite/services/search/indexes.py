"""Queries of the search indexes, for each database: sort keys of messages and titles, and nothing else.

A sort key is `seconds << 30 | id` (`chatsite.models.search_index`). The index restricts every query to its owner, and
the code that loads the rows checks the owner again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from chatsite.database import db, write_transaction
from chatsite.database_connections import allow_slow_statements
from chatsite.models.search_folding import fold_letters
from chatsite.models.search_index import ID_BITS, MAX_SECONDS, populate_indexes, postgresql_sort_key, sqlite_sort_key
from chatsite.models.search_segmentation import segment_text
from chatsite.services.search.query import Query, Term

MAX_SORT_KEY = (MAX_SECONDS + 1 << ID_BITS) - 1


@dataclass(frozen=True)
class SortKeyRange:
    """A range of sort keys, from `lowest` to below `end`."""

    lowest: int = 0
    end: int = MAX_SORT_KEY + 1

    @classmethod
    def for_query(cls, query: Query, end: int | None = None) -> SortKeyRange:
        """Return the range of the dates of a query, cut off at `end`, the last sort key of the page before."""
        until_key = _unix_seconds(query.until) << ID_BITS if query.until else MAX_SORT_KEY + 1
        since_key = _unix_seconds(query.since) << ID_BITS if query.since else 0
        return cls(since_key, min(until_key, MAX_SORT_KEY + 1 if end is None else end))


def message_id_of(sort_key: int) -> int:
    """Return the id of the row of a sort key, which is its lowest ID_BITS bits."""
    return sort_key & (1 << ID_BITS) - 1


def newest_messages(user_id: int, query: Query, key_range: SortKeyRange, *, limit: int) -> Sequence[int]:
    """Return the sort keys of a user's messages that match, at most `limit`, the newest first."""
    if _is_sqlite():
        return _select_sort_keys(
            SQLITE_NEWEST_SQL.format("message_fts"), key_range, limit, match=_fts5_query(user_id, query, "text")
        )
    tsquery, values = _build_tsquery(user_id, query)
    return _select_sort_keys(
        POSTGRESQL_NEWEST_SQL.format("message_search", tsquery), key_range, limit, user=user_id, **values
    )


def newest_titles(user_id: int, query: Query, key_range: SortKeyRange, *, limit: int) -> Sequence[int]:
    """Return the sort keys of a user's conversations whose titles match, at most `limit`, the newest first."""
    if _is_sqlite():
        return _select_sort_keys(
            SQLITE_NEWEST_SQL.format("conversation_fts"), key_range, limit, match=_fts5_query(user_id, query, "title")
        )
    tsquery, values = _build_tsquery(user_id, query)
    return _select_sort_keys(
        POSTGRESQL_NEWEST_SQL.format("conversation_search", tsquery), key_range, limit, user=user_id, **values
    )


def count_drift() -> int:
    """Count the messages that the index lacks or wrongly contains; this reads all of them."""
    sort_key, indexed = (
        (sqlite_sort_key("m"), "SELECT id AS sort_key FROM message_fts_docsize")
        if _is_sqlite()
        else (postgresql_sort_key("m"), "SELECT sort_key FROM message_search")
    )
    allow_slow_statements(db.session.connection())
    return int(db.session.scalars(text(DRIFT_SQL.format(sort_key, indexed))).one())


def rebuild_indexes() -> None:
    """Delete the contents of the search indexes and index all messages and titles again."""
    with write_transaction() as tx:
        allow_slow_statements(tx.connection())
        populate_indexes(tx.connection())


DRIFT_SQL = """
WITH stored AS (
    SELECT {0} AS sort_key FROM message m JOIN conversation c ON c.id = m.conversation_id
    WHERE m.text <> '' AND c.expires_at IS NULL
), indexed AS ({1})
SELECT (SELECT count(*) FROM stored WHERE sort_key NOT IN (SELECT sort_key FROM indexed))
    + (SELECT count(*) FROM indexed WHERE sort_key NOT IN (SELECT sort_key FROM stored))
"""
# The rowid is the sort key: FTS5 returns matches in this order without sorting them, and stops at the limit.
SQLITE_NEWEST_SQL = """
SELECT rowid FROM {0} WHERE {0} MATCH :match AND rowid >= :lowest AND rowid < :end ORDER BY rowid DESC LIMIT :limit
"""
# `user_id` repeats the owner of `tsv`, so that PostgreSQL can choose: for frequent words it walks the index on
# (user_id, sort_key) backward and stops at the limit, for rare ones it uses the inverted index and sorts few rows.
POSTGRESQL_NEWEST_SQL = """
SELECT sort_key FROM {0} WHERE user_id = :user AND tsv @@ ({1}) AND sort_key >= :lowest AND sort_key < :end
ORDER BY sort_key DESC LIMIT :limit
"""


def _select_sort_keys(statement: str, key_range: SortKeyRange, limit: int, **values: object) -> Sequence[int]:
    parameters = {"lowest": key_range.lowest, "end": key_range.end, "limit": limit, **values}
    return db.session.scalars(text(statement), parameters).all()


def _fts5_query(user_id: int, query: Query, column: str) -> str:
    """Return the query as an FTS5 expression; each term is quoted, so that no part of it is an operator."""
    required = [f'owner:"u{user_id}"', *(_quote_term(column, term) for term in query.words)]
    excluded = [_quote_term(column, term) for term in query.excluded_words]
    if column == "text":
        required += [_quote_term("model", term) for term in query.models]
        required += [f'role:"{query.role}"'] if query.role else []
        excluded += [_quote_term("model", term) for term in query.excluded_models]
    # FTS5 has no unary NOT; there always is a left side, since the owner is required.
    required_terms = " AND ".join(required)
    return f"({required_terms}) NOT ({' OR '.join(excluded)})" if excluded else required_terms


def _quote_term(column: str, term: Term) -> str:
    words = segment_text(term.text)
    # Names of models are not folded, because they are not written in two ways.
    escaped = (words if column == "model" else fold_letters(words)).replace('"', '""')
    return f'{column}:"{escaped}"' + ("*" if term.is_prefix else "")


def _build_tsquery(user_id: int, query: Query) -> tuple[str, dict[str, object]]:
    """Return the query as a PostgreSQL expression with parameters, and the values of the parameters."""
    # Owner and role are lexemes with a slash, which `search_fold` removes from all texts: no text can contain them, and
    # the inverted index itself restricts the matches to the user.
    values: dict[str, object] = {"owner": f"'/u{user_id}'"}
    parts = ["CAST(:owner AS tsquery)"]
    if query.role:
        values["role"] = f"'/{query.role}'"
        parts.append("CAST(:role AS tsquery)")
    for expression, term in _term_expressions(query):
        name = f"term{len(values)}"
        values[name] = term.text
        parts.append(expression.format(f":{name}"))
    return " && ".join(parts), values


PHRASE_SQL = "phraseto_tsquery('simple', search_fold({}))"
# `phraseto_tsquery` knows no prefixes, so `:*` is appended to the text of its result. A term without any letter gives
# an empty text, and NULL instead of a syntax error.
PREFIX_SQL = "CAST(nullif(CAST(phraseto_tsquery('simple', search_fold({})) AS text), '') || ':*' AS tsquery)"
# The words of model names are lexemes with the prefix `/m`, so that they do not match the same words in texts.
MODEL_SQL = (
    "CAST((SELECT string_agg(quote_literal(each){}, ' & ') FROM unnest(search_lexemes('/m', {{}})) AS each) AS tsquery)"
)


def _term_expressions(query: Query) -> Iterator[tuple[str, Term]]:
    """Yield the PostgreSQL expression and the term of each word and each model of the query."""
    for term in query.words:
        yield (PREFIX_SQL if term.is_prefix else PHRASE_SQL), term
    for term in query.excluded_words:
        yield "!! " + (PREFIX_SQL if term.is_prefix else PHRASE_SQL), term
    for term in query.models:
        yield _model_expression(term), term
    for term in query.excluded_models:
        yield "!! " + _model_expression(term), term


def _model_expression(term: Term) -> str:
    return MODEL_SQL.format(" || ':*'" if term.is_prefix else "")


def _unix_seconds(timestamp: datetime) -> int:
    # The same bounds as in the sort keys (`sqlite_sort_key`), which have no room for other times.
    return max(0, min(int(timestamp.timestamp()), MAX_SECONDS))


def _is_sqlite() -> bool:
    return db.engine.dialect.name == "sqlite"
