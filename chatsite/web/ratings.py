"""Ratings: thumbs up or down under an answer, with an optional word."""

from __future__ import annotations

from flask import Blueprint, redirect, request
from werkzeug.wrappers import Response

from chatsite.services import ratings
from chatsite.web.access import get_message
from chatsite.web.fragments import address_of, fragment
from chatsite.web.htmx import headers

bp = Blueprint("ratings", __name__)


@bp.put("/messages/<public_id>/rating")
def update(public_id: str) -> Response | str:
    """Say that the answer is good (`value=1`) or bad (`value=-1`), with a `note` or without."""
    message = get_message(public_id)
    value = {"1": ratings.GOOD, "-1": ratings.BAD}.get(request.form.get("value", ""), 0)
    ratings.rate(message, value, request.form.get("note", ""))
    return _now(public_id)


@bp.delete("/messages/<public_id>/rating")
def destroy(public_id: str) -> Response | str:
    """Take the rating back."""
    ratings.clear(get_message(public_id))
    return _now(public_id)


def _now(public_id: str) -> Response | str:
    message = get_message(public_id)
    if headers().wants_fragment:
        return fragment("ratings/_rated.html", message=message, focus=request.form.get("value", 0, int))
    return redirect(address_of(message), code=303)
