"""Ratings of answers in other products, as the columns of a generation."""

from __future__ import annotations

from typing import Any

from chatsite.services.transfer.coercion import as_dict, as_int, single_line

MAX_NOTE_CHARS = 500
# As ChatGPT and LibreChat have written them, without underscores.
_THUMBS = {"thumbsup": 1, "thumbsdown": -1}


def parse_rating(value: object) -> int | None:
    """Return 1 or -1 for a thumb up or down, by its name or number; None if it is neither."""
    if isinstance(value, str):
        return _THUMBS.get(value.lower().replace("_", ""))
    return as_int(value, -1, 1) or None


def parse_feedback(value: object, *, note_key: str = "text") -> dict[str, Any]:
    """Return the rating of an answer and its note as columns; none if there is no rating.

    `value` is an object with a `rating`, and perhaps what somebody wrote under `note_key`.
    """
    feedback = as_dict(value)
    rating = parse_rating(feedback.get("rating"))
    note = single_line(feedback.get(note_key), MAX_NOTE_CHARS)
    return ({"rating": rating} | ({"rating_note": note} if note else {})) if rating else {}
