"""search: letters such as ß and ø are found as ss and o, and the other way round"""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

# From `0007`, which wrote the triggers.
RANGES = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1100, 0x11FF), (0x1780, 0x17FF), (0x2300, 0x23FF), (0x2600, 0x27BF),
    (0x2B00, 0x2BFF), (0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3040, 0x318F), (0x31F0, 0x31FF), (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF), (0xA960, 0xA97F), (0xAC00, 0xD7FF), (0xF900, 0xFAFF), (0xFF66, 0xFF9F), (0x1F000, 0x1FAFF),
    (0x20000, 0x3FFFF),
)  # fmt: skip
CLASS = "".join(f"{chr(first)}-{chr(last)}" for first, last in RANGES)
LETTERS = (("ßẞ", "ss"), ("æÆǣǢǽǼ", "ae"), ("œŒ", "oe"), ("øØǿǾ", "o"), ("łŁ", "l"), ("đĐðÐ", "d"), ("þÞ", "th"))
FOLDED_CLASS = "".join(letters for letters, _ in LETTERS)
# So many rows are looked at in one statement, which bounds what the database keeps for its triggers.
BATCH_IDS = 20_000


def _segmented(column: str) -> str:
    start = f"substr({column}, 1, 50000)"
    return f"""CASE WHEN {column} GLOB '*[{CLASS}]*' THEN (
WITH RECURSIVE piece(first, letters) AS (
    SELECT 1, substr({start}, 1, 400)
    UNION ALL SELECT first + 400, substr({start}, first + 400, 400)
    FROM piece WHERE length(letters) = 400
), each(first, place, letters, letter) AS (
    SELECT first, 1, letters, substr(letters, 1, 1) FROM piece
    UNION ALL SELECT first, place + 1, letters, substr(letters, place + 1, 1) FROM each WHERE place < length(letters)
) SELECT group_concat(word, '') FROM (SELECT CASE WHEN letter GLOB '[{CLASS}]'
    THEN ' qzx' || printf('%x', unicode(letter)) || ' ' ELSE letter END AS word
    FROM each ORDER BY first, place)
) || substr({column}, 50001) ELSE {column} END"""


def _folded(expression: str) -> str:
    for letters, replacement in LETTERS:
        for letter in letters:
            expression = f"replace({expression}, '{letter}', '{replacement}')"
    return expression


# What the triggers of SQLite say before and after.
SQLITE_CHANGES = [(_segmented(column), _folded(_segmented(column))) for column in ("m.text", "c.title")]
SEGMENTED = "search_segment(left(words, 200000))"
FOLD_FUNCTION = r"""CREATE OR REPLACE FUNCTION search_fold(words text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT regexp_replace(
    regexp_replace(normalize({0}, NFD), '[\u0300-\u036f]+', '', 'g'),
    '[\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf'
    '\u2000-\u206f\u3000-\u303f]+', ' ', 'g')
$$"""
# Setting a column to itself calls the trigger that indexes the row again.
REINDEX = (("message", "text"), ("conversation", "title"))


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _replace_triggers(SQLITE_CHANGES)
    else:
        op.execute(FOLD_FUNCTION.format(_folded(SEGMENTED)))
    _reindex()


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _replace_triggers([(after, before) for before, after in SQLITE_CHANGES])
    else:
        op.execute(FOLD_FUNCTION.format(SEGMENTED))
    _reindex()


def _replace_triggers(changes: object) -> None:
    triggers = op.get_bind().exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").all()
    for name, old in triggers:
        new = old
        for before, after in changes:
            new = new.replace(before, after)
        if new != old:
            op.get_bind().exec_driver_sql(f"DROP TRIGGER {name}")
            op.get_bind().exec_driver_sql(new)


def _reindex() -> None:
    connection = op.get_bind()
    operator = f"GLOB '*[{FOLDED_CLASS}]*'" if connection.dialect.name == "sqlite" else f"~ '[{FOLDED_CLASS}]'"
    for table, column in REINDEX:
        condition = f"{column} {operator}"
        if table == "message" and connection.dialect.name != "sqlite":
            # Names of models are folded there too.
            condition += f" OR id IN (SELECT message_id FROM generation WHERE model {operator})"
        last_id = connection.exec_driver_sql(f"SELECT coalesce(max(id), 0) FROM {table}").scalar_one()
        for start in range(0, last_id, BATCH_IDS):
            connection.exec_driver_sql(
                f"UPDATE {table} SET {column} = {column}"
                f" WHERE id > {start} AND id <= {start + BATCH_IDS} AND ({condition})"
            )
