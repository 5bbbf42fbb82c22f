"""Text that shows how it was split into tokens: an element for each, with white space made visible."""

from __future__ import annotations

import re
from collections.abc import Iterable

from markupsafe import Markup, escape

WHITESPACE = re.compile(r"[ \n\t]")
# The style sheet draws a mark in each; the text itself stays what it is, to be copied and to be read aloud.
VISIBLE_WHITESPACE = {" ": "<i> </i>", "\n": '<i class="token-return">\n</i>', "\t": '<i class="token-tab">\t</i>'}


def render_tokens(pieces: Iterable[str]) -> Markup:
    """Render the tokens of a text as HTML, each in an element of its own; nothing in them is markup."""
    return Markup("").join(Markup(f"<span>{_mark_whitespace(piece)}</span>") for piece in pieces)  # noqa: S704 escaped below


def _mark_whitespace(piece: str) -> str:
    return WHITESPACE.sub(lambda match: VISIBLE_WHITESPACE[match.group()], str(escape(piece)))
