"""Markdown to plain text: for titles, for the terminal and for voices."""

from __future__ import annotations

import unicodedata

from markdown_it.token import Token

from chatsite.rendering.parser import parse, text_of, tidy

_MOST_READ = 4_000
"""A title is in the first lines; the rest of a long text is not parsed for it."""

_JOINERS = "\u200c\u200d"
"""Invisible, but part of how Persian and Indic words and many emoji are written."""


def plain(source: str) -> str:
    """Give the words of `source` without Markdown marks, a line for each block; code stays as it is."""
    lines = (_line(token) for token in parse(tidy(source), {}))
    return "\n".join(line for line in lines if line)


def _line(token: Token) -> str:
    """Give the words of one block token; most have none."""
    return (text_of(token.children) if token.children else token.content).strip("\n")


def title(source: str, most: int = 60) -> str:
    """Give one line of at most `most` characters that says what `source` begins with.

    It has no Markdown marks and no invisible characters, and ends in `…` where words are missing. It is
    empty only if there is nothing to be seen in the beginning of `source`.
    """
    start = "".join(c if c in "\t\r\n" else _seen(c) for c in source[:_MOST_READ])
    return _shorten(_one_line(plain(start)) or _one_line(start), most)


def _one_line(text: str) -> str:
    """Give `text` with single blanks and only what is seen; joiners alone are not seen."""
    line = " ".join("".join(_seen(character) for character in text).split())
    return line if line.strip(_JOINERS + " ") else ""


def _seen(character: str) -> str:
    """Give the character if it is to be seen, a blank for white space, and nothing for the rest.

    The rest are Unicode's categories C: controls, marks that turn the direction of writing, unassigned ones.
    """
    if character.isspace():
        return " "
    return character if character in _JOINERS or unicodedata.category(character)[0] != "C" else ""


def _shorten(line: str, most: int) -> str:
    """Cut `line` behind a word, or within one that is too long, where no accent or emoji is torn apart."""
    if len(line) <= most:
        return line
    end = most - 1
    space = line.rfind(" ", 0, end + 1)
    if space >= most // 2:
        end = space
    while end > 1 and _clings(line[end - 1], line[end]):
        end -= 1
    return line[:end].rstrip(" ,;:.-–—") + "…"  # noqa: RUF001


def _clings(before: str, after: str) -> bool:
    """Say whether two characters are parts of one that is seen."""
    return before in _JOINERS or after in _JOINERS or unicodedata.category(after)[0] == "M"
