"""The last step before a browser: removes all elements and attributes that are not listed here.

The parser escapes HTML already. This is the second lock, for the day on which the first one has a hole.
"""

from __future__ import annotations

import nh3

from chatsite.rendering.highlight import CLASSES
from chatsite.rendering.syntax.mathml import CELL_STYLES

BLOCKS = frozenset({"p", "h3", "h4", "h5", "h6", "ul", "ol", "blockquote", "table"})
NESTED = frozenset({"div", "li", "pre", "code", "span", "thead", "tbody", "tr", "th", "td"})
INLINE = frozenset({"a", "em", "i", "strong", "s", "br", "hr", "sub", "sup", "kbd"})

MATHML_TAGS = frozenset(
    [
        "annotation",
        "math",
        "menclose",
        "merror",
        "mfrac",
        "mi",
        "mmultiscripts",
        "mn",
        "mo",
        "mover",
        "mpadded",
        "mphantom",
        "mprescripts",
        "mroot",
        "mrow",
        "mspace",
        "msqrt",
        "mstyle",
        "msub",
        "msubsup",
        "msup",
        "mtable",
        "mtd",
        "mtext",
        "mtr",
        "munder",
        "munderover",
        "semantics",
    ]
)
"""MathML that shows something. What could lead or load anything is not in it: no href, no style, no maction."""

_YES_NO = {"true", "false"}
_LENGTH_ATTRIBUTES = {"mo": {"lspace", "rspace", "minsize", "maxsize"}, "mspace": {"width"}, "mfrac": {"linethickness"}}
_MATHML_ATTRIBUTES = {
    "annotation": {"encoding": {"application/x-tex"}},
    "math": {"display": {"block"}, "dir": {"ltr"}},
    "menclose": {"notation": {"box", "updiagonalstrike", "downdiagonalstrike", "updiagonalstrike downdiagonalstrike"}},
    "mfrac": {"displaystyle": _YES_NO},
    "mi": {"mathvariant": {"normal"}},
    "mo": {"stretchy": _YES_NO, "movablelimits": _YES_NO, "form": {"prefix", "infix", "postfix"}},
    "mover": {"accent": _YES_NO},
    "mrow": {"displaystyle": _YES_NO, "scriptlevel": {"0", "1", "2"}},
    "mtable": {"displaystyle": _YES_NO, "scriptlevel": {"0", "1", "2"}},
    "munder": {"accentunder": _YES_NO},
    "munderover": {"accent": _YES_NO, "accentunder": _YES_NO},
}
_DIRECTION = {tag: {"dir": {"auto"}} for tag in BLOCKS | {"code", "div"}}
_ALIGNMENT = {tag: {"align": {"left", "center", "right"}} for tag in ("th", "td")}

_SANITIZER = nh3.Cleaner(
    tags=BLOCKS | NESTED | INLINE | MATHML_TAGS,
    # The star empties the list of attributes that every tag may have, which is not empty by itself.
    attributes={"*": set(), "a": {"href", "title"}, "ol": {"start"}} | _LENGTH_ATTRIBUTES,
    tag_attribute_values=_DIRECTION | _ALIGNMENT | _MATHML_ATTRIBUTES | {"a": {"referrerpolicy": {"no-referrer"}}},
    # A second attribute in here would come out in an order that changes from process to process.
    set_tag_attribute_values={"a": {"target": "_blank"}},
    allowed_classes={
        "div": {"footnote"},
        "i": set(CLASSES),
        "span": {"todo", "done"},
        "mtd": set(CELL_STYLES.values()),
    },
    link_rel="noopener noreferrer nofollow",
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
)


def sanitize_html(html: str) -> str:
    """Return `html` without what is not listed; text and attribute values in the result hold no bare `<`.

    The latter is what lets the caller look for tags in the result by their spelling, and what keeps htmx from
    finding its own tags in a value.
    """
    return _SANITIZER.clean(html)
