"""The Markdown parsers: CommonMark 0.31 with GitHub's tables, strikethrough, task lists and footnotes, and formulas.

Both parsers here know the same syntax. MARKDOWN reads everything; OUTLINE stops at the blocks, which is all
that cutting a text into blocks needs and a fraction of the work.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping, Set
from dataclasses import dataclass
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from chatsite.rendering.syntax import fences, footnotes, formulas, inline_html, links
from chatsite.rendering.syntax.emphasis import InlineState
from chatsite.rendering.syntax.links import References

MAX_SOURCE_CHARS = 100_000
"""A text with more characters is shown as it was written: its tables alone could take seconds to parse."""

MAX_NESTING = 40
"""The parser drops what is nested deeper than this, so `parse` looks for it before."""

MAX_INLINE_CHARS = 5_000
"""A paragraph, heading or cell with more characters keeps its text and loses its inline marks.

Some rows of brackets or stars take quadratic time, which this bounds. Code has no inline marks, hence no
bound.
"""

_FORBIDDEN_CHARS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_LINE_END = re.compile("\r\n?")
_LINK = re.compile(r"https?://[^/]|mailto:.", re.IGNORECASE)
_TASK = re.compile(r"\[([ xX])\]\s+")
_CONTAINERS = frozenset({"footnote_open", "blockquote_open", "bullet_list_open", "ordered_list_open", "list_item_open"})


def normalize_source(source: str) -> str:
    """Return `source` with line feeds as its only line ends and U+FFFD for each character that no text holds.

    Those are control characters and halves of surrogate pairs; HTML forbids both.
    """
    return _FORBIDDEN_CHARS.sub("\ufffd", _LINE_END.sub("\n", source))


class _MarkdownIt(MarkdownIt):
    """A parser for which only absolute web and mail addresses are links; others stay text."""

    def validateLink(self, url: str) -> bool:  # noqa: N802
        """Return whether `url` may be a link; the name is the parent's."""
        return _LINK.match(url) is not None


def _read_inline(state: StateCore) -> None:
    """Read the marks inside each paragraph, heading and cell; an overlong one becomes one piece of text."""
    for token in state.tokens:
        if token.type != "inline":
            continue
        if len(token.content) > MAX_INLINE_CHARS:
            token.children = [Token("text", "", 0, content=token.content)]
        else:
            token.children = _parse_inline(token.content, state)


def _parse_inline(content: str, state: StateCore) -> list[Token]:
    """Return the tokens of a paragraph, as `ParserInline.parse` does with a state of another class."""
    inline = InlineState(content, state.md, state.env, [])
    state.md.inline.tokenize(inline)
    for rule in state.md.inline.ruler2.getRules(""):
        rule(inline)
    return inline.tokens


def _find_tasks(state: StateCore) -> None:
    """Turn `[ ]` and `[x]` at the beginning of a list item into a token `task`, whose `info` is empty or `done`."""
    for item, _, inline in zip(state.tokens, state.tokens[1:], state.tokens[2:], strict=False):
        if item.type != "list_item_open" or not inline.children or inline.children[0].type != "text":
            continue
        text = inline.children[0]
        match = _TASK.match(text.content)
        if match and (match.end() < len(text.content) or len(inline.children) > 1):
            text.content = text.content[match.end() :]
            inline.children.insert(0, Token("task", "span", 0, info="" if match[1] == " " else "done"))


def _build_parser() -> MarkdownIt:
    """Make the parser of everything."""
    options = {"html": False, "xhtmlOut": False, "breaks": True, "maxNesting": MAX_NESTING}
    parser = _MarkdownIt("commonmark", options)
    parser.enable(["table", "strikethrough"])
    parser.core.ruler.at("inline", _read_inline)
    parser.core.ruler.push("find_tasks", _find_tasks)
    for syntax in (links, fences, footnotes, inline_html, formulas):
        syntax.install_plugin(parser)
    return parser


def _build_block_parser() -> MarkdownIt:
    """Make the parser of blocks."""
    parser = _build_parser()
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser


MARKDOWN_PARSER = _build_parser()
BLOCK_PARSER = _build_block_parser()


def parse_markdown(source: str, env: MutableMapping[str, object]) -> list[Token]:
    """Return the block tokens of tidy `source`, with the inline ones as their children.

    A source that is too long, or nested so deeply that the parser would drop some of it, comes back as one
    block of code, so that nothing is lost.
    """
    if len(source) <= MAX_SOURCE_CHARS:
        tokens = MARKDOWN_PARSER.parse(source, env)
        if not any(token.level >= MAX_NESTING - 1 and token.type in _CONTAINERS for token in tokens):
            return tokens
    return [Token("code_block", "code", 0, content=source)]


@dataclass(frozen=True)
class Definitions:
    """What a text defines anywhere and refers to anywhere: links, and the labels of its footnotes."""

    references: References
    footnotes: Set[str]

    def __bool__(self) -> bool:
        return bool(self.references or self.footnotes)


def split_source(source: str) -> tuple[list[str], Definitions]:
    """Cut tidy `source` into its top-level blocks and find the definitions in it.

    The blocks joined together are the source: each runs to the line where the next one starts.
    """
    definitions = Definitions(References(), set())
    if len(source) > MAX_SOURCE_CHARS:
        return [source], definitions
    tokens = BLOCK_PARSER.parse(source, vars(definitions))
    starts = [token.map[0] for token in tokens if token.level == 0 and token.map and token.nesting >= 0]
    lines = source.split("\n")
    boundaries = [0, *starts[1:], len(lines)]
    blocks = ["\n".join(lines[a:b]) for a, b in pairwise(boundaries)]
    blocks_with_ends = [block + "\n" for block in blocks[:-1]] + blocks[-1:]
    return [block for block in blocks_with_ends if block], definitions
