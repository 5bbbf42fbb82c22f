"""Where in a text the words of a query are, and how well a text fits it: as the indexes see it, but with places."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from chatsite.services.search_query import Query, Term

# Longer texts are looked at from their beginning only.
MOST_CHARS = 50_000
MOST_SPANS = 60
# A text of this length has as many words as texts usually have; longer ones count less for the same words.
USUAL_CHARS = 600
MARK = "\u0300"

Span = tuple[int, int]


class _Fold(dict[int, str]):
    """Each character as one character, without accent and capitals; an accent by itself is `MARK`."""

    def __missing__(self, code: int) -> str:
        bare = unicodedata.normalize("NFD", chr(code)).lower()
        accented = len(bare) > 1 and all(map(unicodedata.combining, bare[1:]))
        lower = bare[0] if accented or len(bare) == 1 else chr(code).lower()
        self[code] = MARK if unicodedata.combining(lower[0]) else lower if len(lower) == 1 else chr(code)
        return self[code]


FOLD = _Fold()


def spans(text: str, query: Query) -> list[Span]:
    """The places of the query's words in a text, in order; they do not overlap."""
    pattern = _pattern(query.words)
    if pattern is None:
        return []
    found: list[Span] = []
    for match in pattern.finditer(_folded(text)):
        found.append(match.span())
        if len(found) == MOST_SPANS:
            break
    return found


def ranked(texts: Iterable[tuple[int, str]], query: Query) -> list[int]:
    """The places of some texts, those that fit best first, and among equals the newest.

    Words that occur often in a short text count most; whole words count more than beginnings of words, and words that
    follow each other as they were typed more than those that are scattered. How rare a word is does not matter: all of
    these texts have all of the words.
    """
    whole = [Term(term.text) for term in query.words if term.prefix]
    together = [Term(" ".join(term.text for term in query.words))] if len(query.words) > 1 else []
    patterns = [pattern for term in (*query.words, *whole, *together) if (pattern := _pattern([term]))]
    return [place for _, place in sorted(((_score(text, patterns), place) for place, text in texts), reverse=True)]


def _score(text: str, patterns: Iterable[re.Pattern[str]]) -> float:
    folded = _folded(text)
    flat = 0.3 + 0.9 * len(folded) / USUAL_CHARS
    counts = (len(pattern.findall(folded)) for pattern in patterns)
    return sum(2.2 * count / (count + flat) for count in counts)


def _folded(text: str) -> str:
    text = text[:MOST_CHARS]
    return text.lower() if text.isascii() else text.translate(FOLD)


def _pattern(terms: Iterable[Term]) -> re.Pattern[str] | None:
    """What matches any of the terms in a folded text; longer ones first."""
    options = sorted(filter(None, map(_option, terms)), key=len, reverse=True)
    return re.compile(f"(?<![^\\W_])(?<!{MARK})(?:{'|'.join(options)})") if options else None


def _option(term: Term) -> str:
    words = re.findall(r"[^\W_]+", _folded(term.text).replace(MARK, ""))
    if not words:
        return ""
    # Between two words there is at least one character that is neither a letter nor an accent.
    between = f"(?:[^\\w{MARK}]|_)[\\W_]*"
    phrase = between.join("".join(f"{re.escape(letter)}{MARK}*" for letter in word) for word in words)
    return phrase if term.prefix else f"{phrase}(?![^\\W_])"
