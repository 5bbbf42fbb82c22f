"""Parser of Google Takeout's "My Activity" of Gemini, as JSON: one record for each prompt with its answer as HTML.

The file does not say which prompts belong to one conversation. Those that follow each other within half an hour are
taken for one; they are in the file from the newest to the oldest.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from chatsite.models import Role
from chatsite.rendering.html_to_markdown import html_to_markdown
from chatsite.services.transfer import message_ordering
from chatsite.services.transfer.coercion import (
    as_dict,
    as_list,
    clean_message_text,
    conversation_title,
    parse_datetime,
    single_line,
)
from chatsite.services.transfer.content.attachments import mention_attachment
from chatsite.services.transfer.message_ordering import ImportedConversation, ImportedMessage
from chatsite.services.transfer.omissions import Omissions

MAX_PAUSE = timedelta(minutes=30)
MAX_TITLE_CHARS = 60
PRODUCT = re.compile(r"\b(?:gemini|bard)\b", re.IGNORECASE)
# What stands before the words of the person. In other languages the whole title is taken.
PROMPT_PREFIX = re.compile(r"(?:Prompted(?: with)?|Asked(?: Gemini| Bard)?|Said|Live Prompt):? +")
OTHER_ACTIVITY = re.compile(
    r"(?:Used|Created|Added|Gave|Selected|Shared|Deleted|Viewed|Visited|Searched|Edited|Pinned|Renamed|Exported) "
)


def is_activity(value: Mapping[str, Any]) -> bool:
    """Return whether an object is a record of the activity of Gemini."""
    if not isinstance(value.get("title"), str) or "time" not in value:
        return False
    names = [value.get("header"), *as_list(value.get("products"))]
    return any(isinstance(name, str) and PRODUCT.search(name) for name in names)


def is_prompt(value: Mapping[str, Any]) -> bool:
    """Return whether a record of activity is a prompt: it begins as one, or has an answer."""
    title = str(value.get("title"))
    if OTHER_ACTIVITY.match(title):
        return False
    return bool(PROMPT_PREFIX.match(title) or _answer_html(value))


def continues(newer: Mapping[str, Any], older: Mapping[str, Any]) -> bool:
    """Return whether two records that follow each other in the file are close enough to be of one conversation."""
    times = parse_datetime(newer.get("time")), parse_datetime(older.get("time"))
    return times[0] is not None and times[1] is not None and abs(times[0] - times[1]) <= MAX_PAUSE


def parse_conversation(record: Mapping[str, Any]) -> ImportedConversation:
    """Parse the `activities` of one conversation. Raises MessageTooLargeError."""
    activities = [as_dict(each) for each in as_list(record.get("activities"))]
    # Reversed first, so that records of the same time have the order in which they were written.
    activities.reverse()
    activities.sort(key=lambda activity: str(activity.get("time")))
    messages: list[ImportedMessage] = []
    omitted = Omissions()
    for activity in activities:
        for message in _parse_activity(activity, omitted):
            message.parent_key = messages[-1].source_key if messages else None
            messages.append(message)
    ordered = message_ordering.parents_first(messages)
    source_id = f"gemini:{_activity_id(activities[0])}" if activities else "gemini:"
    title = next((single_line(message.text, MAX_TITLE_CHARS) for message in ordered), None)
    return ImportedConversation(
        import_source_id=source_id,
        original_source_id=source_id,
        title=conversation_title(title),
        messages=message_ordering.with_one_active_version(ordered),
        omitted=omitted,
    )


def _parse_activity(activity: Mapping[str, Any], omitted: Omissions) -> list[ImportedMessage]:
    """Return the prompt and its answer, if it has one. Raises MessageTooLargeError."""
    activity_id, created_at = _activity_id(activity), parse_datetime(activity.get("time"))
    written = PROMPT_PREFIX.sub("", str(activity.get("title")), count=1)
    files = [mention_attachment(name, omitted) for name in _file_names(activity)]
    prompt = clean_message_text("\n\n".join([written, *files]))
    answer = clean_message_text(html_to_markdown(_answer_html(activity)))
    texts = {Role.USER: prompt, Role.ASSISTANT: answer}
    return [
        ImportedMessage(
            source_key=f"{activity_id} {role.value}",
            parent_key=None,
            role=role,
            text=text,
            created_at=created_at,
            import_source_id=f"{activity_id} {role.value}",
        )
        for role, text in texts.items()
        if text
    ]


def _file_names(activity: Mapping[str, Any]) -> list[str]:
    """Return the names of the files of a prompt, each once: `imageFile` is often one of `attachedFiles` too."""
    names = [*as_list(activity.get("attachedFiles")), *as_list(activity.get("imageFile")), activity.get("imageFile")]
    return list(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def _activity_id(activity: Mapping[str, Any]) -> str:
    """Return what a record is known by, since it has no id: its time and its prompt."""
    digest = hashlib.sha256(str(activity.get("title")).encode("utf-8", "replace")).hexdigest()[:8]
    return f"{single_line(activity.get('time'), 40) or ''} {digest}"


def _answer_html(activity: Mapping[str, Any]) -> str:
    items = [as_dict(item).get("html") for item in as_list(activity.get("safeHtmlItem"))]
    return "\n".join(item for item in items if isinstance(item, str))
