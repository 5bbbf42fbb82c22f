"""Footnotes as GitHub has them: `[^1]` in the text, and `[^1]: …` somewhere on a line of its own.

A note is shown where it was written, with its label raised. A mark without a note stays text, which is what `[^a-z]`
usually is.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

_LABEL = r"\[\^([^\s\[\]^]{1,40})\]"
_NOTE = re.compile(_LABEL + r":[ \t]*(?=\S)")
_MARK = re.compile(_LABEL)
# As in lists: lines that are indented this much belong to the note above them.
_INDENT = 4


def install_plugin(parser: MarkdownIt) -> None:
    """Teach `parser` footnotes. The labels of all notes are collected in `footnotes` of the environment."""
    parser.block.ruler.before(
        "reference", "footnote", _read_note, {"alt": ["paragraph", "reference", "blockquote", "list"]}
    )
    parser.inline.ruler.before("link", "footnote_mark", _read_mark)
    parser.core.ruler.push("label_footnotes", _label_notes)


def _read_note(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Read a note: a block with blocks inside of it."""
    if state.is_code_block(start):
        return False
    first = state.bMarks[start] + state.tShift[start]
    match = _NOTE.match(state.src, first, state.eMarks[start])
    if match is None:
        return False
    if silent:
        return True
    state.env.setdefault("footnotes", set()).add(match[1])
    opening = state.push("footnote_open", "div", 1)
    opening.attrs = {"class": "footnote"}
    opening.info = match[1]
    before = state.bMarks[start], state.tShift[start], state.sCount[start], state.blkIndent
    state.blkIndent += _INDENT
    state.bMarks[start], state.tShift[start], state.sCount[start] = match.end(), 0, state.blkIndent
    state.md.block.tokenize(state, start, end)
    state.bMarks[start], state.tShift[start], state.sCount[start], state.blkIndent = before
    state.push("footnote_close", "div", -1)
    opening.map = [start, state.line]
    return True


def _read_mark(state: StateInline, silent: bool) -> bool:
    """Read the mark of a note that there is."""
    match = _MARK.match(state.src, state.pos, state.posMax)
    if match is None or match[1] not in state.env.get("footnotes", ()):
        return False
    if not silent:
        token = state.push("footnote_mark", "sup", 0)
        token.content = match[1]
    state.pos = match.end()
    return True


def _label_notes(state: StateCore) -> None:
    """Put the label of each note before its words."""
    label = ""
    for token in state.tokens:
        if token.type == "footnote_open":
            label = token.info
        elif label and token.type == "inline":
            mark = Token("footnote_mark", "sup", 0, content=label)
            token.children = [mark, Token("text", "", 0, content=" "), *(token.children or [])]
            label = ""
