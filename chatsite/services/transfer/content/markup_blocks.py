"""Elements in the text of an answer: what a model thought or called, and documents, between a begin and an end tag."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html import unescape

ATTRIBUTE = re.compile(r"([A-Za-z_-]{1,40})=(?:\"([^\"]*)\"|'([^']*)')")

Attributes = Mapping[str, str]


def replace_elements(
    text: str,
    name: str,
    replace: Callable[[Attributes, str], str],
    *,
    is_wanted: Callable[[Attributes], bool] = lambda attributes: True,
) -> str:
    """Return the text with each element `<name ...>...</name>` replaced by what `replace` returns for it.

    `replace` takes the attributes and the text inside; elements whose attributes are not wanted stay. An element
    without an end goes on to the end of the text, as in an answer that was stopped. Takes linear time.
    """
    pieces: list[str] = []
    kept_to = search_from = 0
    while (start := text.find(f"<{name}", search_from)) >= 0 and (tag_end := text.find(">", start)) >= 0:
        search_from = tag_end + 1
        attributes = {key: unescape(a or b) for key, a, b in ATTRIBUTE.findall(text[start:tag_end])}
        if text[start + len(name) + 1] not in " >\n\t" or not is_wanted(attributes):
            continue
        end = text.find(f"</{name}>", tag_end)
        inner = text[tag_end + 1 : end if end >= 0 else len(text)]
        pieces += [text[kept_to:start], replace(attributes, inner)]
        kept_to = search_from = end + len(name) + 3 if end >= 0 else len(text)
    return "".join([*pieces, text[kept_to:]])
