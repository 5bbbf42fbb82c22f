"""Sections of the settings page: their names, and the response that says that one of them was saved."""

from __future__ import annotations

from dataclasses import dataclass

from flask import redirect, render_template, url_for
from werkzeug.wrappers import Response

from chatsite.web.core.htmx import htmx_headers, htmx_response

APPEARANCE, READING, INSTRUCTIONS, DEFAULTS = "appearance", "reading", "instructions", "defaults"
# The sections whose settings are preferences of the device.
PREFERENCE_SECTIONS = (APPEARANCE, READING)


@dataclass(frozen=True)
class SavedView:
    """The note beside the heading of a section: that it was saved, or with `error_message` why it was not."""

    section: str
    error_message: str = ""


def saved_response(section: str) -> Response:
    """Return the note that a section was saved for htmx, or redirect to the section, which then says so."""
    if not htmx_headers().wants_fragment:
        return redirect(saved_url(section), code=303)
    return htmx_response(render_note(SavedView(section)))


def render_note(view: SavedView) -> str:
    """Render the note beside the heading of a section."""
    return render_template("user_settings/saved.partials.html", view=view)


def saved_url(section: str, saved: str = "") -> str:
    """Return the address of the settings page that says in a section that it was saved."""
    # No anchor: browsers then give the focus to no element.
    return url_for("user_settings.show", saved=saved or section)
