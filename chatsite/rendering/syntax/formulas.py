r"""Formulas in Markdown: `$…$` and `\(…\)` in a line, `$$…$$`, `\[…\]` and environments by themselves.

Dollars are mostly money, so what is between two of them has to look like a formula and not like words. Whether a line
begins a formula of its own is decided by that line alone and never taken back: a text that is being written could not
be cut into blocks otherwise. Such a formula ends with its mark, or at the latest at the next empty line; without its
mark it is a paragraph.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

_ENVIRONMENTS = "align|alignat|aligned|array|bmatrix|cases|displaymath|eqnarray|equation|gather|multline|pmatrix|split"
_OPENING = re.compile(rf"\$\$(?!\$)|\\\[|\\begin\{{(?:{_ENVIRONMENTS})\*?\}}")
_CLOSING = {"$$": "$$", r"\[": r"\]"}
_PUNCTUATION = frozenset({"", ".", ",", ";", ":"})
_INLINE = re.compile(
    r"""
    \$\$(?P<shown>(?:[^$\\]|\\.)+)\$\$
    | (?<![0-9A-Za-z$\\])\$(?![\s$])(?P<money>(?:[^$\\`]|\\.)+)(?<!\s)\$(?![\d$])(?!(?!(?:s|st|nd|rd|th)\b)[A-Za-z_])
    | \\\((?P<inner>.+?)\\\)
    | \\\[(?P<outer>.+?)\\\]
    """,
    re.VERBOSE | re.DOTALL,
)
# What remains of a formula without its commands and the words that it calls words.
_COMMAND = re.compile(r"\\(?:text|textbf|textit|mathrm|operatorname|mbox)\*?\s*\{[^{}]*\}|\\[A-Za-z]+|\\.")
_SENTENCE = re.compile(r"(?<![A-Za-z])[A-Za-z]{2,}[,.]?\s+[a-z]{2,}(?![A-Za-z])")
_WORD = re.compile(r"(?<![A-Za-z])[A-Za-z]{3,}|\s[a-z]{2,}\s")
_OPERATOR = re.compile(r"[\\^_=<>+\-*/|]")


def install_plugin(parser: MarkdownIt) -> None:
    """Teach `parser` to find formulas: its tokens `math_inline`, some of which are `block`, and `math_block`."""
    interrupts = ["paragraph", "reference", "blockquote", "list"]
    parser.block.ruler.before("fence", "math_block", _read_block, {"alt": interrupts})
    parser.inline.ruler.before("escape", "math_inline", _read_inline)


def _is_formula(latex: str) -> bool:
    """Return whether `latex` looks like a formula; prices with words between them do not."""
    rest = _COMMAND.sub(" ", latex.strip())
    return bool(rest) and not _SENTENCE.search(rest) and not (rest[0].isdigit() and _WORD.search(rest))


def _read_inline(state: StateInline, silent: bool) -> bool:
    """Read a formula within a paragraph."""
    match = _INLINE.match(state.src, state.pos, state.posMax)
    if match is None:
        return False
    kind, latex = match.lastgroup, match[match.lastgroup or 0]
    if not _is_formula(latex) or (kind == "outer" and not _OPERATOR.search(latex)):
        return False
    if not silent:
        token = state.push("math_inline", "math", 0)
        token.content, token.markup, token.block = latex.strip(), match[0], kind in {"shown", "outer"}
    state.pos = match.end()
    return True


def _read_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Read a formula that has its lines for itself, or a paragraph that begins like one and is none."""
    if state.is_code_block(start):
        return False
    first = state.src[state.bMarks[start] + state.tShift[start] : state.eMarks[start]]
    opening = _OPENING.match(first)
    if opening is None or not _begins_formula(first, opening):
        return False
    if silent:
        return True
    last, is_closed = _find_formula_end(state, start, end, offset=opening.end(), closing=_closing_mark(opening[0]))
    source = state.getLines(start, last + 1, state.blkIndent, False).strip()
    state.line = last + 1
    if is_closed:
        _push_formula(state, start, source, opening=opening[0])
    else:
        _push_paragraph(state, start, source)
    return True


def _begins_formula(line: str, opening: re.Match[str]) -> bool:
    """Return whether a line that starts with an opening mark begins a formula of its own."""
    inner, closed, after = line[opening.end() :].partition(_closing_mark(opening[0]))
    if closed and after.strip() not in _PUNCTUATION:
        return False
    if opening[0] not in _CLOSING:
        return True
    if not inner.strip():
        return not closed
    return _is_formula(inner) and (bool(closed and opening[0] == "$$") or bool(_OPERATOR.search(inner)))


def _closing_mark(opening: str) -> str:
    """Return the mark that ends what `prefix_for` begins."""
    return _CLOSING.get(opening) or opening.replace("begin", "end")


def _find_formula_end(state: StateBlock, start: int, end: int, *, offset: int, closing: str) -> tuple[int, bool]:
    """Return the last line of what begins at `start`, and whether a closing mark ends it."""
    line = start
    while True:
        text = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]
        _, closed, after = text[offset:].partition(closing)
        if closed:
            return line, after.strip() in _PUNCTUATION
        line, offset = line + 1, 0
        if line >= end or state.isEmpty(line) or state.sCount[line] < state.blkIndent:
            return line - 1, False


def _push_formula(state: StateBlock, start: int, source: str, *, opening: str) -> None:
    """Add the token of a formula; punctuation behind it becomes a part of it."""
    token = state.push("math_block", "math", 0)
    token.map, token.markup, token.block = [start, state.line], source, True
    if opening in _CLOSING:
        inner, _, after = source[len(opening) :].rpartition(_closing_mark(opening))
        token.content = (inner.rstrip() + after).strip()
    else:
        token.content = source


def _push_paragraph(state: StateBlock, start: int, source: str) -> None:
    """Add the tokens of a paragraph."""
    lines = [start, state.line]
    state.push("paragraph_open", "p", 1).map = lines
    inline = state.push("inline", "", 0)
    inline.content, inline.map, inline.children = source, list(lines), []
    state.push("paragraph_close", "p", -1)


def turn_into_code(token: Token) -> None:
    """Make a formula that cannot be set a piece of code, which it stays readable as."""
    if token.type == "math_block":
        token.type, token.tag, token.info, token.content = "fence", "code", "latex", token.markup + "\n"
    else:
        token.type, token.tag, token.content = "code_inline", "code", token.markup
