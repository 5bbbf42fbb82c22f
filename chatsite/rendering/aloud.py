"""What is read aloud of a text while it grows: its sentences, each as soon as it is whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from markdown_it.token import Token

from chatsite.rendering.highlight import called
from chatsite.rendering.parser import parse, text_of, tidy

# The end of a sentence. If a small letter follows, it was an abbreviation.
_END = re.compile(r"[.!?…][\"'”’»)\]*_~`]*(?=\s+[^\sa-zß-öø-ÿ])|[。！？]")  # noqa: RUF001
# What is left of marks in plain text has no partner yet.
_MARKS = re.compile(r"[*`~]+(?=\S)|(?<=\S)[*`~]+|(?<!\w)_+|_+(?!\w)|^[*`~]+$")
_CELL_END = ", "


@dataclass(frozen=True)
class Kinds:
    """What is said in place of what cannot be read aloud, in the listener's language."""

    code: str = "Code."
    code_in: str = "Code in %(language)s."
    formula: str = "Formula."


ENGLISH = Kinds()


def sentences(source: str, whole: bool, kinds: Kinds = ENGLISH) -> list[str]:
    """Give the sentences of a Markdown block, without marks; code and formulas are named and not read.

    Of a block that is not `whole` the last one is held back, since nobody knows how it goes on. Those that are given
    come first again when there is more of the block, so whoever counts them is told each of them once.
    """
    told: list[str] = []
    open_end = ""
    for passage, named in _passages(parse(tidy(source), {}), kinds):
        pieces = [passage] if named else _pieces(passage)
        told += filter(None, map(_words, [open_end, *pieces[:-1]]))
        open_end = pieces[-1]
        if named:
            told, open_end = [*told, passage], ""
    last = _words(open_end)
    return [_closed(sentence) for sentence in ([*told, last] if whole and last else told)]


def _pieces(passage: str) -> list[str]:
    """Cut a passage behind each sentence; the last piece is the rest of it."""
    ends = [found.end() for found in _END.finditer(passage)]
    return [passage[a:b] for a, b in pairwise([0, *ends, len(passage)])]


def _passages(tokens: list[Token], kinds: Kinds) -> Iterator[tuple[str, bool]]:
    """Give each paragraph, item, heading and row of a table, and whether it is only the name of something."""
    cells: list[str] | None = None
    for token in tokens:
        if token.type == "tr_open":
            cells = []
        elif token.type == "tr_close":
            yield _CELL_END.join(filter(None, cells or [])), False
            cells = None
        elif token.type == "inline":
            text = text_of(token.children or []).replace("\n", " ")
            if cells is None:
                yield text, False
            else:
                cells.append(text)
        elif token.type in {"fence", "code_block"} and token.content:
            yield _code(token, kinds), True
        elif token.type == "math_block":
            yield kinds.formula, True


def _words(piece: str) -> str:
    return _MARKS.sub("", piece).strip()


def _code(token: Token, kinds: Kinds) -> str:
    name = called((token.info.split() or [""])[0].lower())
    return kinds.code_in % {"language": name} if name else kinds.code


def _closed(sentence: str) -> str:
    """A heading or an item has no full stop, and would run into what comes after it."""
    return f"{sentence}." if sentence[-1].isalnum() else sentence
