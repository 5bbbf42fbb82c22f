"""Filters in a typed query: find one, and set or remove it as if it had been typed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from chatsite.services.search.query import FILTER_NAMES, MAX_QUERY_CHARS, TOKEN_PATTERN
from chatsite.services.text import fold_accents


def find_filter(typed: str, names: Collection[str]) -> str | None:
    """Return the last filter in a query that has one of these names (English ones, of any language), as it is typed."""
    return next((token[0] for token in reversed(list(_filters(typed, names)))), None)


def filter_value(token: str) -> str:
    """Return the value of a typed filter, without its name and quotation marks."""
    return token.partition(":")[2].strip('"')


def set_filter(typed: str, names: Collection[str], token: str = "") -> str:
    """Return a query with `token` in place of its filters with these names; without a token they are removed.

    It comes first, because the last word of a query counts as the beginning of a word.
    """
    removed = {match.start() for match in _filters(typed, names)}
    kept = [match[0] for match in TOKEN_PATTERN.finditer(typed) if match.start() not in removed]
    return " ".join(filter(None, [token, *kept]))[:MAX_QUERY_CHARS]


def remove_filters(typed: str) -> str:
    """Return the words of a query without any filter."""
    return set_filter(typed, set(FILTER_NAMES.values()))


def make_filter(name: str, value: str) -> str:
    """Return a filter as it is typed, in quotation marks if its value has spaces."""
    return f'{name}:"{value}"' if re.search(r"\s", value) else f"{name}:{value}"


def _filters(typed: str, names: Collection[str]) -> Iterator[re.Match[str]]:
    for token in TOKEN_PATTERN.finditer(typed):
        if token["name"] and not token["minus"] and FILTER_NAMES.get(fold_accents(token["name"])) in names:
            yield token
