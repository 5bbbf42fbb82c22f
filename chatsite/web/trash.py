"""The trash: see what is in it, take it back, or let it go for good."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from chatsite.database import now
from chatsite.models import Conversation
from chatsite.services import trash
from chatsite.services.paging import Page
from chatsite.web.access import visitor
from chatsite.web.fragments import sidebar
from chatsite.web.htmx import headers
from chatsite.web.undoing import changed, told, user_who_has

bp = Blueprint("trash", __name__)


@bp.get("/trash")
def index() -> str:
    """What lies in the trash, and for how many days more."""
    user = visitor()
    page: Page[Conversation] = trash.page(user, request.args.get("before")) if user else Page([])
    days = {row.id: (trash.leaves_at(row) - now()).days + 1 for row in page.items}
    return render_template("trash/index.html", page=page, days=days, kept=trash.KEPT.days, sidebar=sidebar())


@bp.patch("/trash/<public_id>")
def restore(public_id: str) -> Response:
    """Take a conversation back to where it was."""
    undo = trash.restore(user_who_has(), [public_id])
    return changed(undo, url_for("trash.index"))


@bp.delete("/trash/<public_id>")
def destroy(public_id: str) -> Response:
    """Delete a conversation for good."""
    trash.destroy(user_who_has(), [public_id])
    return _gone()


@bp.delete("/trash")
def empty() -> Response:
    """Delete all of it for good."""
    trash.empty(user_who_has())
    return _gone()


def _gone() -> Response:
    if headers().wants_fragment:
        return told(gettext("Deleted for good."))
    return redirect(url_for("trash.index"), code=303)
