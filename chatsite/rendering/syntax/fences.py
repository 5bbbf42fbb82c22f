"""Fenced code: what its first line says, and documents in Markdown that have fences of their own.

CommonMark ends such a document at its first inner fence. Models write one inside of another all the time, when they are
asked for a README or a prompt.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.common.utils import unescapeAll
from markdown_it.rules_block import StateBlock, fence

_DOCUMENT = re.compile(r"(`{3,}|~{3,})[ \t]*(?:markdown|md|mdx)\b[^`]*", re.IGNORECASE)
_LANGUAGE = re.compile(r"[A-Za-z0-9_+#.-]{1,30}")
_LANGUAGE_END = re.compile(r"[:,;={}]")


def install_plugin(parser: MarkdownIt) -> None:
    """Teach `parser` fences in documents that are fenced themselves."""
    parser.block.ruler.at("fence", _read_fence, {"alt": ["paragraph", "reference", "blockquote", "list"]})


def language_of_info(info: str) -> str:
    """Return the language that the first line of fenced code names, in lower case; empty if it names none.

    `python`, `python:app.py`, `{.python}` and `js {1,3}` do, among other forms.
    """
    first = (unescapeAll(info).split() or [""])[0].lstrip("{").lstrip(".")
    name = _LANGUAGE_END.split(first, maxsplit=1)[0]
    return name.lower() if _LANGUAGE.fullmatch(name) else ""


def _read_fence(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Read fenced code. In a document, a fence with a language opens an inner one, which has an end of its own."""
    opening = None if silent or state.is_code_block(start) else _DOCUMENT.fullmatch(_line(state, start))
    if opening is None:
        return fence(state, start, end, silent)
    last, is_closed = _find_document_end(state, start, end, marks=opening[1])
    token = state.push("fence", "code", 0)
    state.line = last + 1 if is_closed else last
    token.info, token.markup = opening[0][len(opening[1]) :], opening[1]
    token.content = state.getLines(start + 1, last, state.sCount[start], True)
    token.map = [start, state.line]
    return True


def _find_document_end(state: StateBlock, start: int, end: int, *, marks: str) -> tuple[int, bool]:
    """Return the line after the document's last one, and whether that has closing marks."""
    mark = re.compile(rf"{marks[0]}{{{len(marks)},}}([^`]*)")
    depth = 0
    for line in range(start + 1, end):
        if state.sCount[line] < state.blkIndent and not state.isEmpty(line):
            return line, False
        found = mark.fullmatch(_line(state, line))
        if found is None:
            continue
        if found[1].strip():
            depth += 1
        elif depth:
            depth -= 1
        elif not state.is_code_block(line):
            return line, True
    return end, False


def _line(state: StateBlock, line: int) -> str:
    """Return a line without the blanks around it."""
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].strip()
