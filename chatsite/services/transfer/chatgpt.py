"""Conversations of ChatGPT: a `mapping` of nodes, of which `current_node` ends the branch that is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chatsite.models import Role
from chatsite.services.transfer import trees
from chatsite.services.transfer.trees import Found, Said
from chatsite.services.transfer.values import (
    NO_CONVERSATION,
    UnreadableError,
    line,
    listing,
    mapping,
    moment,
    name,
    title,
    written,
)

ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT}
# What was said aloud or in words; the rest is what the model did meanwhile.
SPOKEN = {"text", "multimodal_text"}
# What a part that is no text is told of as.
PICTURES = {
    "image_asset_pointer": "[image]",
    "audio_asset_pointer": "[audio]",
    "video_container_asset_pointer": "[video]",
}


def conversation(record: Mapping[str, Any]) -> Found:
    """A conversation of a file. Raises UnreadableError."""
    nodes = mapping(record.get("mapping"))
    their_id = name(record.get("conversation_id")) or name(record.get("id"))
    if not nodes or their_id is None:
        raise UnreadableError(NO_CONVERSATION)
    said = trees.ordered(trees.by_time([_node(key, mapping(node)) for key, node in nodes.items()]))
    current = name(record.get("current_node"))
    return Found(
        origin=f"chatgpt:{their_id}",
        source=f"chatgpt:{their_id}",
        title=title(record.get("title")),
        said=trees.settled(said, _nearest_said(nodes, {each.key for each in said}, current)),
        created_at=moment(record.get("create_time")),
        updated_at=moment(record.get("update_time")),
        values={
            "pinned": record.get("is_starred") is True,
            "archived_at": moment(record.get("update_time")) if record.get("is_archived") is True else None,
        },
    )


def _nearest_said(nodes: Mapping[str, Any], kept: set[str], current: str | None) -> str | None:
    """The message that the branch shown ends with: the current node, or the nearest one above that is a message."""
    seen: set[str] = set()
    while current is not None and current not in kept and current not in seen:
        seen.add(current)
        current = name(mapping(nodes.get(current)).get("parent"))
    return current


def _node(key: str, node: Mapping[str, Any]) -> Said:
    message = mapping(node.get("message"))
    more = mapping(message.get("metadata"))
    text = _text(mapping(message.get("content")))
    role = ROLES.get(str(mapping(message.get("author")).get("role")))
    hidden = more.get("is_visually_hidden_from_conversation") is True or message.get("recipient") not in (None, "all")
    model = line(more.get("model_slug"), 200) if role is Role.ASSISTANT else None
    return Said(
        key=key,
        parent=name(node.get("parent")),
        role=role if text and not hidden else None,
        text=text,
        created_at=moment(message.get("create_time")),
        origin=name(message.get("id")) or name(key),
        runs=[{"model": model}] if model else [],
    )


def _text(content: Mapping[str, Any]) -> str:
    kind = str(content.get("content_type"))
    if kind == "code" and isinstance(content.get("text"), str):
        return written(f"```\n{content['text']}\n```")
    if kind not in SPOKEN:
        return ""
    return written("\n\n".join(filter(None, map(_part, listing(content.get("parts"))))))


def _part(part: object) -> str:
    if isinstance(part, str):
        return part
    more = mapping(part)
    text = more.get("text")
    return text if isinstance(text, str) else PICTURES.get(str(more.get("content_type")), "")
