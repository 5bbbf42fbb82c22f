"""The list of all keyboard shortcuts, as a page and in a dialog."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, render_template
from flask_babel import gettext

from chatsite.web.core.htmx import htmx_headers
from chatsite.web.core.page_view import PageView
from chatsite.web.core.shortcuts import group_shortcuts, split_keycaps
from chatsite.web.core.templating import render_macro

bp = Blueprint("shortcuts", __name__)


@dataclass(frozen=True)
class ShortcutRow:
    """The description of a shortcut, and its key labels: one list for each way to press it."""

    description: str
    keycaps: Sequence[Sequence[str]]


@dataclass(frozen=True)
class ShortcutTable:
    """All shortcuts under their headings."""

    groups: Sequence[tuple[str, Sequence[ShortcutRow]]]


@dataclass(frozen=True, kw_only=True)
class ShortcutsPage(PageView):
    """The list of shortcuts as a page."""

    table: ShortcutTable


@bp.get("/shortcuts")
def show() -> str:
    """Show all shortcuts: in the dialog for htmx, or as a page."""
    if htmx_headers().wants_fragment:
        return render_macro("shortcuts/_table.html", "shortcut_table", build_table())
    return render_template("shortcuts/show.html", view=ShortcutsPage(table=build_table()))


def build_table() -> ShortcutTable:
    """Build the table of shortcuts for the preferences of the request."""
    return ShortcutTable(
        [
            (name, [ShortcutRow(gettext(shortcut.description), split_keycaps(shortcut.keys)) for shortcut in shortcuts])
            for name, shortcuts in group_shortcuts()
        ]
    )
