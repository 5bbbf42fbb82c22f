"""Public shares: read a shared page, and continue with a copy of it."""

from __future__ import annotations

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from chatsite.errors import NotFoundError
from chatsite.services.sharing import shares
from chatsite.services.sharing.shares import SharedPage
from chatsite.web.core.identity import get_or_create_user
from chatsite.web.core.page_view import ParentLink
from chatsite.web.sharing.views import ConfirmCopyPage, build_public_page

bp = Blueprint("public_shares", __name__)


@bp.after_request
def add_noindex(response: Response) -> Response:
    """Keep shared pages from search engines: a share is for people who were given its address."""
    response.headers["X-Robots-Tag"] = "noindex, nofollow, noarchive"
    return response


@bp.get("/shared/<token>")
def show(token: str) -> str:
    """Show a page (`?page=`) of a share. Sets no cookie and reads no identity. Raises NotFoundError."""
    return render_template("public_shares/show.html", view=build_public_page(token, _requested_page(token)))


@bp.get("/shared/<token>/copies")
def confirm(token: str) -> str:
    """Ask for confirmation before a share is copied. Raises NotFoundError.

    The form is a page of its own because its CSRF token needs a cookie, which the public page does without.
    """
    title = _requested_page(token).title
    parent = ParentLink(url_for("public_shares.show", token=token), title)
    return render_template("public_shares/confirm.html", view=ConfirmCopyPage(token=token, title=title, parent=parent))


@bp.post("/shared/<token>/copies")
def create(token: str) -> AnyResponse:
    """Copy a share into a new conversation of the user. Raises NotFoundError, ShareTooLongToCopyError."""
    shares.read_page(token)
    copied = shares.copy_for_visitor(get_or_create_user(), token, request.form.get("idempotency_key", ""))
    return redirect(url_for("conversations.show", public_id=copied.public_id), code=303)


@bp.errorhandler(NotFoundError)
def show_ended(_error: NotFoundError) -> tuple[str, int]:
    """Say that there is nothing at this address any more: the same for what ended and what never was."""
    return render_template("public_shares/ended.html"), 404


def _requested_page(token: str) -> SharedPage:
    number = request.args.get("page", "1")
    if not (number.isascii() and number.isdecimal() and len(number) < 9):
        raise NotFoundError
    return shares.read_page(token, int(number))
