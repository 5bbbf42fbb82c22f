"""Markdown to HTML that is safe to put into a page.

The steps are: parse without HTML, render, sanitise, and only then put figures with a copy button around
code and scrolling boxes around tables and long formulas. What a model writes can therefore never become a button.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from markdown_it.common.utils import unescapeAll
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup, escape

from chatsite.rendering.formulas import as_code
from chatsite.rendering.highlight import called
from chatsite.rendering.highlight import highlight as coloured
from chatsite.rendering.mathml import mathml
from chatsite.rendering.outline import levels
from chatsite.rendering.parser import MARKDOWN, cut, parse, tidy
from chatsite.rendering.sanitiser import clean

MOST_KEPT = 512
MOST_KEPT_CHARACTERS = 8_000
"""The cache holds this many blocks, none of them with more characters."""

_HEADINGS = {"h1": "h3", "h2": "h4", "h3": "h5", "h4": "h6", "h5": "h6", "h6": "h6"}
_LANGUAGE = re.compile(r"[A-Za-z0-9_+#.-]{1,30}")
_SEAM = re.compile(
    r"<pre><code>|</code></pre>|<table(?: dir=\"auto\")?>|</table>|<span class=\"todo(?: done)?\">"
    r"|<math .*?</math>[^\s<&]{0,4}",
    re.DOTALL,
)
_TAG = re.compile("<[^>]*>")
_HEADING = re.compile(r"\A<h[3-6]( [^<]*>.*)</h[3-6]>", re.DOTALL)
# East Asian letters and pictures take two columns.
_WIDE = re.compile("[\u1100-\U0010ffff]")

SHORT_LINE, LIST_LINE, COLUMN_LINE = 30, 56, 74
"""Code whose lines have no more characters fits everywhere, in lists, and where the column has its full width.

Where it fits it has no button that breaks its lines.
"""

SHORT_FORMULA = 24
"""A formula with no more characters fits everywhere, so nobody has to scroll it with the keyboard."""


@dataclass(frozen=True)
class Labels:
    """The words that the page adds to a message, in the reader's language; plain text, escaped here."""

    copy: str = "Copy"
    code: str = "Code"
    wrap: str = "Wrap"
    table: str = "Table"
    formula: str = "Formula"
    done: str = "Done"
    to_do: str = "To do"


ENGLISH = Labels()


class _Code(NamedTuple):
    """What is said of a code block: its language, which may be empty, and how long its longest line is."""

    language: str
    width: int


@dataclass(frozen=True)
class _Clean:
    """Sanitised HTML, and what is to be said of the code blocks in it, in their order."""

    html: str
    codes: tuple[_Code, ...]


def render(source: str, labels: Labels = ENGLISH) -> Markup:
    """Give the HTML of a whole Markdown text; any string will do, and nothing is raised.

    It is rendered block by block, so that what was streamed comes from the cache.
    """
    blocks, references = cut(tidy(source))
    ranks = zip(blocks, levels(blocks), strict=True)
    if references:
        return Markup("").join(_dress(_clean(block, True, references), labels, level) for block, level in ranks)
    return Markup("").join(render_block(block, labels=labels, level=level) for block, level in ranks)


def render_block(source: str, highlight: bool = True, labels: Labels = ENGLISH, level: int = 0) -> Markup:
    """Give the HTML of one block, or of the open end of a text that is still being written.

    A heading gets the `level` of `outline.levels`, if that is not 0.

    Without `highlight` code has no colours and nothing is cached: that is for the open end, which changes
    with every token and is never asked for again.
    """
    source = tidy(source)
    if highlight and len(source) <= MOST_KEPT_CHARACTERS:
        return _dress(_cached(source), labels, level)
    return _dress(_clean(source, highlight, {}), labels, level)


@lru_cache(maxsize=MOST_KEPT)
def _cached(source: str) -> _Clean:
    """Remember finished blocks, without the labels, which depend on who reads."""
    return _clean(source, True, {})


def _clean(source: str, highlight: bool, references: Mapping[str, object]) -> _Clean:
    """Parse, render and sanitise tidy `source`; what is nested too deeply is shown as it was written."""
    env: dict[str, object] = {"references": dict(references), "highlight": highlight}
    tokens = parse(source, env)
    for token in tokens:
        _adapt(token)
    codes = tuple(
        _Code(_language(token), _width(token.content)) for token in tokens if token.type in ("fence", "code_block")
    )
    return _Clean(clean(_RENDERER.render(tokens, MARKDOWN.options, env)), codes)


def _adapt(token: Token) -> None:
    """Fit a block into the page.

    The page has the first two levels of headings. A top-level block finds its own direction of writing;
    inner ones have none, because a block with a direction does not count when the block around it looks for
    its own. The alignment of a cell must not be a style, which the content security policy forbids. A formula that
    cannot be set is code.
    """
    for part in (token, *(token.children or ())):
        if part.type in ("math_block", "math_inline") and mathml(part.content, part.block) is None:
            as_code(part)
    token.tag = _HEADINGS.get(token.tag, token.tag)
    if token.level == 0 and token.nesting == 1:
        token.attrSet("dir", "auto")
    style = token.attrs.pop("style", None)
    if style is not None:
        token.attrSet("align", str(style).removeprefix("text-align:"))


def _language(token: Token) -> str:
    """Give the language that a code block names, in small letters; empty if it names none or is no name."""
    first = (unescapeAll(token.info).split() or [""])[0]
    return first.lower() if _LANGUAGE.fullmatch(first) else ""


def _width(code: str) -> int:
    """Give about how many columns the longest line takes."""
    return max(len(line) + len(_WIDE.findall(line)) for line in code.expandtabs(4).split("\n"))


class _Renderer(RendererHTML):
    """HTML as the sanitiser expects it."""

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Give fenced code, in colours if the environment says so."""
        token = tokens[idx]
        code = coloured(token.content, _language(token)) if env["highlight"] else escape(token.content)
        return f"<pre><code>{code}</code></pre>\n"

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Give indented code, which names no language."""
        return f"<pre><code>{escape(tokens[idx].content)}</code></pre>\n"

    def link_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Give the beginning of a link; the page that it leads to does not learn where it was."""
        tokens[idx].attrSet("referrerpolicy", "no-referrer")
        return self.renderToken(tokens, idx, options, env)

    def code_inline(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Give code within a line, which finds its own direction of writing."""
        return f'<code dir="auto">{escape(tokens[idx].content)}</code>'

    def math_inline(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Give a formula within a line; those that cannot be set are no longer among the tokens."""
        return mathml(tokens[idx].content, tokens[idx].block) or ""

    def math_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Give a formula that stands by itself."""
        return self.math_inline(tokens, idx, options, env) + "\n"

    def task(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Give the box before a task."""
        return f'<span class="{f"todo {tokens[idx].info}".strip()}"></span>'


_RENDERER = _Renderer(MARKDOWN)


def _dress(cleaned: _Clean, labels: Labels, level: int) -> Markup:
    """Put figures around code and boxes around tables, and a heading on its level.

    Sanitised HTML has no bare `<` in its text or values, so a tag's spelling is found only where that tag
    is; and only the renderer writes `<pre>`, once for each language.
    """
    codes = iter(cleaned.codes)
    html = _HEADING.sub(rf"<h{level}\1</h{level}>", cleaned.html) if level else cleaned.html
    return Markup(_SEAM.sub(lambda seam: _sewn(seam[0], codes, labels), html))  # noqa: S704


def _sewn(tag: str, codes: Iterator[_Code], labels: Labels) -> str:
    """Give what takes the place of `tag`, which is a whole element if it is a formula."""
    if tag == "<pre><code>":
        return _figure(next(codes), labels)
    if tag == "</code></pre>":
        return "</code></pre></figure>"
    if tag == "</table>":
        return "</table></div>"
    if tag.startswith("<math"):
        return _formula(tag, labels)
    if tag.startswith("<span"):
        return f'{tag[:-1]} role="img" aria-label="{escape(labels.done if "done" in tag else labels.to_do)}">'
    return f'<div class="table-scroll" tabindex="0" role="region" aria-label="{escape(labels.table)}">{tag}'


def _figure(code: _Code, labels: Labels) -> str:
    """Give the beginning of a code figure; a keyboard can scroll it, and code runs left to right."""
    name = called(code.language)
    label = f"{labels.code}: {name}" if name else labels.code
    kind = f' class="language-{escape(code.language)}"' if code.language else ""
    return (
        f'<figure class="code"><figcaption><span class="code-language">{escape(name or labels.code)}</span>'
        f"{_wrap(code.width, labels)}"
        f'<button type="button" class="copy">{escape(labels.copy)}</button></figcaption>'
        f'<pre dir="ltr" tabindex="0" role="region" aria-label="{escape(label)}">'
        f"<code{kind}>"
    )


def _wrap(width: int, labels: Labels) -> str:
    """Give what breaks the lines of code, a box to tick that needs no script; nothing where all lines fit."""
    if width <= SHORT_LINE:
        return ""
    kind = "wrap" if width > COLUMN_LINE else "wrap narrow" if width > LIST_LINE else "wrap slim"
    return f'<label class="{kind}"><input type="checkbox" autocomplete="off">{escape(labels.wrap)}</label>'


def _formula(found: str, labels: Labels) -> str:
    """Put a box around a formula that stands by itself or is long; long ones can be scrolled with a keyboard.

    `found` has the letters after it, too, which are kept on its line.
    """
    math, end, after = found.rpartition("</math>")
    alone = ' display="block"' in math.partition(">")[0]
    long = len(_TAG.sub("", math.partition("<annotation")[0])) > SHORT_FORMULA
    if not alone and not long:
        return f'<span class="kept">{found}</span>' if after else found
    reach = f' tabindex="0" role="group" aria-label="{escape(labels.formula)}"' if long else ""
    return f'<span class="{"formula" if alone else "formula within"}"{reach}>{math}{end}</span>{after}'
