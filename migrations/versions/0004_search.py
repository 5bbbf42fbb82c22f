"""search: an index over messages and one over titles, kept true by triggers"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SQLITE = (
    """CREATE VIRTUAL TABLE message_fts USING fts5(
    owner, role, model, text,
    content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
)""",
    """CREATE VIRTUAL TABLE conversation_fts USING fts5(
    owner, title, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
)""",
    """CREATE TRIGGER message_search_insert AFTER INSERT ON message WHEN NEW.text <> '' BEGIN

INSERT INTO message_fts (rowid, owner, role, model, text)
SELECT (max(0, min(unixepoch(m.created_at), 8589934590)) << 30 | m.id), 'u' || c.user_id, m.role, coalesce(g.model, ''), m.text
FROM message m
JOIN conversation c ON c.id = m.conversation_id
LEFT JOIN generation g ON g.message_id = m.id AND g.newest
WHERE m.text <> '' AND c.expires_at IS NULL AND m.id = NEW.id;
END""",
    """CREATE TRIGGER message_search_update AFTER UPDATE OF text, role, created_at, conversation_id ON message BEGIN
DELETE FROM message_fts WHERE rowid = (max(0, min(unixepoch(OLD.created_at), 8589934590)) << 30 | OLD.id);

INSERT INTO message_fts (rowid, owner, role, model, text)
SELECT (max(0, min(unixepoch(m.created_at), 8589934590)) << 30 | m.id), 'u' || c.user_id, m.role, coalesce(g.model, ''), m.text
FROM message m
JOIN conversation c ON c.id = m.conversation_id
LEFT JOIN generation g ON g.message_id = m.id AND g.newest
WHERE m.text <> '' AND c.expires_at IS NULL AND m.id = NEW.id;
END""",
    """CREATE TRIGGER message_search_delete AFTER DELETE ON message BEGIN
DELETE FROM message_fts WHERE rowid = (max(0, min(unixepoch(OLD.created_at), 8589934590)) << 30 | OLD.id);
END""",
    """CREATE TRIGGER generation_search_insert AFTER INSERT ON generation
WHEN NEW.newest AND NEW.model IS NOT NULL BEGIN

DELETE FROM message_fts WHERE rowid = (
    SELECT (max(0, min(unixepoch(m.created_at), 8589934590)) << 30 | m.id) FROM message m WHERE m.id = NEW.message_id AND m.text <> ''
);
INSERT INTO message_fts (rowid, owner, role, model, text)
SELECT (max(0, min(unixepoch(m.created_at), 8589934590)) << 30 | m.id), 'u' || c.user_id, m.role, coalesce(g.model, ''), m.text
FROM message m
JOIN conversation c ON c.id = m.conversation_id
LEFT JOIN generation g ON g.message_id = m.id AND g.newest
WHERE m.text <> '' AND c.expires_at IS NULL AND m.id = NEW.message_id;
END""",
    """CREATE TRIGGER generation_search_update AFTER UPDATE OF model, newest ON generation
WHEN NEW.newest AND (NEW.model IS NOT OLD.model OR NOT OLD.newest) BEGIN

DELETE FROM message_fts WHERE rowid = (
    SELECT (max(0, min(unixepoch(m.created_at), 8589934590)) << 30 | m.id) FROM message m WHERE m.id = NEW.message_id AND m.text <> ''
);
INSERT INTO message_fts (rowid, owner, role, model, text)
SELECT (max(0, min(unixepoch(m.created_at), 8589934590)) << 30 | m.id), 'u' || c.user_id, m.role, coalesce(g.model, ''), m.text
FROM message m
JOIN conversation c ON c.id = m.conversation_id
LEFT JOIN generation g ON g.message_id = m.id AND g.newest
WHERE m.text <> '' AND c.expires_at IS NULL AND m.id = NEW.message_id;
END""",
    """CREATE TRIGGER conversation_search_insert AFTER INSERT ON conversation WHEN NEW.expires_at IS NULL BEGIN

INSERT INTO conversation_fts (rowid, owner, title)
SELECT (max(0, min(unixepoch(c.created_at), 8589934590)) << 30 | c.id), 'u' || c.user_id, c.title FROM conversation c WHERE c.expires_at IS NULL AND c.id = NEW.id;
END""",
    """CREATE TRIGGER conversation_search_update AFTER UPDATE OF title, user_id, created_at, expires_at ON conversation
BEGIN
DELETE FROM conversation_fts WHERE rowid = (max(0, min(unixepoch(OLD.created_at), 8589934590)) << 30 | OLD.id);

INSERT INTO conversation_fts (rowid, owner, title)
SELECT (max(0, min(unixepoch(c.created_at), 8589934590)) << 30 | c.id), 'u' || c.user_id, c.title FROM conversation c WHERE c.expires_at IS NULL AND c.id = NEW.id;
END""",
    """CREATE TRIGGER conversation_search_move AFTER UPDATE OF user_id, expires_at ON conversation
WHEN NEW.user_id <> OLD.user_id OR (NEW.expires_at IS NULL) <> (OLD.expires_at IS NULL) BEGIN
DELETE FROM message_fts WHERE rowid IN (SELECT (max(0, min(unixepoch(m.created_at), 8589934590)) << 30 | m.id) FROM message m WHERE m.conversation_id = NEW.id);

INSERT INTO message_fts (rowid, owner, role, model, text)
SELECT (max(0, min(unixepoch(m.created_at), 8589934590)) << 30 | m.id), 'u' || c.user_id, m.role, coalesce(g.model, ''), m.text
FROM message m
JOIN conversation c ON c.id = m.conversation_id
LEFT JOIN generation g ON g.message_id = m.id AND g.newest
WHERE m.text <> '' AND c.expires_at IS NULL AND c.id = NEW.id;
END""",
    """CREATE TRIGGER conversation_search_delete AFTER DELETE ON conversation BEGIN
DELETE FROM conversation_fts WHERE rowid = (max(0, min(unixepoch(OLD.created_at), 8589934590)) << 30 | OLD.id);
END""",
    """INSERT INTO message_fts (rowid, owner, role, model, text)
SELECT (max(0, min(unixepoch(m.created_at), 8589934590)) << 30 | m.id), 'u' || c.user_id, m.role, coalesce(g.model, ''), m.text
FROM message m
JOIN conversation c ON c.id = m.conversation_id
LEFT JOIN generation g ON g.message_id = m.id AND g.newest
WHERE m.text <> '' AND c.expires_at IS NULL""",
    """INSERT INTO conversation_fts (rowid, owner, title)
SELECT (max(0, min(unixepoch(c.created_at), 8589934590)) << 30 | c.id), 'u' || c.user_id, c.title FROM conversation c WHERE c.expires_at IS NULL""",
)

POSTGRESQL = (
    r"""CREATE FUNCTION search_fold(words text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT regexp_replace(
    regexp_replace(normalize(left(words, 200000), NFD), '[\u0300-\u036f]+', '', 'g'),
    '[\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf'
    '\u2000-\u206f\u3000-\u303f]+', ' ', 'g')
$$""",
    """CREATE FUNCTION search_lexemes(mark text, words text) RETURNS text[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
SELECT coalesce(array_agg(mark || lexeme), '{}') FROM unnest(to_tsvector('simple', search_fold(words)))
$$""",
    """CREATE TABLE message_search (
    message_id integer CONSTRAINT pk_message_search PRIMARY KEY
        CONSTRAINT fk_message_search_message_id REFERENCES message (id) ON DELETE CASCADE,
    user_id integer NOT NULL,
    place bigint NOT NULL,
    words tsvector NOT NULL
)""",
    "CREATE INDEX ix_message_search_words ON message_search USING gin (words)",
    "CREATE INDEX ix_message_search_user_id_place ON message_search (user_id, place)",
    """CREATE TABLE conversation_search (
    conversation_id integer CONSTRAINT pk_conversation_search PRIMARY KEY
        CONSTRAINT fk_conversation_search_conversation_id REFERENCES conversation (id) ON DELETE CASCADE,
    user_id integer NOT NULL,
    place bigint NOT NULL,
    words tsvector NOT NULL
)""",
    "CREATE INDEX ix_conversation_search_words ON conversation_search USING gin (words)",
    "CREATE INDEX ix_conversation_search_user_id_place ON conversation_search (user_id, place)",
    """CREATE FUNCTION message_search_insert() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
INSERT INTO message_search (message_id, user_id, place, words)
SELECT m.id, c.user_id, (greatest(0, least(floor(extract(epoch FROM m.created_at))::bigint, 8589934590)) << 30 | m.id),
    array_to_tsvector(ARRAY['/u' || c.user_id, '/' || m.role] || search_lexemes('/m', coalesce(g.model, '')))
    || to_tsvector('simple', search_fold(m.text))
FROM message m
JOIN conversation c ON c.id = m.conversation_id
LEFT JOIN generation g ON g.message_id = m.id AND g.newest
WHERE m.text <> '' AND c.expires_at IS NULL AND m.id = NEW.id;
RETURN NULL;
END $$""",
    """CREATE TRIGGER message_search_insert AFTER INSERT ON message FOR EACH ROW WHEN (NEW.text <> '') EXECUTE FUNCTION message_search_insert()""",
    """CREATE FUNCTION message_search_update() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
DELETE FROM message_search WHERE message_id = NEW.id;
INSERT INTO message_search (message_id, user_id, place, words)
SELECT m.id, c.user_id, (greatest(0, least(floor(extract(epoch FROM m.created_at))::bigint, 8589934590)) << 30 | m.id),
    array_to_tsvector(ARRAY['/u' || c.user_id, '/' || m.role] || search_lexemes('/m', coalesce(g.model, '')))
    || to_tsvector('simple', search_fold(m.text))
FROM message m
JOIN conversation c ON c.id = m.conversation_id
LEFT JOIN generation g ON g.message_id = m.id AND g.newest
WHERE m.text <> '' AND c.expires_at IS NULL AND m.id = NEW.id;
RETURN NULL;
END $$""",
    """CREATE TRIGGER message_search_update AFTER UPDATE OF text, role, created_at, conversation_id ON message FOR EACH ROW EXECUTE FUNCTION message_search_update()""",
    """CREATE FUNCTION generation_search_insert() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
DELETE FROM message_search WHERE message_id = NEW.message_id;
INSERT INTO message_search (message_id, user_id, place, words)
SELECT m.id, c.user_id, (greatest(0, least(floor(extract(epoch FROM m.created_at))::bigint, 8589934590)) << 30 | m.id),
    array_to_tsvector(ARRAY['/u' || c.user_id, '/' || m.role] || search_lexemes('/m', coalesce(g.model, '')))
    || to_tsvector('simple', search_fold(m.text))
FROM message m
JOIN conversation c ON c.id = m.conversation_id
LEFT JOIN generation g ON g.message_id = m.id AND g.newest
WHERE m.text <> '' AND c.expires_at IS NULL AND m.id = NEW.message_id;
RETURN NULL;
END $$""",
    """CREATE TRIGGER generation_search_insert AFTER INSERT ON generation FOR EACH ROW WHEN (NEW.newest AND NEW.model IS NOT NULL) EXECUTE FUNCTION generation_search_insert()""",
    """CREATE FUNCTION generation_search_update() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
DELETE FROM message_search WHERE message_id = NEW.message_id;
INSERT INTO message_search (message_id, user_id, place, words)
SELECT m.id, c.user_id, (greatest(0, least(floor(extract(epoch FROM m.created_at))::bigint, 8589934590)) << 30 | m.id),
    array_to_tsvector(ARRAY['/u' || c.user_id, '/' || m.role] || search_lexemes('/m', coalesce(g.model, '')))
    || to_tsvector('simple', search_fold(m.text))
FROM message m
JOIN conversation c ON c.id = m.conversation_id
LEFT JOIN generation g ON g.message_id = m.id AND g.newest
WHERE m.text <> '' AND c.expires_at IS NULL AND m.id = NEW.message_id;
RETURN NULL;
END $$""",
    """CREATE TRIGGER generation_search_update AFTER UPDATE OF model, newest ON generation FOR EACH ROW WHEN (NEW.newest AND (NEW.model IS DISTINCT FROM OLD.model OR NOT OLD.newest)) EXECUTE FUNCTION generation_search_update()""",
    """CREATE FUNCTION conversation_search_insert() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
INSERT INTO conversation_search (conversation_id, user_id, place, words)
SELECT c.id, c.user_id, (greatest(0, least(floor(extract(epoch FROM c.created_at))::bigint, 8589934590)) << 30 | c.id),
    array_to_tsvector(ARRAY['/u' || c.user_id]) || to_tsvector('simple', search_fold(c.title))
FROM conversation c WHERE c.expires_at IS NULL AND c.id = NEW.id;
RETURN NULL;
END $$""",
    """CREATE TRIGGER conversation_search_insert AFTER INSERT ON conversation FOR EACH ROW WHEN (NEW.expires_at IS NULL) EXECUTE FUNCTION conversation_search_insert()""",
    """CREATE FUNCTION conversation_search_update() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
DELETE FROM conversation_search WHERE conversation_id = NEW.id;
INSERT INTO conversation_search (conversation_id, user_id, place, words)
SELECT c.id, c.user_id, (greatest(0, least(floor(extract(epoch FROM c.created_at))::bigint, 8589934590)) << 30 | c.id),
    array_to_tsvector(ARRAY['/u' || c.user_id]) || to_tsvector('simple', search_fold(c.title))
FROM conversation c WHERE c.expires_at IS NULL AND c.id = NEW.id;
RETURN NULL;
END $$""",
    """CREATE TRIGGER conversation_search_update AFTER UPDATE OF title, user_id, created_at, expires_at ON conversation FOR EACH ROW EXECUTE FUNCTION conversation_search_update()""",
    """CREATE FUNCTION conversation_search_move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
DELETE FROM message_search WHERE message_id IN (SELECT id FROM message WHERE conversation_id = NEW.id);
INSERT INTO message_search (message_id, user_id, place, words)
SELECT m.id, c.user_id, (greatest(0, least(floor(extract(epoch FROM m.created_at))::bigint, 8589934590)) << 30 | m.id),
    array_to_tsvector(ARRAY['/u' || c.user_id, '/' || m.role] || search_lexemes('/m', coalesce(g.model, '')))
    || to_tsvector('simple', search_fold(m.text))
FROM message m
JOIN conversation c ON c.id = m.conversation_id
LEFT JOIN generation g ON g.message_id = m.id AND g.newest
WHERE m.text <> '' AND c.expires_at IS NULL AND c.id = NEW.id;
RETURN NULL;
END $$""",
    """CREATE TRIGGER conversation_search_move AFTER UPDATE OF user_id, expires_at ON conversation FOR EACH ROW WHEN (NEW.user_id <> OLD.user_id OR (NEW.expires_at IS NULL) <> (OLD.expires_at IS NULL)) EXECUTE FUNCTION conversation_search_move()""",
    """INSERT INTO message_search (message_id, user_id, place, words)
SELECT m.id, c.user_id, (greatest(0, least(floor(extract(epoch FROM m.created_at))::bigint, 8589934590)) << 30 | m.id),
    array_to_tsvector(ARRAY['/u' || c.user_id, '/' || m.role] || search_lexemes('/m', coalesce(g.model, '')))
    || to_tsvector('simple', search_fold(m.text))
FROM message m
JOIN conversation c ON c.id = m.conversation_id
LEFT JOIN generation g ON g.message_id = m.id AND g.newest
WHERE m.text <> '' AND c.expires_at IS NULL""",
    """INSERT INTO conversation_search (conversation_id, user_id, place, words)
SELECT c.id, c.user_id, (greatest(0, least(floor(extract(epoch FROM c.created_at))::bigint, 8589934590)) << 30 | c.id),
    array_to_tsvector(ARRAY['/u' || c.user_id]) || to_tsvector('simple', search_fold(c.title))
FROM conversation c WHERE c.expires_at IS NULL""",
)

SQLITE_TRIGGERS = (
    "message_search_insert",
    "message_search_update",
    "message_search_delete",
    "generation_search_insert",
    "generation_search_update",
    "conversation_search_insert",
    "conversation_search_update",
    "conversation_search_move",
    "conversation_search_delete",
)

SQLITE_TABLES = ("message_fts", "conversation_fts")

POSTGRESQL_TABLES = ("message_search", "conversation_search")

POSTGRESQL_FUNCTIONS = (
    "search_fold",
    "search_lexemes",
    "message_search_insert",
    "message_search_update",
    "generation_search_insert",
    "generation_search_update",
    "conversation_search_insert",
    "conversation_search_update",
    "conversation_search_move",
)


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for each in SQLITE if sqlite else POSTGRESQL:
        op.get_bind().exec_driver_sql(each)


def downgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for name in SQLITE_TRIGGERS if sqlite else ():
        op.execute(f"DROP TRIGGER {name}")
    for name in SQLITE_TABLES if sqlite else POSTGRESQL_TABLES:
        op.execute(f"DROP TABLE {name}")
    for name in () if sqlite else POSTGRESQL_FUNCTIONS:
        op.execute(f"DROP FUNCTION {name} CASCADE")
