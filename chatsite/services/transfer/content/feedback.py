"""Ratings of answers in other products, as the columns of a generation."""

from __future__ import annotations

from typing import Any

from chatsite.services.transfer.coercion import MAX_MESSAGE_CHARS, as_dict, as_int, single_line
from chatsite.services.transfer.omissions import Omissions, OmittedKind, shorten

MAX_NOTE_CHARS = 500
# As ChatGPT and LibreChat have written them, without underscores.
_THUMBS = {"thumbsup": 1, "thumbsdown": -1}


def parse_rating(value: object) -> int | None:
    """Return 1 or -1 for a thumb up or down, by its name or number; None if it is neither."""
    if isinstance(value, str):
        return _THUMBS.get(value.lower().replace("_", ""))
    return as_int(value, -1, 1) or None


def parse_note(value: object, omitted: Omissions) -> str | None:
    """Return what somebody wrote about an answer, shortened to what this site allows; None if there is nothing.

    Counts in `omitted` the characters that are cut off.
    """
    note = single_line(value, MAX_MESSAGE_CHARS) or ""
    return shorten(note, MAX_NOTE_CHARS, omitted, kind=OmittedKind.RATING_NOTE).strip() or None


def parse_feedback(value: object, omitted: Omissions, *, note_key: str = "text") -> dict[str, Any]:
    """Return the rating of an answer and its note as columns; none if there is no rating.

    `value` is an object with a `rating`, and perhaps what somebody wrote under `note_key`. Counts in `omitted` what is
    cut off the note.
    """
    feedback = as_dict(value)
    rating = parse_rating(feedback.get("rating"))
    if not rating:
        return {}
    note = parse_note(feedback.get(note_key), omitted)
    return {"rating": rating} | ({"rating_note": note} if note else {})
