"""Blocks of messages as HTML, with labels in the language of the page."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from flask_babel import get_locale, gettext
from markupsafe import Markup

from chatsite.rendering.decoration import Labels, decorate_block
from chatsite.rendering.headings import nested_levels
from chatsite.rendering.process.render_budget import RenderBudget
from chatsite.rendering.process.renderer import shared_renderer
from chatsite.rendering.questions import needs_rendering


def render_blocks(text: str, budget: RenderBudget) -> list[Markup]:
    """Render the blocks of a finished text.

    The text is split as the stream splits it, so that the final event changes nothing that is already on the page,
    except what a link definition at the end changes further up.
    """
    return [decorate_block(block, _current_labels()) for block in shared_renderer().render_text(text, budget)]


def render_question(text: str, budget: RenderBudget) -> Markup | None:
    """Render the code and the formulas of a question; None if there are none, as in most."""
    if not needs_rendering(text):
        return None
    return decorate_block(shared_renderer().render_question(text, budget), _current_labels())


def render_growing_blocks(sources: Sequence[str], budget: RenderBudget, *, first: int = 0) -> list[Markup]:
    """Render the blocks from index `first` on of a text in progress; the last block is still open."""
    levels = nested_levels(sources)
    last = len(sources) - 1
    blocks = (
        shared_renderer().render_block(sources[index], budget, is_open=index == last, level=levels[index])
        for index in range(first, last + 1)
    )
    return [decorate_block(block, _current_labels()) for block in blocks]


def _current_labels() -> Labels:
    """Return the labels in blocks, such as "Copy", in the language of the request."""
    return _labels_for(str(get_locale()))


@lru_cache
def _labels_for(_language: str) -> Labels:
    """Return the labels in the locale of the current request; `_language` is the key of the cache.

    The cache matters because every block asks for the labels.
    """
    return Labels(
        copy=gettext("Copy"),
        download=gettext("Download"),
        code=gettext("Code"),
        wrap=gettext("Wrap"),
        table=gettext("Table"),
        formula=gettext("Formula"),
        done=gettext("Done"),
        to_do=gettext("To do"),
    )
