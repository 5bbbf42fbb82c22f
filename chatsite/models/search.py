"""What can be searched: an index over messages and one over titles, which the database itself keeps true by triggers.

Both have no classes: they are asked in the database's own language (`chatsite.services.search_indexes`). What each row
holds first is whose it is. A row's place, `seconds << 30 | id`, is in the order of time, so that the newest come first
and a range of time is a range of places. Conversations with an end (temporary ones) are never in them, nor are empty
texts; those in the trash are, and are left out when somebody asks.
"""

# Nothing that anybody typed is in these statements, which are put together of pieces of our own.
# ruff: noqa: S608

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, MetaData, event, text

from chatsite.database import Base

ID_BITS = 30
# SQLite's numbers have 64 bits; what was written after the year 2242 or before 1970 keeps no order among itself.
LATEST = 2**33 - 2
TABLES = ("message_fts", "conversation_fts", "message_search", "conversation_search")


def sqlite_place(row: str) -> str:
    """Where a row stands in the order of time, as an expression of SQLite."""
    return f"(max(0, min(unixepoch({row}.created_at), {LATEST})) << {ID_BITS} | {row}.id)"


def postgresql_place(row: str) -> str:
    """Where a row stands in the order of time, as an expression of PostgreSQL."""
    seconds = f"floor(extract(epoch FROM {row}.created_at))::bigint"
    return f"(greatest(0, least({seconds}, {LATEST})) << {ID_BITS} | {row}.id)"


SQLITE_MESSAGES = f"""
INSERT INTO message_fts (rowid, owner, role, model, text)
SELECT {sqlite_place("m")}, 'u' || c.user_id, m.role, coalesce(g.model, ''), m.text
FROM message m
JOIN conversation c ON c.id = m.conversation_id
LEFT JOIN generation g ON g.message_id = m.id AND g.newest
WHERE m.text <> '' AND c.expires_at IS NULL"""

SQLITE_MESSAGE = f"""
DELETE FROM message_fts WHERE rowid = (
    SELECT {sqlite_place("m")} FROM message m WHERE m.id = NEW.message_id AND m.text <> ''
);{SQLITE_MESSAGES} AND m.id = NEW.message_id;"""

SQLITE_TITLES = f"""
INSERT INTO conversation_fts (rowid, owner, title)
SELECT {sqlite_place("c")}, 'u' || c.user_id, c.title FROM conversation c WHERE c.expires_at IS NULL"""

SQLITE = (
    """CREATE VIRTUAL TABLE message_fts USING fts5(
    owner, role, model, text,
    content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
)""",
    """CREATE VIRTUAL TABLE conversation_fts USING fts5(
    owner, title, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
)""",
    f"""CREATE TRIGGER message_search_insert AFTER INSERT ON message WHEN NEW.text <> '' BEGIN
{SQLITE_MESSAGES} AND m.id = NEW.id;
END""",
    f"""CREATE TRIGGER message_search_update AFTER UPDATE OF text, role, created_at, conversation_id ON message BEGIN
DELETE FROM message_fts WHERE rowid = {sqlite_place("OLD")};
{SQLITE_MESSAGES} AND m.id = NEW.id;
END""",
    f"""CREATE TRIGGER message_search_delete AFTER DELETE ON message BEGIN
DELETE FROM message_fts WHERE rowid = {sqlite_place("OLD")};
END""",
    f"""CREATE TRIGGER generation_search_insert AFTER INSERT ON generation
WHEN NEW.newest AND NEW.model IS NOT NULL BEGIN
{SQLITE_MESSAGE}
END""",
    f"""CREATE TRIGGER generation_search_update AFTER UPDATE OF model, newest ON generation
WHEN NEW.newest AND (NEW.model IS NOT OLD.model OR NOT OLD.newest) BEGIN
{SQLITE_MESSAGE}
END""",
    f"""CREATE TRIGGER conversation_search_insert AFTER INSERT ON conversation WHEN NEW.expires_at IS NULL BEGIN
{SQLITE_TITLES} AND c.id = NEW.id;
END""",
    f"""CREATE TRIGGER conversation_search_update AFTER UPDATE OF title, user_id, created_at, expires_at ON conversation
BEGIN
DELETE FROM conversation_fts WHERE rowid = {sqlite_place("OLD")};
{SQLITE_TITLES} AND c.id = NEW.id;
END""",
    f"""CREATE TRIGGER conversation_search_move AFTER UPDATE OF user_id, expires_at ON conversation
WHEN NEW.user_id <> OLD.user_id OR (NEW.expires_at IS NULL) <> (OLD.expires_at IS NULL) BEGIN
DELETE FROM message_fts WHERE rowid IN (SELECT {sqlite_place("m")} FROM message m WHERE m.conversation_id = NEW.id);
{SQLITE_MESSAGES} AND c.id = NEW.id;
END""",
    f"""CREATE TRIGGER conversation_search_delete AFTER DELETE ON conversation BEGIN
DELETE FROM conversation_fts WHERE rowid = {sqlite_place("OLD")};
END""",
)
# What fills the indexes when there are rows already.
SQLITE_FILL = (SQLITE_MESSAGES, SQLITE_TITLES)

# Letters without their accents, and everything that is neither letter nor digit as a space: the parser of PostgreSQL
# would else take `node.js` for a host. Longer texts than a tsvector can hold are cut.
POSTGRESQL_FOLD = r"""CREATE FUNCTION search_fold(words text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT regexp_replace(
    regexp_replace(normalize(left(words, 200000), NFD), '[\u0300-\u036f]+', '', 'g'),
    '[\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf'
    '\u2000-\u206f\u3000-\u303f]+', ' ', 'g')
$$"""

POSTGRESQL_MESSAGES = f"""
INSERT INTO message_search (message_id, user_id, place, words)
SELECT m.id, c.user_id, {postgresql_place("m")},
    array_to_tsvector(ARRAY['/u' || c.user_id, '/' || m.role] || search_lexemes('/m', coalesce(g.model, '')))
    || to_tsvector('simple', search_fold(m.text))
FROM message m
JOIN conversation c ON c.id = m.conversation_id
LEFT JOIN generation g ON g.message_id = m.id AND g.newest
WHERE m.text <> '' AND c.expires_at IS NULL"""

POSTGRESQL_TITLES = f"""
INSERT INTO conversation_search (conversation_id, user_id, place, words)
SELECT c.id, c.user_id, {postgresql_place("c")},
    array_to_tsvector(ARRAY['/u' || c.user_id]) || to_tsvector('simple', search_fold(c.title))
FROM conversation c WHERE c.expires_at IS NULL"""


def _side_table(noun: str) -> tuple[str, ...]:
    """A table of PostgreSQL beside the one of a noun, with its indexes."""
    return (
        f"""CREATE TABLE {noun}_search (
    {noun}_id integer CONSTRAINT pk_{noun}_search PRIMARY KEY
        CONSTRAINT fk_{noun}_search_{noun}_id REFERENCES {noun} (id) ON DELETE CASCADE,
    user_id integer NOT NULL,
    place bigint NOT NULL,
    words tsvector NOT NULL
)""",
        f"CREATE INDEX ix_{noun}_search_words ON {noun}_search USING gin (words)",
        f"CREATE INDEX ix_{noun}_search_user_id_place ON {noun}_search (user_id, place)",
    )


def _trigger(name: str, when: str, table: str, body: str) -> tuple[str, str]:
    """A trigger of PostgreSQL and the function that it calls; `when` may end with a condition."""
    moment, _, condition = when.partition(" WHEN ")
    only = f" WHEN ({condition})" if condition else ""
    return (
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN{body}\nRETURN NULL;\nEND $$",
        f"CREATE TRIGGER {name} AFTER {moment} ON {table} FOR EACH ROW{only} EXECUTE FUNCTION {name}()",
    )


def _again(noun: str, row: str, fill: str, alias: str) -> str:
    """Index one row anew."""
    return f"\nDELETE FROM {noun}_search WHERE {noun}_id = {row};{fill} AND {alias}.id = {row};"


POSTGRESQL = (
    POSTGRESQL_FOLD,
    """CREATE FUNCTION search_lexemes(mark text, words text) RETURNS text[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
SELECT coalesce(array_agg(mark || lexeme), '{}') FROM unnest(to_tsvector('simple', search_fold(words)))
$$""",
    *_side_table("message"),
    *_side_table("conversation"),
    *_trigger(
        "message_search_insert",
        "INSERT WHEN NEW.text <> ''",
        "message",
        f"{POSTGRESQL_MESSAGES} AND m.id = NEW.id;",
    ),
    *_trigger(
        "message_search_update",
        "UPDATE OF text, role, created_at, conversation_id",
        "message",
        _again("message", "NEW.id", POSTGRESQL_MESSAGES, "m"),
    ),
    *_trigger(
        "generation_search_insert",
        "INSERT WHEN NEW.newest AND NEW.model IS NOT NULL",
        "generation",
        _again("message", "NEW.message_id", POSTGRESQL_MESSAGES, "m"),
    ),
    *_trigger(
        "generation_search_update",
        "UPDATE OF model, newest WHEN NEW.newest AND (NEW.model IS DISTINCT FROM OLD.model OR NOT OLD.newest)",
        "generation",
        _again("message", "NEW.message_id", POSTGRESQL_MESSAGES, "m"),
    ),
    *_trigger(
        "conversation_search_insert",
        "INSERT WHEN NEW.expires_at IS NULL",
        "conversation",
        f"{POSTGRESQL_TITLES} AND c.id = NEW.id;",
    ),
    *_trigger(
        "conversation_search_update",
        "UPDATE OF title, user_id, created_at, expires_at",
        "conversation",
        _again("conversation", "NEW.id", POSTGRESQL_TITLES, "c"),
    ),
    *_trigger(
        "conversation_search_move",
        "UPDATE OF user_id, expires_at"
        " WHEN NEW.user_id <> OLD.user_id OR (NEW.expires_at IS NULL) <> (OLD.expires_at IS NULL)",
        "conversation",
        "\nDELETE FROM message_search WHERE message_id IN (SELECT id FROM message WHERE conversation_id = NEW.id);"
        f"{POSTGRESQL_MESSAGES} AND c.id = NEW.id;",
    ),
)
POSTGRESQL_FILL = (POSTGRESQL_MESSAGES, POSTGRESQL_TITLES)
# Triggers go with their tables, but not what they call.
POSTGRESQL_FUNCTIONS = tuple(
    each.split("(")[0].split()[-1] for each in POSTGRESQL if each.startswith("CREATE FUNCTION")
)


def include_name(name: str | None, kind: str, _parents: object) -> bool:
    """Whether a thing of the database is described by the models; Alembic would drop what is not."""
    return kind != "table" or not (name or "").startswith(TABLES)


def fill(connection: Connection) -> None:
    """Index everything anew, in the transaction under way."""
    sqlite = connection.dialect.name == "sqlite"
    for table in TABLES[:2] if sqlite else TABLES[2:]:
        emptied = f"INSERT INTO {table} ({table}) VALUES ('delete-all')" if sqlite else f"DELETE FROM {table}"
        connection.exec_driver_sql(emptied)
    for each in SQLITE_FILL if sqlite else POSTGRESQL_FILL:
        connection.exec_driver_sql(each)


def statements(dialect: str) -> tuple[str, ...]:
    """What makes the indexes and their triggers."""
    return SQLITE if dialect == "sqlite" else POSTGRESQL


@event.listens_for(Base.metadata, "after_create")
def _create(_target: MetaData, connection: Connection, **_: Any) -> None:
    if not _exists(connection):
        for each in statements(connection.dialect.name):
            connection.exec_driver_sql(each)


@event.listens_for(Base.metadata, "before_drop")
def _drop(_target: MetaData, connection: Connection, **_: Any) -> None:
    """Drop what hangs on the tables, so that these can be dropped after it."""
    sqlite = connection.dialect.name == "sqlite"
    for table in TABLES[:2] if sqlite else TABLES[2:]:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}")
    for function in () if sqlite else POSTGRESQL_FUNCTIONS:
        connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {function} CASCADE")


def _exists(connection: Connection) -> bool:
    asked = {
        "sqlite": "SELECT 1 FROM sqlite_master WHERE name = 'message_fts'",
        "postgresql": "SELECT 1 WHERE to_regclass('message_search') IS NOT NULL",
    }
    return connection.execute(text(asked[connection.dialect.name])).first() is not None
