"""HTML of an answer as Markdown, for exports of sites that keep only their HTML.

Tags that have no equivalent are left out and their text stays; scripts and styles go with theirs.
"""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

import nh3

_HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}
_MARKS = {"strong": "**", "b": "**", "em": "*", "i": "*", "del": "~~", "s": "~~"}
_BLOCKS = {
    "p",
    "div",
    "section",
    "article",
    "table",
    "thead",
    "tbody",
    "ul",
    "ol",
    "blockquote",
    "hr",
    "pre",
    *_HEADINGS,
}
_TAGS = {*_BLOCKS, *_MARKS, "br", "code", "a", "img", "li", "td", "th", "tr"}
_ATTRIBUTES = {"a": {"href"}, "img": {"alt"}, "pre": {"class"}, "code": {"class"}}
_SCHEMES = {"https", "http", "mailto"}
_SPACE = re.compile(r"[ \t\r\n\f]+")
_EMPTY_LINES = re.compile(r"\n{3,}")
_BACKTICKS = re.compile(r"`+")
_ANGLES = re.compile(r"[<>\s]")
_LANGUAGE = re.compile(r"language-([\w+#.-]{1,30})")
# Cleaning takes a time that grows with the square of the depth.
_NESTING_TAG = re.compile(r"<(/?)(?!(?:br|hr|img|p|li|td|th|tr|input|wbr)\b)[a-z]", re.IGNORECASE)
_ANY_TAG = re.compile(r"<[^<>]*+>")
MAX_NESTING = 100


def html_to_markdown(html: str) -> str:
    """Return HTML as Markdown; if it is nested too deeply for an answer, only its text."""
    if _is_too_deep(html):
        return unescape(_ANY_TAG.sub(" ", html)).strip()
    writer = _Writer()
    # The parser of Python takes long over tags that are not closed; after this all of them are.
    writer.feed(nh3.clean(html, tags=_TAGS, attributes=_ATTRIBUTES, link_rel=None, url_schemes=_SCHEMES))
    writer.close()
    return writer.result()


def _is_too_deep(html: str) -> bool:
    depth = 0
    for tag in _NESTING_TAG.finditer(html):
        depth += -1 if tag[1] else 1
        if depth > MAX_NESTING:
            return True
    return False


class _Writer(HTMLParser):
    """Writer of Markdown, one tag after the other; `_prefix` is what each new line begins with."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._pieces: list[str] = []
        self._prefixes: list[str] = []
        # The number of the next item of each open list; None for one without numbers.
        self._lists: list[int | None] = []
        self._links: list[str | None] = []
        # The text and the language of the open code block.
        self._code: list[str] | None = None
        self._language = ""
        # How many rows the open table has, and how many cells the open row.
        self._row_count, self._row_cells = 0, 0
        self._is_line_start = True

    def result(self) -> str:
        """Return the text that was written."""
        return _EMPTY_LINES.sub("\n\n", "".join(self._pieces)).strip("\n")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin an element."""
        values = dict(attrs)
        if self._code is not None:
            self._language = self._language or _find_language(values)
        elif tag == "br":
            self._new_line()
        elif tag == "pre":
            self._code, self._language = [], _find_language(values)
        elif tag == "code":
            self._write("`")
        elif tag in _MARKS:
            self._write(_MARKS[tag])
        elif tag == "a":
            self._links.append(values.get("href"))
            self._write("[" if values.get("href") else "")
        elif tag == "img":
            self._write(f"[{' '.join((values.get('alt') or 'image').split())[:200]}]")
        elif tag == "li":
            self._start_item()
        elif tag in {"td", "th"}:
            self._write("| " if not self._row_cells else " | ")
            self._row_cells += 1
        elif tag == "tr":
            self._new_line()
            self._row_cells = 0
        elif tag in _BLOCKS:
            self._start_block(tag)

    def handle_endtag(self, tag: str) -> None:
        """End an element."""
        if tag == "pre" and self._code is not None:
            self._write_code()
        elif self._code is not None:
            return
        elif tag == "code":
            self._write("`")
        elif tag in _MARKS:
            self._write(_MARKS[tag])
        elif tag == "a" and self._links:
            href = self._links.pop()
            self._write(f"](<{_ANGLES.sub('', href)}>)" if href else "")
        elif tag == "li" and self._prefixes:
            self._prefixes.pop()
            self._new_line()
        elif tag == "tr":
            self._end_row()
        elif tag in _BLOCKS:
            self._end_block(tag)

    def handle_data(self, data: str) -> None:
        """Write a text; outside of code, white space is one space."""
        if self._code is not None:
            self._code.append(data)
            return
        text = _SPACE.sub(" ", data)
        self._write(text.lstrip(" ") if self._is_line_start else text)

    def _start_block(self, tag: str) -> None:
        if tag in {"ul", "ol"}:
            # A list in a list begins on the next line.
            self._new_line() if self._lists else self._new_paragraph()
            self._lists.append(1 if tag == "ol" else None)
            return
        if tag not in {"thead", "tbody"}:
            self._new_paragraph()
        if tag == "blockquote":
            self._push_prefix("> ")
        elif tag == "table":
            self._row_count = 0
        elif tag == "hr":
            self._write("---")
            self._new_paragraph()
        elif tag in _HEADINGS:
            self._write(_HEADINGS[tag] + " ")
        self._is_line_start = True

    def _end_block(self, tag: str) -> None:
        if tag in {"ul", "ol"} and self._lists:
            self._lists.pop()
            if self._lists:
                return
        if tag == "blockquote" and self._prefixes:
            self._prefixes.pop()
        if tag not in {"thead", "tbody"}:
            self._new_paragraph()

    def _start_item(self) -> None:
        number = self._lists[-1] if self._lists else None
        self._new_line()
        mark = "- " if number is None else f"{number}. "
        if self._lists and number is not None:
            self._lists[-1] = number + 1
        self._write(mark)
        self._push_prefix(" " * len(mark))
        self._is_line_start = True

    def _end_row(self) -> None:
        """End a row of a table; below the first one a line is drawn, since Markdown has no table without a head."""
        if not self._row_cells:
            return
        self._write(" |")
        if not self._row_count:
            self._new_line()
            self._write("|" + " --- |" * self._row_cells)
        self._row_count, self._row_cells = self._row_count + 1, 0

    def _write_code(self) -> None:
        text = "".join(self._code or []).strip("\n")
        longest = max(map(len, _BACKTICKS.findall(text)), default=0)
        fence = "`" * max(3, longest + 1)
        self._code = None
        self._new_paragraph()
        for line in [fence + self._language, *text.split("\n"), fence]:
            self._write(line)
            self._new_line()
        self._new_paragraph()

    def _push_prefix(self, prefix: str) -> None:
        self._prefixes.append(prefix)

    def _new_line(self) -> None:
        if self._pieces and not self._pieces[-1].endswith("\n"):
            self._pieces.append("\n")
        self._is_line_start = True

    def _new_paragraph(self) -> None:
        # The first block of an item stands on the line of its mark.
        if self._is_line_start and self._pieces and not self._pieces[-1].endswith("\n"):
            return
        self._new_line()
        if self._pieces and self._pieces[-1] != "\n\n":
            self._pieces[-1:] = [self._pieces[-1].rstrip("\n"), "\n\n"]

    def _write(self, text: str) -> None:
        if not text:
            return
        if not self._pieces or self._pieces[-1].endswith("\n"):
            self._pieces.append("".join(self._prefixes))
        self._pieces.append(text)
        self._is_line_start = False


def _find_language(attributes: dict[str, str | None]) -> str:
    match = _LANGUAGE.search(attributes.get("class") or "")
    return match[1] if match else ""
