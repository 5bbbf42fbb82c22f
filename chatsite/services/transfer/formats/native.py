"""Parser of this site's own exports. Invalid values are dropped, and a broken conversation is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from chatsite.engine.types import Preset
from chatsite.errors import NoConversationError
from chatsite.models import Role, Status
from chatsite.models.persona import MAX_PERSONA_NAME_CHARS
from chatsite.services.chat.chat_settings import MAX_INSTRUCTIONS_CHARS
from chatsite.services.transfer import message_ordering
from chatsite.services.transfer.coercion import (
    MAX_MESSAGE_CHARS,
    as_dict,
    as_float,
    as_int,
    as_list,
    as_public_id,
    conversation_title,
    external_id,
    limit_length,
    parse_datetime,
    single_line,
    strip_invalid_chars,
)
from chatsite.services.transfer.content import model_options
from chatsite.services.transfer.content.feedback import MAX_NOTE_CHARS
from chatsite.services.transfer.content.tag_names import parse_tags
from chatsite.services.transfer.message_ordering import ImportedConversation, ImportedMessage, ImportedReasoning
from chatsite.services.transfer.omissions import Omissions, OmittedKind, shorten

# Prefix of the import source id of a conversation that is not completely stored yet.
PARTIAL_PREFIX = "importing:"
MAX_GENERATIONS = 1000
MAX_NOTES = 8
MAX_TURNS = 1000
MAX_COUNT = 2**31 - 1
MAX_ERROR_CHARS = 10_000
FINISHED_STATUSES = {status.value for status in (Status.DONE, Status.STOPPED, Status.FAILED, Status.INTERRUPTED)}
OPTION_NAME = re.compile(r"[a-z][a-z_]{0,39}")


def parse_conversation(record: Mapping[str, Any]) -> ImportedConversation:
    """Parse a conversation of this site's export. Raises NoConversationError or MessageTooLargeError."""
    public_id = as_public_id(record.get("id"))
    if public_id is None or not isinstance(record.get("messages"), list):
        raise NoConversationError
    omitted = Omissions()
    messages = [_parse_message(as_dict(each), omitted) for each in record["messages"]]
    source = parse_source_id(record.get("origin"))
    return ImportedConversation(
        import_source_id=source or f"chatsite:{public_id}",
        original_source_id=source,
        public_id=public_id,
        title=conversation_title(record.get("title")),
        messages=message_ordering.with_one_active_version(message_ordering.parents_first(messages)),
        created_at=parse_datetime(record.get("created_at")),
        updated_at=parse_datetime(record.get("updated_at")),
        values={
            "archived_at": parse_datetime(record.get("archived_at")),
            "pinned": record.get("pinned") is True,
            **_parse_settings(record, omitted),
        },
        tags=parse_tags(as_list(record.get("tags")), omitted),
        omitted=omitted,
    )


def parse_persona(record: Mapping[str, Any], omitted: Omissions) -> dict[str, Any] | None:
    """Return the column values of a saved persona; None if it has no name. Counts in `omitted` what is cut off it."""
    values = _parse_settings(record, omitted)
    name_ = single_line(record.get("name"), MAX_PERSONA_NAME_CHARS)
    if name_ is None:
        return None
    del values["persona"]
    return {**values, "name": name_, "instructions": values["instructions"] or ""}


def _parse_message(record: Mapping[str, Any], omitted: Omissions) -> ImportedMessage:
    key = external_id(record.get("id"))
    role = record.get("role")
    if key is None or role not in list(Role):
        raise NoConversationError
    generations = as_list(record.get("generations")) if role == Role.ASSISTANT else []
    # The last one is the answer that is shown.
    omitted[OmittedKind.VERSION] += max(len(generations) - MAX_GENERATIONS, 0)
    return ImportedMessage(
        source_key=key,
        parent_key=external_id(record.get("parent")),
        role=Role(role),
        text=limit_length(strip_invalid_chars(record["text"])) if isinstance(record.get("text"), str) else "",
        created_at=parse_datetime(record.get("created_at")),
        is_active=record.get("shown") is True,
        in_comparison=record.get("comparing") is True,
        public_id=as_public_id(key),
        import_source_id=parse_source_id(record.get("origin")),
        generations=[_parse_generation(as_dict(each), omitted) for each in generations[-MAX_GENERATIONS:]],
        reasoning=_parse_reasoning(as_dict(record.get("reasoning")), omitted) if role == Role.ASSISTANT else None,
    )


def _parse_reasoning(record: Mapping[str, Any], omitted: Omissions) -> ImportedReasoning | None:
    """Return what a model thought; None if there is no text. More than a message may have is left out."""
    text = _limited_text(record.get("text"), MAX_MESSAGE_CHARS, omitted, kind=OmittedKind.REASONING)
    if text is None:
        return None
    tokens, seconds = as_int(record.get("tokens"), 1, MAX_COUNT), as_float(record.get("seconds"))
    return ImportedReasoning(text, tokens, seconds if seconds is not None and 0 <= seconds < MAX_COUNT else None)


def _parse_generation(record: Mapping[str, Any], omitted: Omissions) -> dict[str, Any]:
    """Return the column values of a generation.

    One that was in progress becomes interrupted, since no runner of this site writes it.
    """
    status = str(record.get("status"))
    timestamps = {
        key: parse_datetime(record.get(key)) for key in ("created_at", "started_at", "first_token_at", "finished_at")
    }
    error = record.get("error")
    return {
        "status": Status(status) if status in FINISHED_STATUSES else Status.INTERRUPTED,
        **_parse_settings(record, omitted),
        **timestamps,
        "model_changed": record.get("takes_over") is True,
        "settings_changed": record.get("resets") is True,
        "finish_reason": single_line(record.get("finish_reason"), 32),
        "error": strip_invalid_chars(error)[:MAX_ERROR_CHARS] if isinstance(error, str) else None,
        "token_count": as_int(record.get("tokens"), 0, MAX_COUNT) or 0,
        "tokens_per_second": as_float(record.get("tokens_per_second")),
        "rating": as_int(record.get("rating"), -1, 1) or None,
        "rating_note": _limited_text(record.get("rating_note"), MAX_NOTE_CHARS, omitted, kind=OmittedKind.RATING_NOTE),
        "prompt_report": _parse_prompt_report(record.get("receipt")),
    }


def _parse_settings(record: Mapping[str, Any], omitted: Omissions) -> dict[str, Any]:
    preset = record.get("preset")
    return {
        "model": single_line(record.get("model"), 200),
        "preset": preset if preset in list(Preset) else None,
        "persona": single_line(record.get("persona"), MAX_PERSONA_NAME_CHARS),
        "instructions": _limited_text(
            record.get("instructions"), MAX_INSTRUCTIONS_CHARS, omitted, kind=OmittedKind.INSTRUCTIONS
        ),
        "generation_options": model_options.parse_options(as_dict(record.get("numbers"))),
    }


def parse_source_id(value: object) -> str | None:
    """Return the import source id that a conversation or message had, or None if it is none that may be stored."""
    source_id = external_id(value, 200)
    return None if source_id is None or source_id.startswith(PARTIAL_PREFIX) else source_id


def _limited_text(value: object, max_chars: int, omitted: Omissions, *, kind: OmittedKind) -> str | None:
    return (
        shorten(strip_invalid_chars(value), max_chars, omitted, kind=kind) or None if isinstance(value, str) else None
    )


def _parse_prompt_report(given: object) -> dict[str, Any] | None:
    """Return a prompt report if it has the shape that pages rely on, or else None."""
    report = as_dict(given)
    turns = report.get("turns")
    if not isinstance(turns, list) or not turns or len(turns) > MAX_TURNS or not all(map(_is_turn, turns)):
        return None
    valid_fields = {key: value for key, value in report.items() if key in _REPORT_FIELDS and _REPORT_FIELDS[key](value)}
    return valid_fields if {"budget", "used", "kept"} <= valid_fields.keys() else None


def _is_turn(turn: object) -> bool:
    """Return whether this is a turn of a report.

    A turn is a list of index, role, tokens, kept, cut, and perhaps the lengths or the texts of its tokens.
    """
    if not isinstance(turn, list) or len(turn) not in {5, 6}:
        return False
    index, role, tokens, kept, cut, *pieces = turn
    counted = _is_count(index) and _is_count(tokens) and isinstance(kept, bool) and isinstance(cut, bool)
    return counted and _is_short_text(role) and all(map(_are_token_pieces, pieces))


def _are_token_pieces(pieces: object) -> bool:
    if not isinstance(pieces, list) or not pieces:
        return False
    return all(map(_is_text, pieces)) or (all(map(_is_count, pieces)) and sum(pieces) > 0)


def _is_count(value: object) -> bool:
    return as_int(value, 0, MAX_COUNT) is not None


def _is_positive_count(value: object) -> bool:
    return as_int(value, 1, MAX_COUNT) is not None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_INSTRUCTIONS_CHARS and strip_invalid_chars(value) == value


def _is_short_text(value: object) -> bool:
    return _is_text(value) and len(str(value)) <= 200


def _is_persona(value: object) -> bool:
    return isinstance(value, bool) or (isinstance(value, list) and all(map(_is_text, value)))


def _is_option(value: object) -> bool:
    is_scalar = value is None or isinstance(value, bool) or _is_short_text(value) or as_float(value) is not None
    return is_scalar or (isinstance(value, list) and len(value) <= 100 and all(map(_is_short_text, value)))


def _are_options(value: object) -> bool:
    return isinstance(value, dict) and all(OPTION_NAME.fullmatch(key) and _is_option(value[key]) for key in value)


def _is_overhead(value: object) -> bool:
    number = as_float(value)
    return number is not None and 0 <= number < MAX_COUNT


_REPORT_FIELDS: Mapping[str, Callable[[object], bool]] = {
    "model": _is_short_text,
    "revision": _is_short_text,
    "family": _is_short_text,
    "budget": _is_positive_count,
    "used": _is_count,
    "kept": _is_count,
    "frame": _is_overhead,
    "persona": _is_persona,
    "options": _are_options,
    "counted_by": lambda value: value in {"engine", "server", "estimated"},
    "notes": lambda value: isinstance(value, list) and len(value) <= MAX_NOTES and all(map(_is_short_text, value)),
    "turns": lambda _: True,
}
