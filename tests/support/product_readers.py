"""What a person sees of a conversation in the product that a file comes from, read without the code of this site.

Each reader takes a record as the random exports of `random_exports` have it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Lines = tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """Title, the branch that is open, all branches, and times and models by the line of their message."""

    title: str
    current: Lines
    branches: frozenset[Lines]
    times: Mapping[str, datetime]
    models: Mapping[str, str]


@dataclass
class _Bubble:
    """What is drawn for an entry of the file; entries without a line are not drawn."""

    above: str | None
    line: str | None
    time: datetime | None = None
    model: str | None = None


def read_chatgpt(record: Mapping[str, Any]) -> Seen:
    """Read a conversation of ChatGPT: the page climbs from the current node to the root."""
    bubbles: dict[str, _Bubble] = {}
    for key, node in record["mapping"].items():
        message = node["message"] or {}
        line = _chatgpt_line(message) if message else None
        moment = message.get("create_time")
        slug = message.get("metadata", {}).get("model_slug") or record["default_model_slug"]
        time = datetime.fromtimestamp(moment, UTC) if moment is not None else None
        bubbles[key] = _Bubble(node["parent"], line, time, slug if line and line.startswith("assistant") else None)
    return _see(record["title"], bubbles, record["current_node"])


def read_claude(record: Mapping[str, Any]) -> Seen:
    """Read a conversation of Claude."""
    bubbles: dict[str, _Bubble] = {}
    for message in record["chat_messages"]:
        shown = []
        for block in message["content"]:
            if block["type"] == "text":
                shown.append(block["text"])
            elif block["type"] == "tool_use" and block["name"] == "artifacts":
                given = block["input"]
                shown.append(f"**{given['title']}**\n\n```html\n{given['content']}\n```")
        shown += [f"[{file['file_name']}]" for file in message["files"]]
        role = "user" if message["sender"] == "human" else "assistant"
        line = f"{role}: " + "\n\n".join(shown) if any(shown) else None
        time = datetime.fromisoformat(message["created_at"])
        bubbles[message["uuid"]] = _Bubble(message["parent_message_uuid"], line, time)
    return _see(record["name"], bubbles, record["current_leaf_message_uuid"])


def read_openwebui(record: Mapping[str, Any]) -> Seen:
    """Read a conversation of Open WebUI."""
    bubbles: dict[str, _Bubble] = {}
    history = record["chat"]["history"]
    for key, message in history["messages"].items():
        text = message["content"]
        if text.startswith("<details"):
            text = text.split("</details>\n")[1]
        if not text:
            spoken = [item["content"][0]["text"] for item in message.get("output", []) if item["type"] == "message"]
            text = "\n\n".join(spoken)
        shown = [text, *(f"[{file['name']}]" for file in message.get("files", []))]
        line = f"{message['role']}: " + "\n\n".join(filter(None, shown)) if any(shown) else None
        time = datetime.fromtimestamp(message["timestamp"], UTC)
        bubbles[key] = _Bubble(message["parentId"], line, time, message.get("model") if line else None)
    return _see(record["title"], bubbles, history["currentId"])


def read_native(record: Mapping[str, Any]) -> Seen:
    """Read a conversation of this site's own export: the open branch goes down the messages with `shown`."""
    bubbles: dict[str, _Bubble] = {}
    last: str | None = None
    for message in record["messages"]:
        model = message["generations"][-1]["model"] if message["generations"] else None
        time = datetime.fromisoformat(message["created_at"])
        bubbles[message["id"]] = _Bubble(message["parent"], f"{message['role']}: {message['text']}", time, model)
        if message["shown"] and message["parent"] == last:
            last = message["id"]
    return _see(record["title"], bubbles, last)


READERS: Mapping[str, Callable[[Mapping[str, Any]], Seen]] = {
    "chatgpt": read_chatgpt,
    "claude": read_claude,
    "openwebui": read_openwebui,
    "native": read_native,
}


def _chatgpt_line(message: Mapping[str, Any]) -> str | None:
    """Return what the page draws for a message: nothing for what is hidden, thought, or said to a tool."""
    role, content, metadata = message["author"]["role"], message["content"], message["metadata"]
    if metadata.get("is_visually_hidden_from_conversation") or role == "system":
        return None
    if message["recipient"] == "canmore.create_textdoc":
        return f"assistant: **{content['name']}**\n\n{content['content']}"
    if role == "tool" and "image_gen_title" in metadata:
        return f"assistant: [image: {metadata['image_gen_title']}]"
    if role == "tool" or message["recipient"] != "all":
        return None
    if content["content_type"] == "code":
        return f"{role}: ```python\n{content['text']}\n```"
    if content["content_type"] not in {"text", "multimodal_text"}:
        return None
    shown = [part if isinstance(part, str) else "[image]" for part in content["parts"]]
    text = "\n\n".join(filter(None, shown))
    for reference in metadata.get("content_references", []):
        text = text.replace(reference["matched_text"], " " + reference["alt"])
    return f"{role}: {text}" if text else None


def _see(title: str, bubbles: Mapping[str, _Bubble], current: str | None) -> Seen:
    drawn = {key: bubble for key, bubble in bubbles.items() if bubble.line is not None}
    branches = {_climb(bubbles, key) for key in drawn}
    inner = {branch[:length] for branch in branches for length in range(len(branch))}
    return Seen(
        title,
        _climb(bubbles, current),
        frozenset(branches - inner),
        {str(bubble.line): bubble.time for bubble in drawn.values() if bubble.time},
        {str(bubble.line): bubble.model for bubble in drawn.values() if bubble.model},
    )


def _climb(bubbles: Mapping[str, _Bubble], key: str | None) -> Lines:
    lines: list[str] = []
    while key is not None and key in bubbles:
        lines.insert(0, bubbles[key].line or "")
        key = bubbles[key].above
    return tuple(filter(None, lines))
