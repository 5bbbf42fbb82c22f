"""The library: one page that leads to all that is kept."""

from __future__ import annotations

from flask import Blueprint, render_template

from chatsite.web.fragments import sidebar

bp = Blueprint("library", __name__)


@bp.get("/library")
def show() -> str:
    """Where everything is."""
    return render_template("library/show.html", sidebar=sidebar())
