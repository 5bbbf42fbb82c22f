"""Markdown as HTML in one call; the site renders sanitized blocks, in a process of its own."""

from __future__ import annotations

from markupsafe import Markup

from chatsite.rendering.decoration import ENGLISH, Labels, decorate_block
from chatsite.rendering.markdown import Detail, Document, sanitize_block


def render_markdown(source: str, labels: Labels = ENGLISH) -> Markup:
    """Return the HTML of a whole Markdown text. Accepts any string and raises nothing."""
    document = Document(source)
    blocks = (document.sanitize_block(index) for index in range(len(document)))
    return Markup("").join(decorate_block(block, labels) for block in blocks)


def render_block(source: str, highlight: bool = True, labels: Labels = ENGLISH, *, level: int = 0) -> Markup:
    """Return the HTML of one block, or without `highlight` of the unfinished end of a growing text.

    A heading gets the `level` of `headings.nested_levels`, if that is not 0.
    """
    detail = Detail.COLORS if highlight else Detail.FORMULAS
    return decorate_block(sanitize_block(source, detail, level=level), labels)
