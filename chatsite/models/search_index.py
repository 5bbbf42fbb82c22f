"""Search indexes over messages and titles, which the database keeps up to date by triggers.

They have no model classes: `chatsite.services.search.indexes` queries them in the SQL of each database. Each indexed
row begins with its owner. Its sort key, `seconds << 30 | id`, is in the order of time, so that newest first is a
backward scan of the index and a range of dates is a range of keys. Temporary chats (`expires_at`) and empty texts are
never indexed; conversations in the trash are, and the query leaves them out.
"""

# These statements are built from constants of this module only, never from input.
# ruff: noqa: S608

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, MetaData, event, text

from chatsite.database import Base
from chatsite.models.search_folding import sql_folded_text
from chatsite.models.search_segmentation import POSTGRESQL_SEGMENT_FUNCTION, sqlite_segmented_text

ID_BITS = 30
# A key has to fit into the 64 bits of an SQLite integer. Rows before 1970 or after 2242 are sorted by id only.
MAX_SECONDS = 2**33 - 2
INDEX_TABLES = ("message_fts", "conversation_fts", "message_search", "conversation_search")


def sqlite_sort_key(row: str) -> str:
    """Return the sort key of the table or alias `row`, as an SQLite expression."""
    return f"(max(0, min(unixepoch({row}.created_at), {MAX_SECONDS})) << {ID_BITS} | {row}.id)"


def postgresql_sort_key(row: str) -> str:
    """Return the sort key of the table or alias `row`, as a PostgreSQL expression."""
    seconds = f"floor(extract(epoch FROM {row}.created_at))::bigint"
    return f"(greatest(0, least({seconds}, {MAX_SECONDS})) << {ID_BITS} | {row}.id)"


def _sqlite_indexed_text(column: str) -> str:
    # The letters of other scripts first: their expression names the column several times.
    return sql_folded_text(sqlite_segmented_text(column))


SQLITE_INDEX_MESSAGES = f"""
INSERT INTO message_fts (rowid, owner, role, model, text)
SELECT {sqlite_sort_key("m")}, 'u' || c.user_id, m.role, coalesce(g.model, ''), {_sqlite_indexed_text("m.text")}
FROM message m
JOIN conversation c ON c.id = m.conversation_id
LEFT JOIN generation g ON g.message_id = m.id AND g.is_latest
WHERE m.text <> '' AND c.expires_at IS NULL"""

# The model of an answer belongs to its generation, which is stored after the message and may be replaced by a rerun. A
# contentless row cannot be changed column by column, so it is deleted and inserted again.
SQLITE_REINDEX_MESSAGE = f"""
DELETE FROM message_fts WHERE rowid = (
    SELECT {sqlite_sort_key("m")} FROM message m WHERE m.id = NEW.message_id AND m.text <> ''
);{SQLITE_INDEX_MESSAGES} AND m.id = NEW.message_id;"""

SQLITE_INDEX_TITLES = f"""
INSERT INTO conversation_fts (rowid, owner, title)
SELECT {sqlite_sort_key("c")}, 'u' || c.user_id, {_sqlite_indexed_text("c.title")}
FROM conversation c WHERE c.expires_at IS NULL"""

# `content = ''` keeps no second copy of the texts, and `contentless_delete` allows rows to be deleted all the same. The
# prefix indexes of two and three characters make a search fast while it is typed.
SQLITE_DDL = (
    """CREATE VIRTUAL TABLE message_fts USING fts5(
    owner, role, model, text,
    content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
)""",
    """CREATE VIRTUAL TABLE conversation_fts USING fts5(
    owner, title, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
)""",
    f"""CREATE TRIGGER message_search_insert AFTER INSERT ON message WHEN NEW.text <> '' BEGIN
{SQLITE_INDEX_MESSAGES} AND m.id = NEW.id;
END""",
    f"""CREATE TRIGGER message_search_update AFTER UPDATE OF text, role, created_at, conversation_id ON message BEGIN
DELETE FROM message_fts WHERE rowid = {sqlite_sort_key("OLD")};
{SQLITE_INDEX_MESSAGES} AND m.id = NEW.id;
END""",
    f"""CREATE TRIGGER message_search_delete AFTER DELETE ON message BEGIN
DELETE FROM message_fts WHERE rowid = {sqlite_sort_key("OLD")};
END""",
    f"""CREATE TRIGGER generation_search_insert AFTER INSERT ON generation
WHEN NEW.is_latest AND NEW.model IS NOT NULL BEGIN
{SQLITE_REINDEX_MESSAGE}
END""",
    f"""CREATE TRIGGER generation_search_update AFTER UPDATE OF model, is_latest ON generation
WHEN NEW.is_latest AND (NEW.model IS NOT OLD.model OR NOT OLD.is_latest) BEGIN
{SQLITE_REINDEX_MESSAGE}
END""",
    f"""CREATE TRIGGER conversation_search_insert AFTER INSERT ON conversation WHEN NEW.expires_at IS NULL BEGIN
{SQLITE_INDEX_TITLES} AND c.id = NEW.id;
END""",
    f"""CREATE TRIGGER conversation_search_update AFTER UPDATE OF title, user_id, created_at, expires_at ON conversation
BEGIN
DELETE FROM conversation_fts WHERE rowid = {sqlite_sort_key("OLD")};
{SQLITE_INDEX_TITLES} AND c.id = NEW.id;
END""",
    # The owner changes when users are merged, and `expires_at` when a temporary chat is kept.
    f"""CREATE TRIGGER conversation_search_move AFTER UPDATE OF user_id, expires_at ON conversation
WHEN NEW.user_id <> OLD.user_id OR (NEW.expires_at IS NULL) <> (OLD.expires_at IS NULL) BEGIN
DELETE FROM message_fts WHERE rowid IN (SELECT {sqlite_sort_key("m")} FROM message m WHERE m.conversation_id = NEW.id);
{SQLITE_INDEX_MESSAGES} AND c.id = NEW.id;
END""",
    f"""CREATE TRIGGER conversation_search_delete AFTER DELETE ON conversation BEGIN
DELETE FROM conversation_fts WHERE rowid = {sqlite_sort_key("OLD")};
END""",
)
# Statements that index the rows which exist already.
SQLITE_POPULATE = (SQLITE_INDEX_MESSAGES, SQLITE_INDEX_TITLES)

# Removes accents, folds letters, and replaces everything but letters and digits by spaces: the parser of PostgreSQL
# would otherwise take `node.js` for a host name. Longer texts are cut, since a tsvector is limited to a megabyte.
FOLDED_WORDS = sql_folded_text("search_segment(left(words, 200000))")
POSTGRESQL_FOLD_FUNCTION = rf"""CREATE FUNCTION search_fold(words text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT regexp_replace(
    regexp_replace(normalize({FOLDED_WORDS}, NFD), '[\u0300-\u036f]+', '', 'g'),
    '[\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf'
    '\u2000-\u206f\u3000-\u303f]+', ' ', 'g')
$$"""

POSTGRESQL_INDEX_MESSAGES = f"""
INSERT INTO message_search (message_id, user_id, sort_key, tsv)
SELECT m.id, c.user_id, {postgresql_sort_key("m")},
    array_to_tsvector(ARRAY['/u' || c.user_id, '/' || m.role] || search_lexemes('/m', coalesce(g.model, '')))
    || to_tsvector('simple', search_fold(m.text))
FROM message m
JOIN conversation c ON c.id = m.conversation_id
LEFT JOIN generation g ON g.message_id = m.id AND g.is_latest
WHERE m.text <> '' AND c.expires_at IS NULL"""

POSTGRESQL_INDEX_TITLES = f"""
INSERT INTO conversation_search (conversation_id, user_id, sort_key, tsv)
SELECT c.id, c.user_id, {postgresql_sort_key("c")},
    array_to_tsvector(ARRAY['/u' || c.user_id]) || to_tsvector('simple', search_fold(c.title))
FROM conversation c WHERE c.expires_at IS NULL"""


def _index_table_ddl(noun: str) -> tuple[str, ...]:
    """Return the PostgreSQL statements that create the index table of `noun`, and its indexes."""
    return (
        f"""CREATE TABLE {noun}_search (
    {noun}_id integer CONSTRAINT pk_{noun}_search PRIMARY KEY
        CONSTRAINT fk_{noun}_search_{noun}_id REFERENCES {noun} (id) ON DELETE CASCADE,
    user_id integer NOT NULL,
    sort_key bigint NOT NULL,
    tsv tsvector NOT NULL
)""",
        f"CREATE INDEX ix_{noun}_search_tsv ON {noun}_search USING gin (tsv)",
        f"CREATE INDEX ix_{noun}_search_user_id_sort_key ON {noun}_search (user_id, sort_key)",
    )


def _trigger_ddl(name: str, event_and_condition: str, table: str, *, body: str) -> tuple[str, str]:
    """Return the PostgreSQL statements that create a trigger and the function that it calls.

    `event_and_condition` is the event, such as `UPDATE OF text`, and may end with ` WHEN ` and a condition.
    """
    trigger_event, _, condition = event_and_condition.partition(" WHEN ")
    when_clause = f" WHEN ({condition})" if condition else ""
    return (
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN{body}\nRETURN NULL;\nEND $$",
        f"CREATE TRIGGER {name} AFTER {trigger_event} ON {table} FOR EACH ROW{when_clause} EXECUTE FUNCTION {name}()",
    )


def _reindex_row_sql(noun: str, row_id: str, populate_sql: str, *, alias: str) -> str:
    """Return the statements that index one row again."""
    return f"\nDELETE FROM {noun}_search WHERE {noun}_id = {row_id};{populate_sql} AND {alias}.id = {row_id};"


POSTGRESQL_DDL = (
    POSTGRESQL_SEGMENT_FUNCTION,
    POSTGRESQL_FOLD_FUNCTION,
    """CREATE FUNCTION search_lexemes(mark text, words text) RETURNS text[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
SELECT coalesce(array_agg(mark || lexeme), '{}') FROM unnest(to_tsvector('simple', search_fold(words)))
$$""",
    *_index_table_ddl("message"),
    *_index_table_ddl("conversation"),
    *_trigger_ddl(
        "message_search_insert",
        "INSERT WHEN NEW.text <> ''",
        "message",
        body=f"{POSTGRESQL_INDEX_MESSAGES} AND m.id = NEW.id;",
    ),
    *_trigger_ddl(
        "message_search_update",
        "UPDATE OF text, role, created_at, conversation_id",
        "message",
        body=_reindex_row_sql("message", "NEW.id", POSTGRESQL_INDEX_MESSAGES, alias="m"),
    ),
    *_trigger_ddl(
        "generation_search_insert",
        "INSERT WHEN NEW.is_latest AND NEW.model IS NOT NULL",
        "generation",
        body=_reindex_row_sql("message", "NEW.message_id", POSTGRESQL_INDEX_MESSAGES, alias="m"),
    ),
    *_trigger_ddl(
        "generation_search_update",
        "UPDATE OF model, is_latest WHEN NEW.is_latest AND (NEW.model IS DISTINCT FROM OLD.model OR NOT OLD.is_latest)",
        "generation",
        body=_reindex_row_sql("message", "NEW.message_id", POSTGRESQL_INDEX_MESSAGES, alias="m"),
    ),
    *_trigger_ddl(
        "conversation_search_insert",
        "INSERT WHEN NEW.expires_at IS NULL",
        "conversation",
        body=f"{POSTGRESQL_INDEX_TITLES} AND c.id = NEW.id;",
    ),
    *_trigger_ddl(
        "conversation_search_update",
        "UPDATE OF title, user_id, created_at, expires_at",
        "conversation",
        body=_reindex_row_sql("conversation", "NEW.id", POSTGRESQL_INDEX_TITLES, alias="c"),
    ),
    *_trigger_ddl(
        "conversation_search_move",
        "UPDATE OF user_id, expires_at"
        " WHEN NEW.user_id <> OLD.user_id OR (NEW.expires_at IS NULL) <> (OLD.expires_at IS NULL)",
        "conversation",
        body="\nDELETE FROM message_search WHERE message_id IN (SELECT id FROM message WHERE conversation_id = NEW.id);"
        f"{POSTGRESQL_INDEX_MESSAGES} AND c.id = NEW.id;",
    ),
)
POSTGRESQL_POPULATE = (POSTGRESQL_INDEX_MESSAGES, POSTGRESQL_INDEX_TITLES)
# Triggers are dropped with their tables, but the functions that they call are not.
POSTGRESQL_FUNCTIONS = tuple(
    each.split("(")[0].split()[-1] for each in POSTGRESQL_DDL if each.startswith("CREATE FUNCTION")
)


def include_name(name: str | None, kind: str, _parents: object) -> bool:
    """Return whether Alembic should compare a database object with the models; it would drop the index tables."""
    return kind != "table" or not (name or "").startswith(INDEX_TABLES)


def populate_indexes(connection: Connection) -> None:
    """Index all messages and titles again, in the transaction of `connection`."""
    sqlite = connection.dialect.name == "sqlite"
    for table in INDEX_TABLES[:2] if sqlite else INDEX_TABLES[2:]:
        delete_all = f"INSERT INTO {table} ({table}) VALUES ('delete-all')" if sqlite else f"DELETE FROM {table}"
        connection.exec_driver_sql(delete_all)
    for each in SQLITE_POPULATE if sqlite else POSTGRESQL_POPULATE:
        connection.exec_driver_sql(each)


def ddl_statements(dialect: str) -> tuple[str, ...]:
    """Return the statements that create the indexes and their triggers in the SQL of `dialect`."""
    return SQLITE_DDL if dialect == "sqlite" else POSTGRESQL_DDL


@event.listens_for(Base.metadata, "after_create")
def _create_indexes(_target: MetaData, connection: Connection, **_: Any) -> None:
    if not _indexes_exist(connection):
        for each in ddl_statements(connection.dialect.name):
            connection.exec_driver_sql(each)


@event.listens_for(Base.metadata, "before_drop")
def _drop_indexes(_target: MetaData, connection: Connection, **_: Any) -> None:
    """Drop the index tables and functions, so that the tables they depend on can be dropped."""
    sqlite = connection.dialect.name == "sqlite"
    for table in INDEX_TABLES[:2] if sqlite else INDEX_TABLES[2:]:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}")
    for function in () if sqlite else POSTGRESQL_FUNCTIONS:
        connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {function} CASCADE")


def _indexes_exist(connection: Connection) -> bool:
    queries = {
        "sqlite": "SELECT 1 FROM sqlite_master WHERE name = 'message_fts'",
        "postgresql": "SELECT 1 WHERE to_regclass('message_search') IS NOT NULL",
    }
    return connection.execute(text(queries[connection.dialect.name])).first() is not None
