"""The sentences of a growing text for screen readers, each as soon as it is complete."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from markdown_it.token import Token

from chatsite.rendering.highlight import language_name
from chatsite.rendering.markdown_parser import normalize_source, parse_markdown
from chatsite.rendering.syntax.fences import language_of_info
from chatsite.rendering.syntax.links import inline_text

# The end of a sentence. If a small letter follows, it was an abbreviation.
_SENTENCE_END = re.compile(r"[.!?…][\"'”’»)\]*_~`]*(?=\s+[^\sa-zß-öø-ÿ])|[。！？]")  # noqa: RUF001
# What is left of marks in plain text has no partner yet.
_UNPAIRED_MARKS = re.compile(r"[*`~]+(?=\S)|(?<=\S)[*`~]+|(?<!\w)_+|_+(?!\w)|^[*`~]+$")
_CELL_SEPARATOR = ", "


@dataclass(frozen=True)
class SpokenLabels:
    """The words that replace what cannot be read aloud, in the listener's language."""

    code: str = "Code."
    code_in_language: str = "Code in %(language)s."
    formula: str = "Formula."


ENGLISH = SpokenLabels()


def split_sentences(source: str, is_complete: bool, labels: SpokenLabels = ENGLISH) -> list[str]:
    """Return the sentences of a Markdown block, without marks; code and formulas are named and not read.

    Of a block that is not `is_complete` the last one is held back, since nobody knows how it goes on. Those that are
    given come first again when there is more of the block, so whoever counts them is told each of them once.
    """
    complete: list[str] = []
    open_end = ""
    for passage, is_label in _iter_passages(parse_markdown(normalize_source(source), {}), labels):
        pieces = [passage] if is_label else _split_passage(passage)
        complete += filter(None, map(_strip_marks, [open_end, *pieces[:-1]]))
        open_end = pieces[-1]
        if is_label:
            complete, open_end = [*complete, passage], ""
    remainder = _strip_marks(open_end)
    return [
        _with_full_stop(sentence) for sentence in ([*complete, remainder] if is_complete and remainder else complete)
    ]


def _split_passage(passage: str) -> list[str]:
    """Cut a passage behind each sentence; the last piece is the rest of it."""
    ends = [match.end() for match in _SENTENCE_END.finditer(passage)]
    return [passage[a:b] for a, b in pairwise([0, *ends, len(passage)])]


def _iter_passages(tokens: list[Token], labels: SpokenLabels) -> Iterator[tuple[str, bool]]:
    """Return each paragraph, item, heading and row of a table, and whether it is only the name of something."""
    cells: list[str] | None = None
    for token in tokens:
        if token.type == "tr_open":
            cells = []
        elif token.type == "tr_close":
            yield _CELL_SEPARATOR.join(filter(None, cells or [])), False
            cells = None
        elif token.type == "inline":
            text = inline_text(token.children or []).replace("\n", " ")
            if cells is None:
                yield text, False
            else:
                cells.append(text)
        elif token.type in {"fence", "code_block"} and token.content:
            yield _code_label(token, labels), True
        elif token.type == "math_block":
            yield labels.formula, True


def _strip_marks(piece: str) -> str:
    return _UNPAIRED_MARKS.sub("", piece).strip()


def _code_label(token: Token, labels: SpokenLabels) -> str:
    name = language_name(language_of_info(token.info))
    return labels.code_in_language % {"language": name} if name else labels.code


def _with_full_stop(sentence: str) -> str:
    """Add a full stop to a heading or item without one, so that it is not read together with what follows."""
    return f"{sentence}." if sentence[-1].isalnum() else sentence
