"""Links from the terminal: they make a browser the terminal's visitor, so that both show the same conversations."""

from __future__ import annotations

from flask import Blueprint, current_app, redirect, render_template, url_for
from werkzeug.wrappers import Response

from chatsite.services import links
from chatsite.web.access import become
from chatsite.web.fragments import sidebar

bp = Blueprint("links", __name__)


@bp.get("/links/<link>")
def show(link: str) -> str:
    """Ask whether it is meant. Raises LinkSpentError."""
    config = current_app.config
    links.check(config["INSTANCE"], config["SECRET_KEY"], link)
    return render_template("links/show.html", link=link, sidebar=sidebar())


@bp.post("/links/<link>")
def create(link: str) -> Response:
    """Use the link up, and go to the conversations. Raises LinkSpentError."""
    config = current_app.config
    become(links.use(config["INSTANCE"], config["SECRET_KEY"], link))
    return redirect(url_for("conversations.new"), code=303)
