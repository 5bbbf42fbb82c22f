"""names: columns, indexes and constraints with the words of docs/glossary.md; no row moves"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

COLUMNS = {
    "conversation": {
        "client_token": "idempotency_key",
        "numbers": "generation_options",
        "leaf_id": "active_leaf_id",
        "origin": "import_source_id",
        "draft": "draft_text",
    },
    "message": {
        "shown": "is_active",
        "comparing": "in_comparison",
        "client_token": "idempotency_key",
        "origin": "import_source_id",
    },
    "generation": {
        "newest": "is_latest",
        "numbers": "generation_options",
        "takes_over": "model_changed",
        "resets": "settings_changed",
        "attempt": "attempts",
        "owner": "lease_owner",
        "seq": "last_seq",
        "tokens": "token_count",
        "receipt": "prompt_report",
    },
    "chunk": {"fresh": "restarts"},
    "import": {
        "size": "size_bytes",
        "bytes_done": "processed_bytes",
        "imported": "imported_count",
        "present": "duplicate_count",
        "skipped": "skipped_count",
        "messages": "message_count",
        "owner": "lease_owner",
        "attempt": "attempts",
    },
    "model": {
        "state": "download_state",
        "wish": "requested_action",
        "reason": "error",
        "loading": "is_loading",
        "loaded": "is_loaded",
        "batched": "is_batched",
        "seen_at": "reported_at",
    },
    "persona": {"numbers": "generation_options"},
    "runner": {"owner": "id", "reason": "error", "seen_at": "heartbeat_at"},
    "share": {"pages": "page_end_ids"},
    "tag": {"key": "normalized_name"},
    "undo": {"verb": "action", "before": "previous", "done": "is_undone"},
    "user": {"draft": "draft_text"},
}

UNIQUE_CONSTRAINTS = {
    "conversation": ("uq_conversation_user_id_client_token", "uq_conversation_user_id_idempotency_key"),
    "message": ("uq_message_conversation_id_client_token", "uq_message_conversation_id_idempotency_key"),
    "tag": ("uq_tag_user_id_key", "uq_tag_user_id_normalized_name"),
}

# Old name, new name, and what follows the name with the new columns.
INDEXES = (
    (
        "uq_conversation_origin",
        "uq_conversation_import_source_id",
        "conversation (user_id, {import_source_id}) WHERE {import_source_id} IS NOT NULL",
    ),
    ("uq_generation_newest", "uq_generation_latest", "generation (message_id) WHERE {is_latest}"),
    ("uq_message_shown", "uq_message_active", "message (parent_id) WHERE {is_active} = 1 AND parent_id IS NOT NULL"),
    (
        "uq_message_shown_root",
        "uq_message_active_root",
        "message (conversation_id) WHERE {is_active} = 1 AND parent_id IS NULL",
    ),
)

# What SQLite's triggers run; `sort key` is `seconds << 30 | id`.
SQLITE_INDEX_MESSAGES = """
INSERT INTO message_fts (rowid, owner, role, model, text)
SELECT (max(0, min(unixepoch(m.created_at), 8589934590)) << 30 | m.id), 'u' || c.user_id, m.role, coalesce(g.model, ''), m.text
FROM message m
JOIN conversation c ON c.id = m.conversation_id
LEFT JOIN generation g ON g.message_id = m.id AND g.{is_latest}
WHERE m.text <> '' AND c.expires_at IS NULL"""

SQLITE_REINDEX_MESSAGE = f"""
DELETE FROM message_fts WHERE rowid = (
    SELECT (max(0, min(unixepoch(m.created_at), 8589934590)) << 30 | m.id) FROM message m WHERE m.id = NEW.message_id AND m.text <> ''
);{SQLITE_INDEX_MESSAGES} AND m.id = NEW.message_id;"""

# The triggers that name a renamed column. They are made again, so that they read as the models write them.
SQLITE_TRIGGERS = {
    "message_search_insert": f"""AFTER INSERT ON message WHEN NEW.text <> '' BEGIN
{SQLITE_INDEX_MESSAGES} AND m.id = NEW.id;
END""",
    "message_search_update": f"""AFTER UPDATE OF text, role, created_at, conversation_id ON message BEGIN
DELETE FROM message_fts WHERE rowid = (max(0, min(unixepoch(OLD.created_at), 8589934590)) << 30 | OLD.id);
{SQLITE_INDEX_MESSAGES} AND m.id = NEW.id;
END""",
    "generation_search_insert": f"""AFTER INSERT ON generation
WHEN NEW.{{is_latest}} AND NEW.model IS NOT NULL BEGIN
{SQLITE_REINDEX_MESSAGE}
END""",
    "generation_search_update": f"""AFTER UPDATE OF model, {{is_latest}} ON generation
WHEN NEW.{{is_latest}} AND (NEW.model IS NOT OLD.model OR NOT OLD.{{is_latest}}) BEGIN
{SQLITE_REINDEX_MESSAGE}
END""",
    "conversation_search_move": f"""AFTER UPDATE OF user_id, expires_at ON conversation
WHEN NEW.user_id <> OLD.user_id OR (NEW.expires_at IS NULL) <> (OLD.expires_at IS NULL) BEGIN
DELETE FROM message_fts WHERE rowid IN (SELECT (max(0, min(unixepoch(m.created_at), 8589934590)) << 30 | m.id) FROM message m WHERE m.conversation_id = NEW.id);
{SQLITE_INDEX_MESSAGES} AND c.id = NEW.id;
END""",
}

# PostgreSQL keeps functions as texts, in which renaming a column changes nothing.
POSTGRESQL_INDEX_MESSAGES = """
INSERT INTO message_search (message_id, user_id, {sort_key}, {tsv})
SELECT m.id, c.user_id, (greatest(0, least(floor(extract(epoch FROM m.created_at))::bigint, 8589934590)) << 30 | m.id),
    array_to_tsvector(ARRAY['/u' || c.user_id, '/' || m.role] || search_lexemes('/m', coalesce(g.model, '')))
    || to_tsvector('simple', search_fold(m.text))
FROM message m
JOIN conversation c ON c.id = m.conversation_id
LEFT JOIN generation g ON g.message_id = m.id AND g.{is_latest}
WHERE m.text <> '' AND c.expires_at IS NULL"""

POSTGRESQL_INDEX_TITLES = """
INSERT INTO conversation_search (conversation_id, user_id, {sort_key}, {tsv})
SELECT c.id, c.user_id, (greatest(0, least(floor(extract(epoch FROM c.created_at))::bigint, 8589934590)) << 30 | c.id),
    array_to_tsvector(ARRAY['/u' || c.user_id]) || to_tsvector('simple', search_fold(c.title))
FROM conversation c WHERE c.expires_at IS NULL"""

POSTGRESQL_FUNCTIONS = {
    "message_search_insert": f"{POSTGRESQL_INDEX_MESSAGES} AND m.id = NEW.id;",
    "message_search_update": (
        f"\nDELETE FROM message_search WHERE message_id = NEW.id;{POSTGRESQL_INDEX_MESSAGES} AND m.id = NEW.id;"
    ),
    "generation_search_insert": (
        "\nDELETE FROM message_search WHERE message_id = NEW.message_id;"
        f"{POSTGRESQL_INDEX_MESSAGES} AND m.id = NEW.message_id;"
    ),
    "generation_search_update": (
        "\nDELETE FROM message_search WHERE message_id = NEW.message_id;"
        f"{POSTGRESQL_INDEX_MESSAGES} AND m.id = NEW.message_id;"
    ),
    "conversation_search_insert": f"{POSTGRESQL_INDEX_TITLES} AND c.id = NEW.id;",
    "conversation_search_update": (
        "\nDELETE FROM conversation_search WHERE conversation_id = NEW.id;"
        f"{POSTGRESQL_INDEX_TITLES} AND c.id = NEW.id;"
    ),
    "conversation_search_move": (
        "\nDELETE FROM message_search WHERE message_id IN (SELECT id FROM message WHERE conversation_id = NEW.id);"
        f"{POSTGRESQL_INDEX_MESSAGES} AND c.id = NEW.id;"
    ),
}

POSTGRESQL_SEARCH = {"place": "sort_key", "words": "tsv"}


def upgrade() -> None:
    _rename(forward=True)
    op.execute("UPDATE import_note SET outcome = 'duplicate' WHERE outcome = 'present'")


def downgrade() -> None:
    op.execute("UPDATE import_note SET outcome = 'present' WHERE outcome = 'duplicate'")
    _rename(forward=False)


def _rename(forward: bool) -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    # The triggers name the columns, and the columns the triggers have to name are there only afterwards.
    for name in SQLITE_TRIGGERS if sqlite else ():
        op.execute(f"DROP TRIGGER {name}")
    for table, columns in {**COLUMNS, **({} if sqlite else _postgresql_search_tables())}.items():
        for old, new in columns.items():
            source, target = (old, new) if forward else (new, old)
            op.execute(f'ALTER TABLE "{table}" RENAME COLUMN {source} TO {target}')
    (_rename_on_sqlite if sqlite else _rename_on_postgresql)(forward)


def _rename_on_sqlite(forward: bool) -> None:
    names = _column_names(forward)
    for old, new, definition in INDEXES:
        source, target = (old, new) if forward else (new, old)
        op.execute(f"DROP INDEX {source}")
        op.execute(f"CREATE UNIQUE INDEX {target} ON {definition.format(**names)}")
    for name, definition in SQLITE_TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {name} {definition.format(**names)}")
    # A constraint has its name in the text of its table only: SQLite reads it nowhere else, and cannot rename it.
    op.execute("PRAGMA writable_schema=ON")
    for table, (old, new) in UNIQUE_CONSTRAINTS.items():
        source, target = (old, new) if forward else (new, old)
        op.execute(
            f"UPDATE sqlite_schema SET sql = replace(sql, '{source}', '{target}')"
            f" WHERE type = 'table' AND name = '{table}'"
        )
    op.execute("PRAGMA writable_schema=RESET")


def _rename_on_postgresql(forward: bool) -> None:
    names = _column_names(forward)
    for old, new, _ in INDEXES:
        source, target = (old, new) if forward else (new, old)
        op.execute(f"ALTER INDEX {source} RENAME TO {target}")
    for table in ("message_search", "conversation_search"):
        for old, new in (("words", "tsv"), ("user_id_place", "user_id_sort_key")):
            source, target = (old, new) if forward else (new, old)
            op.execute(f"ALTER INDEX ix_{table}_{source} RENAME TO ix_{table}_{target}")
    for table, (old, new) in UNIQUE_CONSTRAINTS.items():
        source, target = (old, new) if forward else (new, old)
        op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT {source} TO {target}")
    for name, body in POSTGRESQL_FUNCTIONS.items():
        op.execute(
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN{body.format(**names)}\nRETURN NULL;\nEND $$"
        )


def _postgresql_search_tables() -> dict[str, dict[str, str]]:
    return {"message_search": POSTGRESQL_SEARCH, "conversation_search": POSTGRESQL_SEARCH}


def _column_names(forward: bool) -> dict[str, str]:
    """What the columns that the definitions above name are called after the renaming."""
    renamed = {**COLUMNS["conversation"], **COLUMNS["message"], **COLUMNS["generation"], **POSTGRESQL_SEARCH}
    return {new: new if forward else old for old, new in renamed.items()}
