"""Conversations of this site's own exports. Whatever does not fit is left away, and a broken one is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from chatsite.engine import Preset
from chatsite.models import Role, Status
from chatsite.models.persona import PERSONA_CHARS
from chatsite.services.settings import INSTRUCTIONS_CHARS, NUMBERS
from chatsite.services.transfer import trees
from chatsite.services.transfer.trees import Found, Said
from chatsite.services.transfer.values import (
    NO_CONVERSATION,
    UnreadableError,
    bounded,
    line,
    listing,
    mapping,
    moment,
    name,
    own_id,
    real,
    storable,
    title,
    whole,
)

# What marks a conversation that is not wholly stored yet.
PARTIAL = "importing:"
MOST_TAGS = 100
MOST_RUNS = 1000
MOST_TURNS = 1000
MOST_COUNT = 2**31 - 1
ERROR_CHARS = 10_000
ENDED = {status.value for status in (Status.DONE, Status.STOPPED, Status.FAILED, Status.INTERRUPTED)}
OPTION = re.compile(r"[a-z][a-z_]{0,39}")


def conversation(record: Mapping[str, Any]) -> Found:
    """A conversation of a file. Raises UnreadableError."""
    public_id = own_id(record.get("id"))
    if public_id is None or not isinstance(record.get("messages"), list):
        raise UnreadableError(NO_CONVERSATION)
    said = [_message(mapping(each)) for each in record["messages"]]
    source = _origin(record.get("origin"))
    return Found(
        origin=source or f"chatsite:{public_id}",
        source=source,
        public_id=public_id,
        title=title(record.get("title")),
        said=trees.settled(trees.ordered(said)),
        created_at=moment(record.get("created_at")),
        updated_at=moment(record.get("updated_at")),
        values={
            "archived_at": moment(record.get("archived_at")),
            "pinned": record.get("pinned") is True,
            **_settings(record),
        },
        tags=[tag for tag in map(_tag, listing(record.get("tags"))[:MOST_TAGS]) if tag],
    )


def persona(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The values of a saved persona; None where it has no name."""
    values = _settings(record)
    called = line(record.get("name"), PERSONA_CHARS)
    if called is None:
        return None
    del values["persona"]
    return {**values, "name": called, "instructions": values["instructions"] or ""}


def _message(record: Mapping[str, Any]) -> Said:
    key = name(record.get("id"))
    role = record.get("role")
    if key is None or role not in list(Role):
        raise UnreadableError(NO_CONVERSATION)
    answers = listing(record.get("generations"))[:MOST_RUNS] if role == Role.ASSISTANT else []
    return Said(
        key=key,
        parent=name(record.get("parent")),
        role=Role(role),
        text=bounded(storable(record["text"])) if isinstance(record.get("text"), str) else "",
        created_at=moment(record.get("created_at")),
        shown=record.get("shown") is True,
        comparing=record.get("comparing") is True,
        public_id=own_id(key),
        origin=_origin(record.get("origin")),
        runs=[_run(mapping(each)) for each in answers],
    )


def _run(record: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a generation. Whatever its state was, nothing is going to be written here."""
    status = str(record.get("status"))
    moments = {key: moment(record.get(key)) for key in ("created_at", "started_at", "first_token_at", "finished_at")}
    error = record.get("error")
    return {
        "status": Status(status) if status in ENDED else Status.INTERRUPTED,
        **_settings(record),
        **moments,
        "takes_over": record.get("takes_over") is True,
        "resets": record.get("resets") is True,
        "finish_reason": line(record.get("finish_reason"), 32),
        "error": storable(error)[:ERROR_CHARS] if isinstance(error, str) else None,
        "tokens": whole(record.get("tokens"), 0, MOST_COUNT) or 0,
        "tokens_per_second": real(record.get("tokens_per_second")),
        "rating": whole(record.get("rating"), -1, 1) or None,
        "rating_note": _short(record.get("rating_note"), 500),
        "receipt": _receipt(record.get("receipt")),
    }


def _settings(record: Mapping[str, Any]) -> dict[str, Any]:
    preset = record.get("preset")
    return {
        "model": line(record.get("model"), 200),
        "preset": preset if preset in list(Preset) else None,
        "persona": line(record.get("persona"), PERSONA_CHARS),
        "instructions": _short(record.get("instructions"), INSTRUCTIONS_CHARS),
        "numbers": _numbers(mapping(record.get("numbers"))),
    }


def _numbers(given: Mapping[str, Any]) -> dict[str, float] | None:
    """The decoding options that can be set by hand, where they are within their bounds."""
    kept = {}
    for key, value in given.items():
        known = NUMBERS.get(key)
        number = real(value)
        if known and number is not None and known.least <= number <= max(known.most, 100_000 if known.whole else 0):
            kept[key] = int(number) if known.whole else value
    return kept or None


def _origin(value: object) -> str | None:
    found = name(value, 200)
    return None if found is None or found.startswith(PARTIAL) else found


def _short(value: object, most: int) -> str | None:
    return storable(value)[:most] or None if isinstance(value, str) else None


def _tag(value: object) -> str | None:
    return line(value, 40)


def _receipt(given: object) -> dict[str, Any] | None:
    """What the model saw, if it is a receipt that pages can show: they count on its shape."""
    receipt = mapping(given)
    turns = receipt.get("turns")
    if not isinstance(turns, list) or not turns or len(turns) > MOST_TURNS or not all(map(_is_turn, turns)):
        return None
    kept = {key: value for key, value in receipt.items() if key in _PARTS and _PARTS[key](value)}
    return kept if {"budget", "used", "kept"} <= kept.keys() else None


def _is_turn(turn: object) -> bool:
    """Whether this is index, role, tokens, kept, cut, and perhaps the lengths or the texts of its tokens."""
    if not isinstance(turn, list) or len(turn) not in {5, 6}:
        return False
    index, role, tokens, kept, cut, *pieces = turn
    counted = _is_count(index) and _is_count(tokens) and isinstance(kept, bool) and isinstance(cut, bool)
    return counted and _is_word(role) and all(map(_is_split, pieces))


def _is_split(pieces: object) -> bool:
    if not isinstance(pieces, list) or not pieces:
        return False
    return all(map(_is_text, pieces)) or (all(map(_is_count, pieces)) and sum(pieces) > 0)


def _is_count(value: object) -> bool:
    return whole(value, 0, MOST_COUNT) is not None


def _is_size(value: object) -> bool:
    return whole(value, 1, MOST_COUNT) is not None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= INSTRUCTIONS_CHARS and storable(value) == value


def _is_word(value: object) -> bool:
    return _is_text(value) and len(str(value)) <= 200


def _is_told(value: object) -> bool:
    return isinstance(value, bool) or (isinstance(value, list) and all(map(_is_text, value)))


def _is_option(value: object) -> bool:
    plain = value is None or isinstance(value, bool) or _is_word(value) or real(value) is not None
    return plain or (isinstance(value, list) and len(value) <= 100 and all(map(_is_word, value)))


def _are_options(value: object) -> bool:
    return isinstance(value, dict) and all(OPTION.fullmatch(key) and _is_option(value[key]) for key in value)


def _is_frame(value: object) -> bool:
    number = real(value)
    return number is not None and 0 <= number < MOST_COUNT


_PARTS: Mapping[str, Callable[[object], bool]] = {
    "model": _is_word,
    "revision": _is_word,
    "family": _is_word,
    "budget": _is_size,
    "used": _is_count,
    "kept": _is_count,
    "frame": _is_frame,
    "persona": _is_told,
    "options": _are_options,
    "turns": lambda _: True,
}
