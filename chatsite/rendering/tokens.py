"""Text that shows how it was split into tokens: an element each, with what is white in it made visible."""

from __future__ import annotations

import re
from collections.abc import Iterable

from markupsafe import Markup, escape

WHITE = re.compile(r"[ \n\t]")
# The style sheet draws a mark in each; the text itself stays what it is, to be copied and to be read aloud.
MARKS = {" ": "<i> </i>", "\n": '<i class="return">\n</i>', "\t": '<i class="tab">\t</i>'}


def tokens(pieces: Iterable[str]) -> Markup:
    """The pieces of a text as HTML; nothing in them is markup."""
    return Markup("").join(Markup(f"<span>{_marked(piece)}</span>") for piece in pieces)  # noqa: S704 escaped below


def _marked(piece: str) -> str:
    return WHITE.sub(lambda found: MARKS[found.group()], str(escape(piece)))
