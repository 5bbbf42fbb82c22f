"""Small exports of other products, with the shapes that their files have."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any


def zip_files(files: Mapping[str, object]) -> bytes:
    """Return a zip archive of files, whose contents are bytes or JSON."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content if isinstance(content, bytes) else json.dumps(content))
    return held.getvalue()


def to_lines(*objects: object) -> bytes:
    """Return JSON with an object in each line."""
    return "\n".join(map(json.dumps, objects)).encode()


def deepseek_conversation() -> dict[str, Any]:
    """Return a conversation with two answers, the second one thought about, and a file in the question."""

    def node(key: str, parent: str | None, at: int, *fragments: tuple[str, str], **more: Any) -> dict[str, Any]:
        message = {
            "files": [],
            "model": "deepseek-reasoner",
            "inserted_at": f"2025-03-01T09:00:{at:02}+08:00",
            "fragments": [{"type": kind, "content": text} for kind, text in fragments],
            **more,
        }
        return {"id": key, "parent": parent, "children": [], "message": message}

    return {
        "id": "6f2d9d0a-1111-4c4c-8888-000000000001",
        "title": "Stars",
        "inserted_at": "2025-03-01T09:00:00.000000+08:00",
        "updated_at": "2025-03-01T09:05:00.000000+08:00",
        "mapping": {
            "root": {"id": "root", "parent": None, "children": ["1"], "message": None},
            "1": node("1", "root", 1, ("REQUEST", "Name a star."), files=[{"id": "f", "file_name": "sky.pdf"}]),
            "2": node("2", "1", 5, ("RESPONSE", "Vega.")),
            "3": node("3", "1", 9, ("SEARCH", "x"), ("THINK", "Any."), ("RESPONSE", "Deneb.")),
        },
    }


def grok_export() -> dict[str, Any]:
    """Return an export with one conversation in which a question was edited, and with other lists."""

    def response(key: str, parent: str | None, sender: str, text: str, ms: int, **more: Any) -> dict[str, Any]:
        values = {
            "_id": key,
            "conversation_id": "g1",
            "message": text,
            "sender": sender,
            "create_time": {"$date": {"$numberLong": str(ms)}},
            "model": "grok-4",
            **more,
        }
        return {"response": values | ({"parent_response_id": parent} if parent else {}), "share_link": None}

    conversation = {
        "id": "g1",
        "title": "Moon",
        "create_time": "2025-05-01T10:00:00Z",
        "modify_time": "2025-05-01T10:05:00Z",
        "starred": True,
    }
    responses = [
        response("r1", None, "human", "How far is the moon?", 1746093600000),
        response("r2", "r1", "ASSISTANT", "Far.", 1746093601000),
        response("r3", "r1", "grok-4", "384,400 km.", 1746093602000, generated_image_urls=["x"]),
    ]
    return {
        "conversations": [{"conversation": conversation, "responses": responses}],
        "projects": [{"name": "No conversation"}],
        "tasks": [],
        "media_posts": [{"id": 1}],
    }


def librechat_conversation(messages: list[dict[str, Any]], *, recursive: bool) -> dict[str, Any]:
    """Return the export of a conversation of LibreChat."""
    return {
        "conversationId": "b1d54dc4-0000-4000-8000-000000000001",
        "endpoint": "openAI",
        "title": "Soup",
        "exportAt": "12:00 GMT",
        "branches": True,
        "recursive": recursive,
        "options": {"model": "gpt-4o"},
        "messages": messages,
    }


def librechat_message(number: int, parent: int, **more: Any) -> dict[str, Any]:
    """Return a message of LibreChat; those with an odd number are questions."""
    is_question = number % 2 == 1
    return {
        "messageId": f"m{number}",
        "parentMessageId": f"m{parent}" if parent else "00000000-0000-0000-0000-000000000000",
        "sender": "User" if is_question else "GPT-4o",
        "isCreatedByUser": is_question,
        "text": f"Text {number}",
        "createdAt": f"2024-05-01T10:{number // 60 % 60:02}:{number % 60:02}.000Z",
        **({} if is_question else {"model": "gpt-4o"}),
        **more,
    }


def gemini_activity(time: str, prompt: str, html: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a record of Google Takeout's activity of Gemini."""
    return {
        "header": "Gemini Apps",
        "title": f"Prompted {prompt}",
        "time": time,
        "products": ["Gemini Apps"],
        "activityControls": ["Gemini Apps Activity"],
        **({"safeHtmlItem": [{"html": html}]} if html else {}),
        **more,
    }


SILLYTAVERN = to_lines(
    {"user_name": "Me", "character_name": "Guide", "create_date": "2024-05-01 @10h 00m", "chat_metadata": {}},
    {"name": "Guide", "is_user": False, "is_system": False, "send_date": "May 1, 2024 10:00am", "mes": "Welcome."},
    {"name": "Me", "is_user": True, "is_system": False, "send_date": "May 1, 2024 10:01pm", "mes": "Hello"},
    {"name": "System", "is_user": False, "is_system": True, "mes": "Help text", "extra": {"type": "help"}},
    {
        "name": "Guide",
        "is_user": False,
        "send_date": "2024-05-01T22:02:00.000Z",
        "mes": "Second",
        "swipes": ["First", "Second"],
        "swipe_id": 1,
        "extra": {"api": "openai", "model": "gpt-4o"},
    },
    {"name": "Me", "is_user": True, "send_date": 1714600980000, "mes": "Bye"},
)
OPENAI_MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "image_url", "image_url": {"url": "x"}}]},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
    {"role": "tool", "content": "result", "tool_call_id": "1"},
    {"role": "assistant", "content": "Hi.", "model": "gpt-4o"},
]
NOTE = b"""---
title: 'A note'
tags: [home, "two words"]
created: 2026-01-02 03:04:05
---
# Something about it

## \xf0\x9f\x91\xa4 User (10:15)

What is this?

```markdown
## Assistant
```

## ChatGPT said:

An example.

### You

No label: its level is another one.
"""
BOLD_NOTE = b"**You:** Hello\n\n**Claude:**\n\nHi **User**, how are you?\n"


def nested_librechat(count: int) -> dict[str, Any]:
    """Return a nested conversation of LibreChat with so many messages in one branch."""
    message = librechat_message(count, count - 1, children=[])
    for number in range(count - 1, 0, -1):
        message = librechat_message(number, number - 1, children=[message])
    return librechat_conversation([message], recursive=True)
