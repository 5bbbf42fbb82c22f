"""Random conversations in the formats of other sites: trees of all shapes, with what is drawn there and what is not."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2025, 5, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class RandomExport:
    """A conversation whose `entries` came one after the other, parents first; `build` makes a record of some."""

    format: str
    entries: Sequence[dict[str, Any]]
    build: Callable[[Sequence[dict[str, Any]], random.Random], dict[str, Any]]


def make_export(format_: str, rng: random.Random, name: str, size: int = 12) -> RandomExport:
    """Make a conversation of up to `size` entries, with `name` in its ids and texts."""
    entries: list[dict[str, Any]] = []
    for number in range(rng.randint(1, size)):
        # Mostly a chain, as conversations are.
        above = -1 if rng.random() < 0.6 else rng.randrange(max(number, 1))
        entries.append(ENTRIES[format_](rng, f"{name}-{number}", entries[above]["key"] if entries else None))
    return RandomExport(format_, entries, lambda some, chance: BUILDERS[format_](name, some, chance))


def _moment(rng: random.Random) -> datetime:
    return START + timedelta(seconds=rng.randint(0, 1_000_000))


def _chatgpt_entry(rng: random.Random, key: str, parent: str | None) -> dict[str, Any]:
    role = rng.choice(["user", "assistant"])
    message: dict[str, Any] = {
        "id": key,
        "author": {"role": role},
        "create_time": rng.choice([None, _moment(rng).timestamp()]),
        "content": {"content_type": "text", "parts": [f"text {key}"]},
        "metadata": {"model_slug": rng.choice(["gpt-4o", "o3"])} if rng.random() < 0.5 else {},
        "recipient": "all",
    }
    kind = rng.choice(["text"] * 5 + list(CHATGPT_KINDS))
    if kind != "text":
        message = CHATGPT_KINDS[kind](message, key)
    return {"key": key, "parent": parent, "message": message}


def _chatgpt_canvas(message: dict[str, Any], key: str) -> dict[str, Any]:
    call = {"name": f"Page {key}", "type": "document", "content": f"body {key}"}
    content = {"content_type": "code", "text": json.dumps(call), **call}
    return {**message, "author": {"role": "assistant"}, "content": content, "recipient": "canmore.create_textdoc"}


def _chatgpt_cited(message: dict[str, Any], key: str) -> dict[str, Any]:
    mark = f"\ue200cite\ue202{key}\ue201"
    reference = {"matched_text": mark, "alt": f"([page](https://example.org/{key}))"}
    content = {"content_type": "text", "parts": [f"text {key}{mark}"]}
    return {
        **message,
        "author": {"role": "assistant"},
        "content": content,
        "metadata": {"content_references": [reference]},
    }


CHATGPT_KINDS: Mapping[str, Callable[[dict[str, Any], str], Any]] = {
    "nothing": lambda message, key: None,
    "empty": lambda message, key: {**message, "content": {"content_type": "text", "parts": [""]}},
    "hidden": lambda message, key: {**message, "metadata": {"is_visually_hidden_from_conversation": True}},
    "system": lambda message, key: {**message, "author": {"role": "system"}},
    "thoughts": lambda message, key: {**message, "content": {"content_type": "thoughts", "thoughts": [key]}},
    "call": lambda message, key: {**message, "author": {"role": "assistant"}, "recipient": "web"},
    "result": lambda message, key: {**message, "author": {"role": "tool", "name": "web"}},
    "code": lambda message, key: {**message, "content": {"content_type": "code", "language": "python", "text": key}},
    "image": lambda message, key: {
        **message,
        "author": {"role": "user"},
        "content": {
            "content_type": "multimodal_text",
            "parts": [{"content_type": "image_asset_pointer", "asset_pointer": "x://y"}, f"text {key}"],
        },
    },
    "made image": lambda message, key: {
        **message,
        "author": {"role": "tool", "name": "t2i"},
        "metadata": {"image_gen_title": f"picture {key}"},
        "content": {"content_type": "multimodal_text", "parts": [{"content_type": "image_asset_pointer"}]},
    },
    "canvas": _chatgpt_canvas,
    "cited": _chatgpt_cited,
}


def _build_chatgpt(name: str, entries: Sequence[dict[str, Any]], rng: random.Random) -> dict[str, Any]:
    nodes = list(entries)
    rng.shuffle(nodes)
    return {
        "title": f"Title {name}",
        "conversation_id": name,
        "create_time": START.timestamp(),
        "update_time": START.timestamp() + len(entries),
        "current_node": rng.choice(nodes)["key"],
        "default_model_slug": "gpt-5",
        "is_starred": rng.random() < 0.2,
        "mapping": {each["key"]: {"parent": each["parent"], "message": each["message"]} for each in nodes},
    }


def _claude_entry(rng: random.Random, key: str, parent: str | None) -> dict[str, Any]:
    artifact = {"id": key, "type": "text/html", "title": f"Page {key}", "command": "create", "content": f"<p>{key}</p>"}
    blocks = [
        {"type": "thinking", "thinking": "Hm"},
        {"type": "tool_use", "name": "web_search", "input": {}},
        {"type": "tool_result", "content": []},
        {"type": "text", "text": f"text {key}", "citations": []},
        {"type": "tool_use", "name": "artifacts", "input": artifact},
    ]
    message = {
        "uuid": key,
        "sender": rng.choice(["human", "assistant"]),
        "text": "",
        "content": rng.sample(blocks, rng.randint(0, 4)),
        "created_at": _moment(rng).isoformat().replace("+00:00", "Z"),
        "files": [{"file_name": f"{key}.pdf"}] if rng.random() < 0.2 else [],
        "parent_message_uuid": parent or "00000000-0000-4000-8000-000000000000",
    }
    return {"key": key, "message": message}


def _build_claude(name: str, entries: Sequence[dict[str, Any]], rng: random.Random) -> dict[str, Any]:
    return {
        "uuid": name,
        "name": f"Title {name}",
        "created_at": START.isoformat(),
        "updated_at": (START + timedelta(seconds=len(entries))).isoformat(),
        "current_leaf_message_uuid": rng.choice(entries)["key"],
        "chat_messages": [each["message"] for each in entries],
    }


def _openwebui_entry(rng: random.Random, key: str, parent: str | None) -> dict[str, Any]:
    role = rng.choice(["user", "assistant"])
    message: dict[str, Any] = {
        "id": key,
        "parentId": parent,
        "role": role,
        "content": f"text {key}" if rng.random() < 0.6 else "",
        "timestamp": int(_moment(rng).timestamp()),
    }
    if rng.random() < 0.2:
        message["files"] = [{"type": "file", "name": f"{key}.pdf"}]
    if role == "user" and rng.random() < 0.3:
        message["models"] = ["llama3:8b", "qwen3:4b"]
    if role == "assistant":
        message["annotation"] = {"rating": rng.choice([1, -1, None])}
        message["model"] = rng.choice(["llama3:8b", "qwen3:4b"])
        if rng.random() < 0.3:
            kind = rng.choice(["reasoning", "tool_calls"])
            message["content"] = f'<details type="{kind}" done="true">\n> Hm\n</details>\n{message["content"]}'
        elif rng.random() < 0.5:
            parts = rng.sample(["reasoning", "function_call", "message"], rng.randint(1, 3))
            message["output"] = [{"type": each, "content": [{"text": f"{each} {key}"}]} for each in parts]
    return {"key": key, "message": message}


def _build_openwebui(name: str, entries: Sequence[dict[str, Any]], rng: random.Random) -> dict[str, Any]:
    messages = list(entries)
    rng.shuffle(messages)
    history = {"messages": {each["key"]: each["message"] for each in messages}, "currentId": rng.choice(entries)["key"]}
    return {
        "id": name,
        "title": f"Title {name}",
        "chat": {"history": history},
        "created_at": int(START.timestamp()),
        "updated_at": int(START.timestamp()) + len(entries),
    }


def _native_entry(rng: random.Random, key: str, parent: str | None) -> dict[str, Any]:
    role = rng.choice(["user", "assistant"])
    moment = _moment(rng).isoformat(timespec="microseconds").replace("+00:00", "Z")
    run = {"status": rng.choice(["done", "stopped", "failed"]), "model": rng.choice(["scripted", None]), "tokens": 3}
    message = {
        "id": f"{key:_<16}"[-16:],
        "parent": f"{parent:_<16}"[-16:] if parent else None,
        "comparing": False,
        "role": role,
        "text": f"text {key}",
        "created_at": moment,
        "origin": None,
        "generations": [{**run, "created_at": moment, "rating": rng.choice([None, 1, -1])}] * (role == "assistant"),
    }
    return {"key": key, "message": message}


def _build_native(name: str, entries: Sequence[dict[str, Any]], rng: random.Random) -> dict[str, Any]:
    versions: dict[str | None, list[str]] = {}
    for each in entries:
        versions.setdefault(each["message"]["parent"], []).append(each["message"]["id"])
    shown = {rng.choice(ids) for ids in versions.values()}
    return {
        "id": f"{name:_<16}"[-16:],
        "origin": None,
        "title": f"Title {name}",
        "created_at": START.isoformat(),
        "updated_at": (START + timedelta(seconds=len(entries))).isoformat(),
        "tags": rng.sample(["home", "work"], rng.randint(0, 2)),
        "messages": [{**each["message"], "shown": each["message"]["id"] in shown} for each in entries],
    }


ENTRIES = {
    "chatgpt": _chatgpt_entry,
    "claude": _claude_entry,
    "openwebui": _openwebui_entry,
    "native": _native_entry,
}
BUILDERS = {
    "chatgpt": _build_chatgpt,
    "claude": _build_claude,
    "openwebui": _build_openwebui,
    "native": _build_native,
}
