"""The sentences of a growing text for screen readers, each as soon as it is complete."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from markdown_it.token import Token

from chatsite.rendering.blocks import BlockStream
from chatsite.rendering.highlight import language_name
from chatsite.rendering.markdown_parser import normalize_source, parse_markdown
from chatsite.rendering.syntax.fences import language_of_info
from chatsite.rendering.syntax.links import inline_text

# The end of a sentence. If a small letter follows, it was an abbreviation.
_SENTENCE_END = re.compile(r"[.!?…][\"'”’»)\]*_~`]*(?=\s+[^\sa-zß-öø-ÿ])|[。！？]")  # noqa: RUF001
# What is left of marks in plain text has no partner yet.
_UNPAIRED_MARKS = re.compile(r"[*`~]+(?=\S)|(?<=\S)[*`~]+|(?<!\w)_+|_+(?!\w)|^[*`~]+$")
_CELL_SEPARATOR = ", "

MAX_SPOKEN_CHARS = 15_000
"""An answer is announced up to here, a quarter of an hour of speech; parsing more would hold the worker."""

MAX_OPEN_CHARS = 5_000
"""An open block is parsed with each announcement, so what is longer is announced when the block is finished."""


@dataclass(frozen=True)
class SpokenLabels:
    """The words that replace what cannot be read aloud, in the listener's language."""

    code: str = "Code."
    code_in_language: str = "Code in %(language)s."
    formula: str = "Formula."
    rest: str = "The rest of the answer is on the page."


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


class GrowingSentences:
    """The sentences of blocks that grow, up to MAX_SPOKEN_CHARS characters. A finished block is split once."""

    def __init__(self, blocks: BlockStream) -> None:
        self._blocks = blocks
        self._finished: list[str] = []
        self._split_blocks = 0
        self._split_chars = 0

    def list_complete(self, labels: SpokenLabels = ENGLISH) -> list[str]:
        """Return the sentences that are complete; the open block may still add to its last one."""
        self._split_finished(labels)
        return [*self._finished, *split_sentences(self._cut(self._blocks.open)[:MAX_OPEN_CHARS], False, labels)]

    def list_all(self, labels: SpokenLabels = ENGLISH) -> list[str]:
        """Return all sentences once nothing follows, and at last that there is more, if that is so."""
        self._split_finished(labels)
        last = self._cut(self._blocks.open)
        has_more = self._split_chars + len(self._blocks.open) > MAX_SPOKEN_CHARS
        return [*self._finished, *split_sentences(last, not has_more, labels), *([labels.rest] if has_more else [])]

    def _split_finished(self, labels: SpokenLabels) -> None:
        for source in self._blocks.finished[self._split_blocks :]:
            if said := self._cut(source):
                self._finished += split_sentences(said, said == source, labels)
            self._split_chars += len(source)
        self._split_blocks = len(self._blocks.finished)

    def _cut(self, source: str) -> str:
        """Return what of the next block is still announced."""
        return source[: max(0, MAX_SPOKEN_CHARS - self._split_chars)]


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
