"""Parser of Grok exports: a `conversation` beside its `responses`, of the person and of the model."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from chatsite.models import Role
from chatsite.services.transfer import message_ordering
from chatsite.services.transfer.coercion import (
    as_dict,
    as_list,
    clean_message_text,
    conversation_title,
    external_id,
    parse_datetime,
    single_line,
)
from chatsite.services.transfer.content.attachments import mention_attachment, mention_image
from chatsite.services.transfer.content.markup import format_link
from chatsite.services.transfer.content.reasoning import keep_reasoning
from chatsite.services.transfer.message_ordering import ImportedConversation, ImportedMessage
from chatsite.services.transfer.omissions import Omissions, OmittedKind

MAX_SOURCES = 100


def is_conversation(record: Mapping[str, Any]) -> bool:
    """Return whether an object is a conversation of Grok."""
    return isinstance(record.get("conversation"), dict) and isinstance(record.get("responses"), list)


def parse_conversation(record: Mapping[str, Any]) -> ImportedConversation:
    """Parse a conversation of a Grok export. Raises MessageTooLargeError."""
    conversation = as_dict(record.get("conversation"))
    messages: list[ImportedMessage] = []
    omitted = Omissions()
    for number, each in enumerate(as_list(record.get("responses"))):
        response = as_dict(as_dict(each).get("response"))
        previous_key = messages[-1].source_key if messages else None
        messages.append(_parse_response(response, number, omitted, previous_key=previous_key))
    leaf_key = message_ordering.nearest_kept_key(messages, external_id(conversation.get("leaf_response_id")))
    ordered = message_ordering.parents_first(messages)
    last_key = ordered[-1].source_key if ordered else None
    created_at = _parse_time(conversation.get("create_time"))
    source_id = external_id(conversation.get("id")) or message_ordering.derive_source_id(ordered, created_at)
    return ImportedConversation(
        import_source_id=f"grok:{source_id}",
        original_source_id=f"grok:{source_id}",
        title=conversation_title(conversation.get("title")),
        messages=message_ordering.with_one_active_version(ordered, leaf_key or last_key),
        created_at=created_at,
        updated_at=_parse_time(conversation.get("modify_time")),
        values={"pinned": conversation.get("starred") is True},
        omitted=omitted,
    )


def _parse_response(
    record: Mapping[str, Any], number: int, omitted: Omissions, *, previous_key: str | None
) -> ImportedMessage:
    """Parse a message; one without a parent follows the message before it. Raises MessageTooLargeError."""
    # An attachment is an object, or only an id.
    files = [as_dict(each) for each in as_list(record.get("file_attachments"))]
    attached = [
        mention_attachment(each.get("file_name"), omitted, media_type=each.get("file_mime_type")) for each in files
    ]
    images = [mention_image(None, omitted) for _ in as_list(record.get("generated_image_urls"))]
    text = record["message"] if isinstance(record.get("message"), str) else ""
    sources = _source_list(record, omitted) if text.strip() else ""
    text = clean_message_text("\n\n".join(filter(None, [text, *attached, *images, sources])))
    _count_steps(record, omitted)
    # The model's own name may stand for "assistant".
    role = Role.USER if str(record.get("sender")).lower() in {"human", "user"} else Role.ASSISTANT
    source_id = external_id(record.get("_id"))
    model = single_line(record.get("model"), 200) if role is Role.ASSISTANT else None
    thoughts = [record["thinking_trace"]] if record.get("thinking_trace") else []
    return ImportedMessage(
        source_key=source_id or f"#{number}",
        parent_key=external_id(record.get("parent_response_id")) or previous_key,
        role=role if text else None,
        text=text,
        created_at=_parse_time(record.get("create_time")),
        import_source_id=source_id,
        generations=[{"model": model}] if model else [],
        reasoning=keep_reasoning(thoughts, omitted, has_answer=bool(text) and role is Role.ASSISTANT),
    )


def _source_list(record: Mapping[str, Any], omitted: Omissions) -> str:
    """Return the pages that an answer cites, a line for each of the first MAX_SOURCES."""
    pages = map(as_dict, as_list(record.get("cited_web_search_results")))
    links = [link for page in pages if (link := format_link(page.get("title"), page.get("url")))]
    lines = [f"- {link}" for link in dict.fromkeys(links)]
    omitted[OmittedKind.SOURCE] += max(len(lines) - MAX_SOURCES, 0)
    return "\n".join(lines[:MAX_SOURCES])


def _count_steps(record: Mapping[str, Any], omitted: Omissions) -> None:
    """Count the searches and other steps of an answer, and what helpers of the model thought."""
    steps = len(as_list(record.get("steps"))) or bool(record.get("web_search_results"))
    omitted[OmittedKind.TOOL_CALL] += steps
    omitted[OmittedKind.THOUGHTS] += len(as_list(record.get("agent_thinking_traces")))


def _parse_time(value: object) -> datetime | None:
    """Return a time, also from MongoDB's `{"$date": {"$numberLong": "<milliseconds>"}}`."""
    date = as_dict(value).get("$date", value)
    number = as_dict(date).get("$numberLong")
    return parse_datetime(
        int(number) if isinstance(number, str) and number[:20].isdecimal() and len(number) < 20 else date
    )
