"""Shares as everybody sees them who knows the address: to be read, and to be gone on with as one's own copy."""

from __future__ import annotations

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from chatsite.errors import NotFoundError
from chatsite.services import shares
from chatsite.services.shares import Reading
from chatsite.web.access import visitor_who_writes
from chatsite.web.fragments import sidebar

bp = Blueprint("shared", __name__)


@bp.after_request
def keep_out_of_search_engines(response: Response) -> Response:
    """Who was given the address may read; nobody is to find it."""
    response.headers["X-Robots-Tag"] = "noindex, nofollow, noarchive"
    return response


@bp.get("/shared/<token>")
def show(token: str) -> str:
    """A page of the share, `?page=`. It sets no cookie and knows nobody."""
    return render_template("shared/show.html", token=token, reading=_reading(token))


@bp.get("/shared/<token>/copies")
def confirm(token: str) -> str:
    """Ask whether a copy is meant; the form needs a cookie, which the page itself does without."""
    return render_template("shared/confirm.html", token=token, reading=_reading(token), sidebar=sidebar())


@bp.post("/shared/<token>/copies")
def create(token: str) -> AnyResponse:
    """Make a conversation of the visitor's own that begins with what the share shows."""
    shares.read(token)
    made = shares.copy(visitor_who_writes(), token, request.form.get("token", ""))
    return redirect(url_for("conversations.show", public_id=made.public_id), code=303)


def _reading(token: str) -> Reading:
    number = request.args.get("page", "1")
    if not (number.isascii() and number.isdecimal() and len(number) < 9):
        raise NotFoundError
    return shares.read(token, int(number))
