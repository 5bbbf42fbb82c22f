"""The few HTML elements that Markdown has no marks for and that models write: line ends in cells, and small letters.

All other HTML is text. What is let through here meets the sanitizer like everything else.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline

_LINE_END = re.compile(r"<br\s{0,3}/?>", re.IGNORECASE)
_ELEMENT = re.compile(r"<(sub|sup|kbd)>([^<]+)</\1>", re.IGNORECASE)


def install_plugin(parser: MarkdownIt) -> None:
    """Teach `parser` `<br>`, `<sub>`, `<sup>` and `<kbd>`."""
    parser.inline.ruler.before("autolink", "inline_html", _read_element)


def _read_element(state: StateInline, silent: bool) -> bool:
    """Read a line end, or an element that ends in the same paragraph."""
    if state.src[state.pos] != "<":
        return False
    if match := _LINE_END.match(state.src, state.pos, state.posMax):
        if not silent:
            state.push("hardbreak", "br", 0)
    elif match := _ELEMENT.match(state.src, state.pos, state.posMax):
        if not silent:
            _push_element(state, match)
    else:
        return False
    state.pos = match.end()
    return True


def _push_element(state: StateInline, match: re.Match[str]) -> None:
    """Add the tokens of an element, inside of which there may be marks."""
    tag, end = match[1].lower(), state.posMax
    state.push(f"{tag}_open", tag, 1)
    state.pos, state.posMax = match.span(2)
    state.md.inline.tokenize(state)
    state.posMax = end
    state.push(f"{tag}_close", tag, -1)
