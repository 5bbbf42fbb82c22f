"""Parser of exports of Qwen's site, which is made from Open WebUI: the text of an answer is in its `content_list`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chatsite.models import Role
from chatsite.services.transfer.coercion import as_dict, as_list
from chatsite.services.transfer.content.reasoning import keep_reasoning
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
    answers = {each.source_key: each for each in imported.messages if each.role is Role.ASSISTANT}
    for key, message in messages.items():
        parts = [as_dict(part) for part in as_list(as_dict(message).get("content_list"))]
        others = [part for part in parts if part.get("phase") not in ANSWER_PHASES]
        thoughts = [part.get("content") for part in others if "think" in str(part.get("phase"))]
        imported.omitted[OmittedKind.TOOL_CALL] += len(others) - len(thoughts)
        answer = answers.get(key)
        reasoning = keep_reasoning(thoughts, imported.omitted, has_answer=answer is not None)
        if answer and reasoning:
            answer.reasoning = reasoning
    return imported


def _messages(record: Mapping[str, Any]) -> Mapping[str, Any]:
    return as_dict(as_dict(as_dict(record.get("chat")).get("history")).get("messages"))


def _with_content(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message of Open WebUI, whose content is the text that is shown."""
    parts = [as_dict(part) for part in as_list(message.get("content_list"))]
    texts = [part.get("content") for part in parts if part.get("phase") in ANSWER_PHASES]
    content = message.get("content") or "\n\n".join(text for text in texts if isinstance(text, str))
    return {**message, "content": content}
