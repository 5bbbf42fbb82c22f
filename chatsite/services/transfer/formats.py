"""Knows whose records those of a file are."""

from __future__ import annotations

from chatsite.errors import sentence
from chatsite.services.transfer import chatgpt, claude, openwebui, own
from chatsite.services.transfer.splitting import Record
from chatsite.services.transfer.trees import Found
from chatsite.services.transfer.values import NO_CONVERSATION, UNTITLED, UnreadableError, line

# What stands in for a title that is missing is no longer than those that are made here.
TITLE_CHARS = 60
EMPTY = sentence("Nothing that you or a model wrote is in it.")


def understand(record: Record) -> Found:
    """The conversation that a record tells of. Raises UnreadableError with the sentence why it cannot be imported."""
    if record.problem:
        raise UnreadableError(record.problem)
    value = record.value
    if record.key == "conversations" and "messages" in value:
        return own.conversation(value)
    if "mapping" in value:
        found = chatgpt.conversation(value)
    elif "chat_messages" in value:
        found = claude.conversation(value)
    elif "chat" in value:
        found = openwebui.conversation(value)
    else:
        raise UnreadableError(NO_CONVERSATION)
    if not found.said:
        raise UnreadableError(EMPTY)
    if found.title == UNTITLED:
        found.title = line(found.said[0].text, TITLE_CHARS) or UNTITLED
    return found


def called(record: Record) -> str | None:
    """What a record that cannot be imported seems to be called."""
    return record.title or line(record.value.get("title"), 120) or line(record.value.get("name"), 120)
