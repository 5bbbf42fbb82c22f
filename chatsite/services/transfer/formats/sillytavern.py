"""Parser of chats of SillyTavern: a line with names, then a line for each message, with all versions of an answer.

`swipes` has the versions of a message and `swipe_id` the number of the one that is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from chatsite.models import Role
from chatsite.services.transfer import message_ordering
from chatsite.services.transfer.coercion import (
    as_dict,
    as_int,
    as_list,
    clean_message_text,
    conversation_title,
    external_id,
    parse_datetime,
    single_line,
)
from chatsite.services.transfer.content.attachments import mention_attachment
from chatsite.services.transfer.formats.message_lists import content_source_id
from chatsite.services.transfer.message_ordering import ImportedConversation, ImportedMessage
from chatsite.services.transfer.omissions import Omissions, OmittedKind

MAX_SWIPES = 1000
# How the versions of several years write a time.
TIME_FORMATS = ("%B %d, %Y %I:%M%p", "%Y-%m-%d @%Hh %Mm %Ss %fms", "%Y-%m-%d@%Hh%Mm%Ss", "%Y-%m-%d @%Hh %Mm")


def is_header(value: Mapping[str, Any]) -> bool:
    """Return whether an object is the first line of a chat."""
    return "character_name" in value and "mes" not in value


def is_message(value: Mapping[str, Any]) -> bool:
    """Return whether an object is a line with a message."""
    return "mes" in value and "is_user" in value


def parse_conversation(record: Mapping[str, Any]) -> ImportedConversation:
    """Parse the `header` and the `messages` of a chat, called `title`. Raises MessageTooLargeError."""
    header = as_dict(record.get("header"))
    messages: list[ImportedMessage] = []
    omitted = Omissions()
    shown_key: str | None = None
    for number, line in enumerate(map(as_dict, as_list(record.get("messages")))):
        versions = _parse_versions(line, number, omitted, parent_key=shown_key)
        messages += versions
        shown_key = next(version.source_key for version in versions if version.is_active)
    ordered = message_ordering.parents_first(messages)
    chat_id = external_id(as_dict(header.get("chat_metadata")).get("integrity"))
    source_id = f"sillytavern:{chat_id}" if chat_id else content_source_id("sillytavern", ordered)
    return ImportedConversation(
        import_source_id=source_id,
        original_source_id=source_id,
        title=conversation_title(record.get("title") or header.get("character_name")),
        messages=message_ordering.with_one_active_version(ordered),
        created_at=_parse_time(header.get("create_date")),
        omitted=omitted,
    )


def _parse_versions(
    line: Mapping[str, Any], number: int, omitted: Omissions, *, parent_key: str | None
) -> Sequence[ImportedMessage]:
    """Return the versions of a message, of which exactly one is active. Raises MessageTooLargeError."""
    extra = as_dict(line.get("extra"))
    role = Role.USER if line.get("is_user") is True else Role.ASSISTANT
    is_kept = not _is_program_line(line)
    model = single_line(extra.get("model"), 200) if role is Role.ASSISTANT else None
    swipes = as_list(line.get("swipes"))
    shown = as_int(line.get("swipe_id"), 0, len(swipes) - 1)
    # Of too many, those around the one that is shown come in.
    first = max((shown or 0) - MAX_SWIPES + 1, 0)
    kept = range(first, min(len(swipes), first + MAX_SWIPES)) if shown is not None else range(1)
    omitted[OmittedKind.VERSION] += max(len(swipes) - len(kept), 0) if is_kept else 0
    texts = [clean_message_text(swipes[version]) for version in kept] if shown is not None else [""]
    shown = (shown or 0) - first
    # What is shown may have been edited after it was written.
    texts[shown] = clean_message_text(line.get("mes")) or texts[shown]
    if is_kept:
        texts = _with_attachments(line, texts, omitted, shown=shown, first=first)
    else:
        calls = len(as_list(extra.get("tool_invocations")))
        omitted[OmittedKind.TOOL_CALL if calls else OmittedKind.HIDDEN] += calls or bool(texts[shown])
    return [
        ImportedMessage(
            source_key=f"{number}.{version}",
            parent_key=parent_key,
            role=role if text and is_kept else None,
            text=text,
            created_at=_parse_time(line.get("send_date")),
            is_active=version == shown,
            generations=[{"model": model}] if model and version == shown else [],
        )
        for version, text in enumerate(texts)
    ]


def _is_program_line(line: Mapping[str, Any]) -> bool:
    """Return whether the program wrote a line: it has a type or tool calls. A person's hidden line has neither."""
    extra = as_dict(line.get("extra"))
    return line.get("is_system") is True and ("type" in extra or "tool_invocations" in extra)


def _with_attachments(
    line: Mapping[str, Any], texts: Sequence[str], omitted: Omissions, *, shown: int, first: int
) -> list[str]:
    """Return the text of each version with the names of its files, and count what is left out of it.

    `texts` are the versions from the number `first` on, and `shown` is the place of the one that is shown.
    """
    others = [as_dict(as_dict(each).get("extra")) for each in as_list(line.get("swipe_info"))[first:]]
    written = []
    for version, text in enumerate(texts):
        # What belongs to the version that is shown stands in the line itself.
        own = others[version] if version < len(others) else {}
        extra = as_dict(line.get("extra")) if version == shown else own
        omitted[OmittedKind.THOUGHTS] += bool(extra.get("reasoning"))
        written.append(clean_message_text("\n\n".join(filter(None, [text, *_attachment_texts(extra, omitted)]))))
    return written


def _attachment_texts(extra: Mapping[str, Any], omitted: Omissions) -> list[str]:
    """Return what stands for the files of a version; later releases have lists where there was one file."""
    files = [as_dict(each) for each in (*as_list(extra.get("files")), extra.get("file"))]
    media = [as_dict(each) for each in as_list(extra.get("media"))]
    addresses = {"image": extra.get("image"), "video": extra.get("video")}
    media += [{"type": kind, "url": url, "title": extra.get("title")} for kind, url in addresses.items() if url]
    return [
        *(mention_attachment(each.get("name"), omitted) for each in files if each),
        *(
            mention_attachment(each.get("title") or _file_name(each.get("url")), omitted, media_type=each.get("type"))
            for each in media
            if each
        ),
    ]


def _file_name(address: object) -> str | None:
    """Return the last part of the path of a file; None if the file itself stands in its address."""
    is_path = isinstance(address, str) and not address.startswith("data:")
    return str(address).rpartition("/")[2] if is_path else None


def _parse_time(value: object) -> datetime | None:
    parsed = parse_datetime(value)
    for time_format in TIME_FORMATS:
        if parsed is None and isinstance(value, str):
            try:
                parsed = parse_datetime(
                    datetime.strptime(value[:40].strip(), time_format).replace(tzinfo=UTC).isoformat()
                )
            except ValueError:
                continue
    return parsed
