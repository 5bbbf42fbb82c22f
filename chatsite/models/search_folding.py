"""Folding of letters that people type in two ways, for the search indexes: ß as ss, ø as o.

The tokenizers of SQLite and PostgreSQL remove accents, but these letters have none: Unicode does not decompose them. So
they are replaced in both databases and in queries, by the same table.
"""

from __future__ import annotations

FOLDED_LETTERS = {
    **dict.fromkeys("ßẞ", "ss"),
    **dict.fromkeys("æÆǣǢǽǼ", "ae"),
    **dict.fromkeys("œŒ", "oe"),
    **dict.fromkeys("øØǿǾ", "o"),
    **dict.fromkeys("łŁ", "l"),
    **dict.fromkeys("đĐðÐ", "d"),
    **dict.fromkeys("þÞ", "th"),
}
_TABLE = str.maketrans(FOLDED_LETTERS)


def fold_letters(text: str) -> str:
    """Return a text with these letters replaced, as the indexes store it."""
    return text if text.isascii() else text.translate(_TABLE)


def sql_folded_text(expression: str) -> str:
    """Return the SQL expression, in either database, that does the same as `fold_letters` with an expression."""
    for letter, replacement in FOLDED_LETTERS.items():
        expression = f"replace({expression}, '{letter}', '{replacement}')"
    return expression
