"""The overview: the page that links to everything that is kept."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from flask import Blueprint, render_template

from chatsite.web.core.page_view import PageView

bp = Blueprint("overview", __name__)


@dataclass(frozen=True, kw_only=True)
class OverviewPage(PageView):
    """The overview, with the version of the site; that is empty where the site is not installed as a package."""

    version: str


@bp.get("/overview")
def show() -> str:
    """Show the overview."""
    return render_template("overview/show.html", view=OverviewPage(parent=None, version=_site_version()))


@cache
def _site_version() -> str:
    try:
        return version("chatsite")
    except PackageNotFoundError:
        return ""
