"""What the page adds to sanitized blocks: figures with a copy button around code, boxes around tables and formulas.

It comes after the sanitizer, so what a model writes can never become a button.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup, escape

from chatsite.rendering.highlight import language_name

_DECORATED_TAG = re.compile(
    r"<pre><code>|</code></pre>|<table(?: dir=\"auto\")?>|</table>|<th(?: align=\"\w+\")?></th>"
    r"|<span class=\"todo(?: done)?\">"
    r"|<math .*?</math>[^\s<&]{0,4}",
    re.DOTALL,
)
_TAG = re.compile("<[^>]*>")
_HEADER_CELL = re.compile("<th[^>]*>(.*?)</th>", re.DOTALL)
_ANNOTATION = re.compile("<annotation.*?</annotation>", re.DOTALL)
# East Asian letters and pictures take two columns.
_WIDE = re.compile("[\u1100-\U0010ffff]")

MAX_SHORT_LINE, MAX_LIST_LINE, MAX_COLUMN_LINE = 30, 56, 74
"""Code whose lines have no more characters fits everywhere, in lists, and where the column has its full width.

Where it fits it has no button that breaks its lines.
"""

MAX_SHORT_FORMULA = 24
"""A formula with no more characters fits everywhere, so nobody has to scroll it with the keyboard."""


MAX_TABLE_NAME = 80
"""A table is named by its header cells, up to so many characters."""


@dataclass(frozen=True)
class Labels:
    """The words that the page adds to a message, in the reader's language; plain text, escaped here."""

    copy: str = "Copy"
    download: str = "Download"
    code: str = "Code"
    wrap: str = "Wrap"
    table: str = "Table"
    formula: str = "Formula"
    done: str = "Done"
    to_do: str = "To do"


ENGLISH = Labels()


class CodeBlock(NamedTuple):
    """A code block's language, which may be empty, and the length of its longest line."""

    language: str
    max_line_columns: int


@dataclass(frozen=True)
class SanitizedBlock:
    """Sanitized HTML, and the facts about its code blocks, in their order."""

    html: str
    code_blocks: tuple[CodeBlock, ...]


def block_as_written(source: str) -> SanitizedBlock:
    """Return normalized `source` as one block of code, without reading it."""
    return SanitizedBlock(f"<pre><code>{escape(source)}</code></pre>", (CodeBlock("", max_line_columns(source)),))


def max_line_columns(code: str) -> int:
    """Return about how many columns the longest line takes."""
    return max(len(line) + len(_WIDE.findall(line)) for line in code.expandtabs(4).split("\n"))


def decorate_block(block: SanitizedBlock, labels: Labels) -> Markup:
    """Put figures around code and boxes around tables and long formulas.

    Sanitized HTML has no bare `<` in its text or values, so a tag's spelling is found only where that tag
    is; and only the renderer writes `<pre>`, once for each language.
    """
    code_blocks = iter(block.code_blocks)
    return Markup(_DECORATED_TAG.sub(lambda match: _decorate_tag(match, code_blocks, labels), block.html))  # noqa: S704


def _decorate_tag(match: re.Match[str], code_blocks: Iterator[CodeBlock], labels: Labels) -> str:
    """Return the replacement of a tag, which is a whole element if it is a formula."""
    tag = match[0]
    if tag == "<pre><code>":
        return _code_figure_start(next(code_blocks), labels)
    if tag == "</code></pre>":
        return "</code></pre></figure>"
    if tag == "</table>":
        return f'</table></div><button class="copy">{escape(labels.copy)}</button></div>'
    if tag.startswith("<th"):
        # A header without words is none.
        return tag.replace("th", "td")
    if tag.startswith("<math"):
        return _formula_box(tag, labels)
    if tag.startswith("<span"):
        return f'{tag[:-1]} role="img" aria-label="{escape(labels.done if "done" in tag else labels.to_do)}">'
    name = _table_name(match.string, match.end(), labels)
    scroll_box = f'<div class="table-scroll" tabindex="0" role="group" aria-label="{escape(name)}">'
    return f'<div class="table">{scroll_box}{tag}'


def _table_name(block_html: str, start: int, labels: Labels) -> str:
    """Return the name of the table whose content begins at `start`: the words of its header cells."""
    head = block_html[start : block_html.find("</thead>", start)]
    cells = (_TAG.sub("", _ANNOTATION.sub("", cell)) for cell in _HEADER_CELL.findall(head))
    words = html.unescape(", ".join(filter(None, (" ".join(cell.split()) for cell in cells))))
    if not words:
        return labels.table
    return f"{labels.table}: {words if len(words) <= MAX_TABLE_NAME else words[: MAX_TABLE_NAME - 1] + '…'}"


def _code_figure_start(code: CodeBlock, labels: Labels) -> str:
    """Return the beginning of a code figure; a keyboard can scroll it, and code runs left to right."""
    name = language_name(code.language)
    label = f"{labels.code}: {name}" if name else labels.code
    kind = f' class="language-{escape(code.language)}"' if code.language else ""
    return (
        f'<figure class="code"><figcaption><span>{escape(name or labels.code)}</span>'
        f"{_wrap_toggle(code.max_line_columns, labels)}"
        f'<button class="download" aria-label="{escape(labels.download)}"></button>'
        f'<button class="copy">{escape(labels.copy)}</button></figcaption>'
        f'<pre dir="ltr" tabindex="0" role="group" aria-label="{escape(label)}">'
        f"<code{kind}>"
    )


def _wrap_toggle(width: int, labels: Labels) -> str:
    """Return the check box that wraps the lines of code; empty if all lines fit."""
    if width <= MAX_SHORT_LINE:
        return ""
    kind = "" if width > MAX_COLUMN_LINE else ' class="narrow"' if width > MAX_LIST_LINE else ' class="slim"'
    return f'<label{kind}><input type="checkbox" autocomplete="off">{escape(labels.wrap)}</label>'


def _formula_box(source: str, labels: Labels) -> str:
    """Put a box around a formula that stands by itself or is long; long ones can be scrolled with a keyboard.

    `source` has the letters after it, too, which are kept on its line.
    """
    math_element, end, trailing = source.rpartition("</math>")
    is_block = ' display="block"' in math_element.partition(">")[0]
    is_long = len(_TAG.sub("", math_element.partition("<annotation")[0])) > MAX_SHORT_FORMULA
    if not is_block and not is_long:
        return f'<span class="math-kept">{source}</span>' if trailing else source
    scroll_attrs = f' tabindex="0" role="group" aria-label="{escape(labels.formula)}"' if is_long else ""
    css_class = "formula" if is_block else "formula math-within"
    return f'<span class="{css_class}"{scroll_attrs}>{math_element}{end}</span>{trailing}'
