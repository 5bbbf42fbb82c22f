"""Normal forms of the texts that users type, as they are stored."""

from __future__ import annotations

import re
import unicodedata

from chatsite.visible_text import remove_controls

_BLANK_LINES = re.compile(r"\A(?:[^\S\n]*\n)+")


def normalize_newlines(text: str) -> str:
    """Replace the line ends of a text by `\\n`; browsers send `\\r\\n`."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def clean_text(text: str) -> str:
    """Return a text with `\\n` as line end, without control characters, and without blank lines around it.

    The first line keeps its indentation: it may be code. Colors of a terminal, form feeds and the like come along when
    something is pasted, and nobody who sees none could remove any.
    """
    return _BLANK_LINES.sub("", remove_controls(text)).rstrip()


def fold_accents(text: str) -> str:
    """Return the text in lower case and without accents, for comparisons in a search."""
    decomposed = unicodedata.normalize("NFD", text.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))
