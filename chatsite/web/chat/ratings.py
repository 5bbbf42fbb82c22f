"""Ratings: a thumb up or down for an answer, with an optional note."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, redirect, request
from werkzeug.wrappers import Response

from chatsite.models import Message
from chatsite.services.chat import ratings
from chatsite.web.core.htmx import htmx_headers
from chatsite.web.core.identity import get_message
from chatsite.web.core.templating import message_url, render_fragment

bp = Blueprint("ratings", __name__)


@dataclass(frozen=True)
class SavedRating:
    """An answer with its new rating. The button for `focused_value` (1 or -1, else 0) keeps the focus.

    `asks_why` shows the field for a note, `is_note` says that a note was saved.
    """

    message: Message
    focused_value: int
    asks_why: bool
    is_note: bool


@bp.put("/messages/<public_id>/rating")
def update(public_id: str) -> Response | str:
    """Rate an answer as good (`value=1`) or bad (`value=-1`), with an optional `note`.

    Raises NotFoundError, InvalidRatingError, RatingNoteTooLongError, CannotRateError.
    """
    message = get_message(public_id)
    value = {"1": ratings.GOOD, "-1": ratings.BAD}.get(request.form.get("value", ""), 0)
    ratings.rate(message, value, request.form.get("note", ""))
    return _rating_response(public_id)


@bp.delete("/messages/<public_id>/rating")
def destroy(public_id: str) -> Response | str:
    """Delete the rating of an answer. Raises NotFoundError, CannotRateError."""
    ratings.clear(get_message(public_id))
    return _rating_response(public_id)


def _rating_response(public_id: str) -> Response | str:
    message = get_message(public_id)
    if htmx_headers().wants_fragment:
        is_note = "note" in request.form
        is_rated = message.generation is not None and message.generation.rating is not None
        view = SavedRating(
            message, request.form.get("value", 0, int), asks_why=is_rated and not is_note, is_note=is_note
        )
        return render_fragment("ratings/saved.partials.html", view=view)
    return redirect(message_url(message), code=303)
