"""Small records in the shapes of other sites' exports, and what the parsers make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chatsite.services.transfer import message_ordering
from chatsite.services.transfer.formats import detect
from chatsite.services.transfer.message_ordering import ImportedConversation
from chatsite.services.transfer.records import Record

Node = tuple[str, dict[str, Any]]


def make_node(key: str, parent: str | None, role: str, *parts: Any, **message: Any) -> Node:
    """Return a node of ChatGPT's `mapping`; `message` replaces or adds members of the message."""
    content = {"content_type": "text" if all(isinstance(each, str) for each in parts) else "multimodal_text"}
    return key, {
        "id": key,
        "parent": parent,
        "children": [],
        "message": {
            "id": key,
            "author": {"role": role, "name": None},
            "content": {**content, "parts": list(parts)},
            "recipient": "all",
            "metadata": {},
            **message,
        },
    }


def make_chatgpt_record(*nodes: Node, **record: Any) -> dict[str, Any]:
    """Return a conversation of ChatGPT with these nodes; the last one is the current one."""
    return {"title": "T", "conversation_id": "c", "current_node": nodes[-1][0], "mapping": dict(nodes), **record}


def make_claude_record(*messages: Mapping[str, Any], **record: Any) -> dict[str, Any]:
    """Return a conversation of Claude: the messages take turns, and each follows the one before."""
    chat_messages = [
        {"uuid": f"m{number}", "sender": "assistant" if number % 2 else "human", "text": "", "content": [], **message}
        for number, message in enumerate(messages)
    ]
    return {"uuid": "k", "name": "T", "chat_messages": chat_messages, **record}


def make_openwebui_record(*messages: Mapping[str, Any], **record: Any) -> dict[str, Any]:
    """Return a conversation of Open WebUI: the messages take turns, and each follows the one before."""
    tree: dict[str, Any] = {}
    for number, message in enumerate(messages):
        role = "assistant" if number % 2 else "user"
        parent = {"parentId": f"n{number - 1}" if number else None}
        tree[f"n{number}"] = {"id": f"n{number}", "role": role, "content": "", "timestamp": number, **parent, **message}
    history = {"messages": tree, "currentId": record.pop("current", f"n{len(messages) - 1}")}
    chat = {"title": "T", "models": ["m"], "history": history, **record.pop("chat", {})}
    return {"id": "o", "title": "T", "chat": chat, **record}


def parse(record: dict[str, Any]) -> ImportedConversation:
    """Parse a record with the parser of its format. Raises what the parser raises."""
    return detect.parse_record(Record("", record, 0))


def list_texts(conversation: ImportedConversation) -> Sequence[str]:
    """List the texts of the active branch."""
    texts = {message.source_key: message.text for message in conversation.messages}
    return [texts[key] for key in message_ordering.active_path(conversation.messages)]


def list_omitted(conversation: ImportedConversation) -> dict[str, int]:
    """Return how much was left out, by kind."""
    return {kind.value: count for kind, count in conversation.omitted.items() if count}
