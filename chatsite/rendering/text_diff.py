"""Differences between two texts, word by word.

The longest common subsequence is found with one long integer for each word (Hyyrö 2004), so every pair of texts costs
the same. `difflib` takes minutes for a text that repeats a word; here the worst text takes milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

# Words of each text that are compared. The time and the memory grow with the product of the two.
MAX_WORDS = 4000
MAX_CHARS = 60_000
# Scripts without spaces: each letter is a word.
SINGLE_LETTER = "[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
WORD = re.compile(rf"{SINGLE_LETTER}\s*|(?:(?!{SINGLE_LETTER})\w)+\s*|[^\w\s]\s*|\s+")


@dataclass(frozen=True)
class Piece:
    """A part of a text. `is_different` says that the other text does not have it at this place."""

    text: str
    is_different: bool


@dataclass(frozen=True)
class TextDiff:
    """Two texts as pieces. `is_cut` says that only the beginning of a long text was compared, and is in the pieces."""

    old: Sequence[Piece]
    new: Sequence[Piece]
    is_cut: bool

    @property
    def is_same(self) -> bool:
        """Return whether nothing differs in what was compared."""
        return not any(piece.is_different for piece in (*self.old, *self.new))


def compare_texts(old: str, new: str) -> TextDiff:
    """Return the differences between two texts. White space between words does not count."""
    old_words, new_words = WORD.findall(old[:MAX_CHARS]), WORD.findall(new[:MAX_CHARS])
    is_cut = max(len(old), len(new)) > MAX_CHARS or max(len(old_words), len(new_words)) > MAX_WORDS
    old_words, new_words = old_words[:MAX_WORDS], new_words[:MAX_WORDS]
    old_common, new_common = _find_common([word.strip() for word in old_words], [word.strip() for word in new_words])
    return TextDiff(_join_pieces(old_words, old_common), _join_pieces(new_words, new_common), is_cut)


def _find_common(old: Sequence[str], new: Sequence[str]) -> tuple[set[int], set[int]]:
    """Return the positions of a longest common subsequence in both lists."""
    rows = _count_rows(old, new)
    old_common: set[int] = set()
    new_common: set[int] = set()
    row, column = len(old), len(new)
    while row and column:
        if old[row - 1] == new[column - 1]:
            row, column = row - 1, column - 1
            old_common.add(row)
            new_common.add(column)
        elif rows[row] >> (column - 1) & 1:
            # The word of this column makes nothing longer.
            column -= 1
        else:
            row -= 1
    return old_common, new_common


def _count_rows(old: Sequence[str], new: Sequence[str]) -> list[int]:
    """Return a number for each beginning of `old`: a bit is 0 where a word of `new` makes the subsequence longer."""
    places: dict[str, int] = {}
    for column, word in enumerate(new):
        places[word] = places.get(word, 0) | 1 << column
    everything = (1 << len(new)) - 1
    rows = [everything]
    for word in old:
        row = rows[-1]
        matches = row & places.get(word, 0)
        rows.append((row + matches | row & ~matches) & everything)
    return rows


def _join_pieces(words: Sequence[str], common: set[int]) -> list[Piece]:
    numbered = groupby(range(len(words)), key=lambda position: position not in common)
    return [Piece("".join(words[position] for position in positions), different) for different, positions in numbered]
