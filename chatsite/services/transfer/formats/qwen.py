"""Parser of exports of Qwen's site, which is made from Open WebUI: the text of an answer is in its `content_list`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chatsite.services.transfer.coercion import as_dict, as_list
from chatsite.services.transfer.formats import openwebui
from chatsite.services.transfer.message_ordering import ImportedConversation
from chatsite.services.transfer.omissions import OmittedKind

# Other phases are thoughts and searches.
ANSWER_PHASES = ("answer", None)


def is_conversation(record: Mapping[str, Any]) -> bool:
    """Return whether a message of a chat has its text in parts of different phases."""
    return any("content_list" in message for message in _messages(record).values() if isinstance(message, dict))


def parse_conversation(record: Mapping[str, Any]) -> ImportedConversation:
    """Parse a conversation of Qwen. Raises NoConversationError or MessageTooLargeError."""
    chat = as_dict(record.get("chat"))
    messages = {key: _with_content(as_dict(message)) for key, message in _messages(record).items()}
    history = {**as_dict(chat.get("history")), "messages": messages}
    imported = openwebui.parse_conversation({**record, "chat": {**chat, "history": history}})
    for message in map(as_dict, messages.values()):
        for part in map(as_dict, as_list(message.get("content_list"))):
            if part.get("phase") not in ANSWER_PHASES:
                is_thought = "think" in str(part.get("phase"))
                imported.omitted[OmittedKind.THOUGHTS if is_thought else OmittedKind.TOOL_CALL] += 1
    return imported


def _messages(record: Mapping[str, Any]) -> Mapping[str, Any]:
    return as_dict(as_dict(as_dict(record.get("chat")).get("history")).get("messages"))


def _with_content(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message of Open WebUI, whose content is the text that is shown."""
    parts = [as_dict(part) for part in as_list(message.get("content_list"))]
    texts = [part.get("content") for part in parts if part.get("phase") in ANSWER_PHASES]
    content = message.get("content") or "\n\n".join(text for text in texts if isinstance(text, str))
    return {**message, "content": content}
