"""Segmentation of scripts that write no spaces, and of emoji, for the search indexes.

The tokenizers of SQLite and PostgreSQL make one word of a row of Chinese letters and none of an emoji. So each such
letter is replaced by a word of its own, the same in both databases and in queries; a word of several letters is then
searched as a phrase, wherever it stands in a sentence.
"""

# These statements are built from constants and names of columns only, never from input.
# ruff: noqa: S608

from __future__ import annotations

import re

# First and last code points of the blocks of Unicode (Blocks.txt, version 16).
SEGMENTED_RANGES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1100, 0x11FF),  # Hangul Jamo
    (0x1780, 0x17FF),  # Khmer
    (0x2300, 0x23FF),  # Miscellaneous Technical, which has watch and hourglass
    (0x2600, 0x27BF),  # Miscellaneous Symbols, Dingbats
    (0x2B00, 0x2BFF),  # Miscellaneous Symbols and Arrows, which has the star
    (0x2E80, 0x2FDF),  # CJK Radicals
    (0x3005, 0x3007),  # Ideographic iteration mark, closing mark and zero
    (0x3040, 0x318F),  # Hiragana, Katakana, Bopomofo, Hangul Compatibility Jamo
    (0x31F0, 0x31FF),  # Katakana Phonetic Extensions
    (0x3400, 0x4DBF),  # CJK Unified Ideographs Extension A
    (0x4E00, 0x9FFF),  # CJK Unified Ideographs
    (0xA960, 0xA97F),  # Hangul Jamo Extended-A
    (0xAC00, 0xD7FF),  # Hangul Syllables, Hangul Jamo Extended-B
    (0xF900, 0xFAFF),  # CJK Compatibility Ideographs
    (0xFF66, 0xFF9F),  # Halfwidth Katakana
    (0x1F000, 0x1FAFF),  # Emoji and other pictographs
    (0x20000, 0x3FFFF),  # CJK Unified Ideographs Extensions B to J
)
# A word of a letter is this and its code point in hexadecimal digits; no language has a word that begins so.
WORD_PREFIX = "qzx"
# Replacing letters takes microseconds for each, inside the write transaction of a message, and PostgreSQL's tsvector
# has room for so many different words. What follows is indexed as the tokenizer takes it.
MAX_SEGMENTED_CHARS = 50_000
PIECE_CHARS = 400

# The inside of a character class of `re`; GLOB of SQLite writes classes in the same way.
CHARACTER_CLASS = "".join(f"{chr(first)}-{chr(last)}" for first, last in SEGMENTED_RANGES)
SEGMENTED_CHARACTER = re.compile(f"[{CHARACTER_CLASS}]")


def has_segmented_character(text: str) -> bool:
    """Return whether a text has a letter or an emoji that is a word of its own in the indexes."""
    return SEGMENTED_CHARACTER.search(text) is not None


def segment_text(text: str) -> str:
    """Return a text as the indexes store it: each letter of these scripts, and each emoji, as a word of its own."""
    return SEGMENTED_CHARACTER.sub(lambda match: f" {WORD_PREFIX}{ord(match[0]):x} ", text)


def sqlite_segmented_text(column: str) -> str:
    """Return the SQLite expression that does the same as `segment_text` with a column.

    `group_concat` has no ORDER BY of its own here: programs with an SQLite before 3.44 could not read the schema then.
    `substr` counts from the beginning of a text, so a long one is cut into pieces first: its cost would grow with the
    square of the length.
    """
    start = f"substr({column}, 1, {MAX_SEGMENTED_CHARS})"
    return f"""CASE WHEN {column} GLOB '*[{CHARACTER_CLASS}]*' THEN (
WITH RECURSIVE piece(first, letters) AS (
    SELECT 1, substr({start}, 1, {PIECE_CHARS})
    UNION ALL SELECT first + {PIECE_CHARS}, substr({start}, first + {PIECE_CHARS}, {PIECE_CHARS})
    FROM piece WHERE length(letters) = {PIECE_CHARS}
), each(first, place, letters, letter) AS (
    SELECT first, 1, letters, substr(letters, 1, 1) FROM piece
    UNION ALL SELECT first, place + 1, letters, substr(letters, place + 1, 1) FROM each WHERE place < length(letters)
) SELECT group_concat(word, '') FROM (SELECT CASE WHEN letter GLOB '[{CHARACTER_CLASS}]'
    THEN ' {WORD_PREFIX}' || printf('%x', unicode(letter)) || ' ' ELSE letter END AS word
    FROM each ORDER BY first, place)
) || substr({column}, {MAX_SEGMENTED_CHARS + 1}) ELSE {column} END"""


def _postgresql_escape(code: int) -> str:
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


_POSTGRESQL_CLASS = "".join(
    f"{_postgresql_escape(first)}-{_postgresql_escape(last)}" for first, last in SEGMENTED_RANGES
)
POSTGRESQL_SEGMENT_FUNCTION = rf"""CREATE FUNCTION search_segment(words text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT CASE WHEN words ~ '[{_POSTGRESQL_CLASS}]' THEN (
    SELECT string_agg(CASE WHEN letter ~ '[{_POSTGRESQL_CLASS}]'
        THEN ' {WORD_PREFIX}' || to_hex(ascii(letter)) || ' ' ELSE letter END, '' ORDER BY place)
    FROM unnest(string_to_array(left(words, {MAX_SEGMENTED_CHARS}), NULL)) WITH ORDINALITY AS each(letter, place)
) || substr(words, {MAX_SEGMENTED_CHARS + 1}) ELSE words END
$$"""
