"""Markdown to HTML that is safe to put into a page.

The steps are: parse without HTML, render, sanitize, and only then decorate (`decoration.py`). What a model writes can
therefore never become a button.

These functions may take as long as a text makes them take. The site calls them in a process of their own, with a limit
(`render_process.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import IntEnum
from functools import lru_cache

from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import escape

from chatsite.rendering.decoration import CodeBlock, SanitizedBlock, block_as_written, max_line_columns
from chatsite.rendering.headings import nested_levels
from chatsite.rendering.highlight import highlight_code
from chatsite.rendering.markdown_parser import (
    MARKDOWN_PARSER,
    Definitions,
    normalize_source,
    parse_markdown,
    split_source,
)
from chatsite.rendering.sanitizer import sanitize_html
from chatsite.rendering.syntax.fences import language_of_info
from chatsite.rendering.syntax.formulas import turn_into_code
from chatsite.rendering.syntax.links import References, definition_tokens
from chatsite.rendering.syntax.mathml import render_mathml

MAX_CACHED_BLOCKS = 512
MAX_CACHED_CHARS = 8_000
"""The cache holds this many blocks, none of them with more characters."""

_HEADINGS = {"h1": "h3", "h2": "h4", "h3": "h5", "h4": "h6", "h5": "h6", "h6": "h6"}
_HEADING = re.compile(r"\A<h[3-6]( [^<]*>.*)</h[3-6]>", re.DOTALL)


class Detail(IntEnum):
    """How much is made of a block: each step adds what may take longer than the one before.

    The text as it was written; Markdown, with code in one color and formulas as code; with formulas; with colors.
    """

    SOURCE = 0
    MARKDOWN = 1
    FORMULAS = 2
    COLORS = 3


class Document:
    """A whole text, cut into the blocks that a stream of it has."""

    def __init__(self, source: str) -> None:
        self._sources, self._definitions = split_source(normalize_source(source))
        self._levels = nested_levels(self._sources)
        if self._definitions.references:
            self._find_used_references()

    def __len__(self) -> int:
        """Return the number of blocks."""
        return len(self._sources)

    def _find_used_references(self) -> None:
        """Note which definitions something refers to, wherever it is: the others are shown."""
        for source in self._sources:
            if "[" in source:
                parse_markdown(source, dict(vars(self._definitions)))

    def sanitize_block(self, index: int, detail: Detail = Detail.COLORS) -> SanitizedBlock:
        """Return the sanitized HTML of a block, which knows the definitions of the whole text."""
        source, level = self._sources[index], self._levels[index]
        if not self._definitions or "[" not in source:
            return sanitize_block(source, detail, level=level)
        return _with_level(_render_sanitized(source, detail, self._definitions), level)


def sanitize_block(source: str, detail: Detail = Detail.COLORS, *, level: int = 0) -> SanitizedBlock:
    """Return the sanitized HTML of one block, whose heading is of `level`, if that is not 0.

    Only what has all details is cached: the open end of a growing text changes with every token and is never asked for
    again.
    """
    source = normalize_source(source)
    if detail is Detail.COLORS and len(source) <= MAX_CACHED_CHARS:
        return _with_level(_render_cached(source), level)
    return _with_level(_render_sanitized(source, detail), level)


def _with_level(block: SanitizedBlock, level: int) -> SanitizedBlock:
    """Return the block with its heading, if it is one, on another level."""
    return SanitizedBlock(_HEADING.sub(rf"<h{level}\1</h{level}>", block.html), block.code_blocks) if level else block


@lru_cache(maxsize=MAX_CACHED_BLOCKS)
def _render_cached(source: str) -> SanitizedBlock:
    """Cache finished blocks, without the labels, which depend on the reader."""
    return _render_sanitized(source, Detail.COLORS)


def _render_sanitized(source: str, detail: Detail, definitions: Definitions | None = None) -> SanitizedBlock:
    """Parse, render and sanitize normalized `source`; return it as plain text if it is nested too deeply."""
    if detail is Detail.SOURCE:
        return block_as_written(source)
    known = definitions or Definitions(References(), set())
    env: dict[str, object] = {**vars(known), "highlight": detail is Detail.COLORS}
    tokens = parse_markdown(source, env)
    for token in _iter_with_children(tokens):
        if token.type in ("math_block", "math_inline"):
            _convert_formula(token, detail)
    for token in tokens:
        _adapt_token(token)
    codes = tuple(
        CodeBlock(language_of_info(token.info), max_line_columns(token.content))
        for token in tokens
        if token.type in ("fence", "code_block")
    )
    return SanitizedBlock(sanitize_html(_RENDERER.render(tokens, MARKDOWN_PARSER.options, env)), codes)


def _iter_with_children(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from token.children or ()


def _convert_formula(token: Token, detail: Detail) -> None:
    """Put MathML in place of a formula's LaTeX; one that cannot be set, or that nobody wants set, is code."""
    mathml = render_mathml(token.content, token.block) if detail >= Detail.FORMULAS else None
    if mathml is None:
        turn_into_code(token)
    else:
        token.content = mathml


def _adapt_token(token: Token) -> None:
    """Fit a block into the page.

    The page has the first two levels of headings. A top-level block finds its own direction of writing;
    inner ones have none, because a block with a direction does not count when the block around it looks for
    its own. The alignment of a cell must not be a style, which the content security policy forbids.
    """
    token.tag = _HEADINGS.get(token.tag, token.tag)
    if token.level == 0 and token.nesting == 1:
        token.attrSet("dir", "auto")
    style = token.attrs.pop("style", None)
    if style is not None:
        token.attrSet("align", str(style).removeprefix("text-align:"))


class _Renderer(RendererHTML):
    """Renders HTML in the form that the sanitizer expects."""

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Return fenced code, in colors if the environment says so."""
        token = tokens[idx]
        code = (
            highlight_code(token.content, language_of_info(token.info)) if env["highlight"] else escape(token.content)
        )
        return f"<pre><code>{code}</code></pre>\n"

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Return indented code, which names no language."""
        return f"<pre><code>{escape(tokens[idx].content)}</code></pre>\n"

    def link_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Return the beginning of a link; the page that it leads to does not learn where it was."""
        tokens[idx].attrSet("referrerpolicy", "no-referrer")
        return self.renderToken(tokens, idx, options, env)

    def code_inline(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Return code within a line, which finds its own direction of writing."""
        return f'<code dir="auto">{escape(tokens[idx].content)}</code>'

    def math_inline(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Return a formula within a line, which is MathML by now."""
        return tokens[idx].content

    def math_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Return a formula that stands by itself."""
        return self.math_inline(tokens, idx, options, env) + "\n"

    def link_definition(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Return the definitions that nothing refers to, as a paragraph."""
        token = tokens[idx]
        shown = definition_tokens(token, MARKDOWN_PARSER, env["references"].used)
        direction = ' dir="auto"' if token.level == 0 else ""
        return f"<p{direction}>{self.renderInline(shown, options, env)}</p>\n" if shown else ""

    def footnote_mark(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Return the raised label of a note."""
        return f"<sup>{escape(tokens[idx].content)}</sup>"

    def task(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Return the box before a task."""
        return f'<span class="{f"todo {tokens[idx].info}".strip()}"></span>'


_RENDERER = _Renderer(MARKDOWN_PARSER)
