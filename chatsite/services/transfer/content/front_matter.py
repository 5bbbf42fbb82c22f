"""Properties at the top of a Markdown file, between two lines of `---`: the part of YAML that notes use.

A value is a text, in quotes or not, or a list of texts in brackets or on lines of their own. Everything else of YAML is
passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

MAX_LINES = 200
# As many tags as a user may have take less.
MAX_LINE_CHARS = 20_000
_PROPERTY = re.compile(r"([A-Za-z][\w -]{0,60}?)[ \t]*:(?:[ \t]+(.*))?")
_ITEM = re.compile(r"[ \t]*-[ \t]+(.*)")
# A quote without its end goes on to the end of the line, so that the pattern takes linear time.
_LIST_VALUE = re.compile(r'"(?:[^"\\]|\\.)*+"?|\'(?:[^\']|\'\')*+\'?|[^,"\'\s][^,]*+')

Values = Mapping[str, str | list[str]]


def split(text: str) -> tuple[Values, str]:
    """Return the properties of a note by their names in lower case, and the text below them."""
    lines = text.split("\n")
    if lines[0].rstrip() != "---":
        return {}, text
    end = next((number for number, line in enumerate(lines[1:MAX_LINES], 1) if line.rstrip() in {"---", "..."}), None)
    if end is None:
        return {}, text
    return _parse_properties(lines[1:end]), "\n".join(lines[end + 1 :])


def _parse_properties(lines: list[str]) -> Values:
    values: dict[str, str | list[str]] = {}
    items: list[str] = []
    for line in lines:
        if len(line) > MAX_LINE_CHARS:
            continue
        item, named = _ITEM.fullmatch(line), _PROPERTY.fullmatch(line.rstrip())
        if item:
            items.append(_parse_scalar(item[1]))
        elif named:
            value = (named[2] or "").strip()
            items = []
            is_list = value.startswith("[") and value.endswith("]")
            values[named[1].lower()] = _parse_list(value[1:-1]) if is_list else _parse_scalar(value) if value else items
    return values


def _parse_list(text: str) -> list[str]:
    return [value for value in (_parse_scalar(match[0]) for match in _LIST_VALUE.finditer(text)) if value]


def _parse_scalar(text: str) -> str:
    text = text.strip()
    if text.startswith('"') and text.endswith('"') and len(text) > 1:
        try:
            return str(json.loads(text))
        except ValueError:
            return text[1:-1]
    if text.startswith("'") and text.endswith("'") and len(text) > 1:
        return text[1:-1].replace("''", "'")
    return text.partition(" #")[0].rstrip()
