"""The last step before a browser: only the tags and attributes that are listed here get through.

The parser escapes HTML already. This is the second lock, for the day on which the first one has a hole.
"""

from __future__ import annotations

import nh3

from chatsite.rendering.highlight import CLASSES

BLOCKS = frozenset({"p", "h3", "h4", "h5", "h6", "ul", "ol", "blockquote", "table"})
INNER = frozenset({"li", "pre", "code", "span", "thead", "tbody", "tr", "th", "td"})
INLINE = frozenset({"a", "em", "strong", "s", "br", "hr"})

_DIRECTION = {tag: {"dir": {"auto"}} for tag in BLOCKS | {"code"}}
_ALIGNMENT = {tag: {"align": {"left", "center", "right"}} for tag in ("th", "td")}

_CLEANER = nh3.Cleaner(
    tags=BLOCKS | INNER | INLINE,
    # The star empties the list of attributes that every tag may have, which is not empty by itself.
    attributes={"*": set(), "a": {"href", "title"}, "ol": {"start"}},
    tag_attribute_values=_DIRECTION | _ALIGNMENT | {"a": {"referrerpolicy": {"no-referrer"}}},
    # A second attribute in here would come out in an order that changes from process to process.
    set_tag_attribute_values={"a": {"target": "_blank"}},
    allowed_classes={"span": set(CLASSES)},
    link_rel="noopener noreferrer nofollow",
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
)


def clean(html: str) -> str:
    """Give `html` without what is not listed; text and attribute values in the result hold no bare `<`.

    The latter is what lets the caller look for tags in the result by their spelling, and what keeps htmx from
    finding its own tags in a value.
    """
    return _CLEANER.clean(html)
