"""Ranking: find the words of a query in a text, as the indexes do, and score how well the text matches."""

from __future__ import annotations

import bisect
import re
import unicodedata
from collections.abc import Iterable

from chatsite.models.search_folding import FOLDED_LETTERS
from chatsite.models.search_segmentation import CHARACTER_CLASS, has_segmented_character
from chatsite.services.search.query import Query, Term

# Only the beginning of a longer text is searched, which bounds the time of one result.
MAX_TEXT_CHARS = 50_000
MAX_SPANS = 60
# The average document length of BM25: in longer texts the same number of matches counts less.
TYPICAL_TEXT_CHARS = 600
COMBINING_MARK = "\u0300"
# A letter of a word, and a letter that is a word of its own in the indexes.
WORD_LETTER = f"[^\\W_{CHARACTER_CLASS}]"
SINGLE_LETTER = f"[{CHARACTER_CLASS}]"
WORD_SEPARATOR = f"(?:[^\\w{COMBINING_MARK}{CHARACTER_CLASS}]|_)"
GAP = f"(?:[^\\w{CHARACTER_CLASS}]|_)*"

Span = tuple[int, int]


class _FoldTable(dict[int, str]):
    """Translation table that maps each character to one lower-case character without accent.

    A combining accent maps to COMBINING_MARK, so that offsets in the translated text are offsets in the text. Letters
    that two others stand for, such as ß, are left for `_expand_letters`.
    """

    def __missing__(self, code: int) -> str:
        if has_segmented_character(chr(code)):
            return self.setdefault(code, chr(code))
        decomposed = unicodedata.normalize("NFD", chr(code)).lower()
        accented = len(decomposed) > 1 and all(map(unicodedata.combining, decomposed[1:]))
        lower = decomposed[0] if accented or len(decomposed) == 1 else chr(code).lower()
        self[code] = COMBINING_MARK if unicodedata.combining(lower[0]) else lower if len(lower) == 1 else chr(code)
        if len(folded := FOLDED_LETTERS.get(self[code], "")) == 1:
            self[code] = folded
        return self[code]


FOLD_TABLE = _FoldTable()
# Each of these letters is two in the indexes.
DOUBLE_LETTERS = {letter: folded for letter, folded in FOLDED_LETTERS.items() if len(folded) == 2}
DOUBLE_LETTER = re.compile(f"[{''.join(DOUBLE_LETTERS)}]")


def match_spans(text: str, query: Query) -> list[Span]:
    """Return the start and end offsets of the query's words in a text: in order, no overlaps, at most MAX_SPANS."""
    pattern = _compile_terms(query.words)
    if pattern is None:
        return []
    folded = _fold_characters(text)
    # Where the second letter of each double letter stands in the expanded text.
    seconds = [match.start() + number + 1 for number, match in enumerate(DOUBLE_LETTER.finditer(folded))]
    spans_: list[Span] = []
    for match in pattern.finditer(_expand_letters(folded)):
        first, last = match.start(), match.end() - 1
        spans_.append((first - bisect.bisect(seconds, first), last - bisect.bisect(seconds, last) + 1))
        if len(spans_) == MAX_SPANS:
            break
    return spans_


def rank_texts(texts: Iterable[tuple[int, str]], query: Query) -> list[int]:
    """Return the sort keys of `texts`, pairs of sort key and text, best match first; equal scores newest first.

    Frequent words in a short text count most; whole words count more than prefixes, and words in the typed order more
    than scattered ones. The rarity of a word does not matter, since all of these texts contain all of the words.
    """
    whole_words = [Term(term.text) for term in query.words if term.is_prefix]
    whole_phrase = [Term(" ".join(term.text for term in query.words))] if len(query.words) > 1 else []
    patterns = [pattern for term in (*query.words, *whole_words, *whole_phrase) if (pattern := _compile_terms([term]))]
    return [
        sort_key
        for _, sort_key in sorted(((_text_score(text, patterns), sort_key) for sort_key, text in texts), reverse=True)
    ]


def _text_score(text: str, patterns: Iterable[re.Pattern[str]]) -> float:
    """Score a text by the number of matches of each pattern, as BM25 does (Robertson and Zaragoza 2009)."""
    folded = _fold_text(text)
    # The saturation of BM25 with k1 = 1.2 and b = 0.75: k1 * (1 - b) = 0.3, k1 * b = 0.9, k1 + 1 = 2.2.
    length_penalty = 0.3 + 0.9 * len(folded) / TYPICAL_TEXT_CHARS
    counts = (len(pattern.findall(folded)) for pattern in patterns)
    return sum(2.2 * count / (count + length_penalty) for count in counts)


def _fold_text(text: str) -> str:
    return _expand_letters(_fold_characters(text))


def _fold_characters(text: str) -> str:
    """Return the beginning of a text, with one character for each of its characters."""
    text = text[:MAX_TEXT_CHARS]
    return text.lower() if text.isascii() else text.translate(FOLD_TABLE)


def _expand_letters(text: str) -> str:
    """Return a text with two letters for each double letter."""
    return text if text.isascii() else DOUBLE_LETTER.sub(lambda match: DOUBLE_LETTERS[match[0]], text)


def _compile_terms(terms: Iterable[Term]) -> re.Pattern[str] | None:
    """Return a pattern that matches any of the terms in a folded text, longer ones first; None without a term."""
    alternatives = sorted(filter(None, map(_term_pattern, terms)), key=len, reverse=True)
    return re.compile("|".join(alternatives)) if alternatives else None


def _term_pattern(term: Term) -> str:
    """Return the pattern of a term; it is empty for a term without a letter.

    The words of a phrase are separated as the tokenizers of the indexes do: by anything but letters, digits and
    accents. A letter that is a word of its own needs no separator.
    """
    words = re.findall(f"{SINGLE_LETTER}|{WORD_LETTER}+", _fold_text(term.text).replace(COMBINING_MARK, ""))
    pattern, ends_in_word = "", False
    for number, word in enumerate(words):
        is_word = not has_segmented_character(word)
        if number == 0 and is_word:
            pattern = f"(?<!{WORD_LETTER})(?<!{COMBINING_MARK})"
        elif number:
            pattern += (WORD_SEPARATOR if is_word and ends_in_word else "") + GAP
        pattern += "".join(f"{re.escape(letter)}{COMBINING_MARK}*" for letter in word) if is_word else re.escape(word)
        ends_in_word = is_word
    return pattern if term.is_prefix or not ends_in_word else f"{pattern}(?!{WORD_LETTER})"
