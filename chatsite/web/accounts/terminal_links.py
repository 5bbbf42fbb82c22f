"""Terminal links: they sign a browser in as the user of the terminal, so that both show the same conversations."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, current_app, redirect, render_template, url_for
from werkzeug.wrappers import Response

from chatsite.services.accounts import terminal_links
from chatsite.web.core.identity import sign_in_as
from chatsite.web.core.page_view import PageView

bp = Blueprint("terminal_links", __name__)


@dataclass(frozen=True, kw_only=True)
class TerminalLinkPage(PageView):
    """The page that asks for confirmation before a terminal link is redeemed."""

    token: str


@bp.get("/terminal-links/<token>")
def show(token: str) -> str:
    """Ask the visitor to confirm the sign-in. Raises LinkExpiredError."""
    config = current_app.config
    terminal_links.validate(config["INSTANCE"], config["SECRET_KEY"], token)
    return render_template("terminal_links/show.html", view=TerminalLinkPage(token=token, parent=None))


@bp.post("/terminal-links/<token>")
def create(token: str) -> Response:
    """Redeem the link, sign the browser in, and redirect to the front page. Raises LinkExpiredError."""
    config = current_app.config
    with terminal_links.redeemed(config["INSTANCE"], config["SECRET_KEY"], token) as user_token:
        sign_in_as(user_token)
    return redirect(url_for("conversations.new"), code=303)
