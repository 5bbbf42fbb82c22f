"""Differences between two texts: exactly the words that differ, and no text that takes long."""

from __future__ import annotations

import random
import time
from functools import cache

import pytest

from chatsite.rendering import text_diff
from chatsite.rendering.text_diff import TextDiff, compare_texts


def mark(diff: TextDiff) -> tuple[str, str]:
    """Both texts, with brackets around what differs."""
    old, new = (
        "".join(f"[{piece.text}]" if piece.is_different else piece.text for piece in side)
        for side in (diff.old, diff.new)
    )
    return old, new


def longest(old: str, new: str) -> int:
    """The length of the longest common subsequence of words, by its definition."""
    left, right = old.split(), new.split()

    @cache
    def length(row: int, column: int) -> int:
        if not row or not column:
            return 0
        if left[row - 1] == right[column - 1]:
            return length(row - 1, column - 1) + 1
        return max(length(row - 1, column), length(row, column - 1))

    return length(len(left), len(right))


def test_words_that_differ_are_marked() -> None:
    diff = compare_texts("The quick fox jumps.", "The slow fox jumps, too.")
    assert mark(diff) == ("The [quick ]fox jumps.", "The [slow ]fox jumps[, too].")
    assert not diff.is_same
    assert not diff.is_cut


@pytest.mark.parametrize(
    ("old", "new"),
    [("", ""), ("Same", "Same"), ("Same  words\n", "Same words"), (" 日本 ", "日本")],
)
def test_white_space_is_no_difference(old: str, new: str) -> None:
    assert compare_texts(old.strip(), new.strip()).is_same


@pytest.mark.parametrize(
    ("old", "new", "marked"),
    [
        ("", "New", ("", "[New]")),
        ("Old", "", ("[Old]", "")),
        ("日本語です", "日本人です", ("日本[語]です", "日本[人]です")),
        ("a\n\nb", "a\n\nc", ("a\n\n[b]", "a\n\n[c]")),
    ],
)
def test_edges(old: str, new: str, marked: tuple[str, str]) -> None:
    assert mark(compare_texts(old, new)) == marked


def test_pieces_make_up_both_texts_and_keep_as_much_as_possible() -> None:
    rng = random.Random(4)
    for _ in range(200):
        old, new = (" ".join(rng.choices("abcd", k=rng.randrange(25))) for _ in range(2))
        diff = compare_texts(old, new)
        assert ["".join(piece.text for piece in side) for side in (diff.old, diff.new)] == [old, new]
        for side in (diff.old, diff.new):
            assert sum(len(piece.text.split()) for piece in side if not piece.is_different) == longest(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a b " * 30_000, "b a " * 30_000),
        ("a " * 500_000, "a " * 499_999),
        ("x" * 1_000_000, "y" * 1_000_000),
        ("." * 60_000, ". " * 30_000),
        (" \n" * 500_000, "\n" * 500_000),
        ("日本" * 30_000, "本日" * 30_000),
        (" ".join(map(str, range(9_000))), " ".join(map(str, reversed(range(9_000))))),
    ],
    ids=["swapped", "same word", "one word", "marks", "blank", "letters", "reversed"],
)
def test_no_text_takes_long(old: str, new: str) -> None:
    started = time.process_time()
    diff = compare_texts(old, new)
    # A few hundredths of a second where nothing else runs; `difflib` takes minutes for some of these.
    assert time.process_time() - started < 1
    assert diff.is_cut
    assert sum(len(piece.text) for piece in diff.old) <= text_diff.MAX_CHARS
