"""Conversations in the export formats of other sites."""

from __future__ import annotations

from typing import Any


def make_chatgpt_conversation(number: int = 1) -> dict[str, Any]:
    """Make a conversation with two answers to one question, one of them after a tool call.

    A system message and a hidden message are above the question.
    """

    def make_node(
        key: str, parent: str | None, role: str, text: object, created_at: float | None, **more: Any
    ) -> dict[str, Any]:
        content = more.pop("content", {"content_type": "text", "parts": [text]})
        message = {"id": f"m-{key}", "author": {"role": role}, "create_time": created_at, "content": content, **more}
        return {"id": key, "parent": parent, "children": [], "message": message}

    hidden = {"metadata": {"is_visually_hidden_from_conversation": True}}
    return {
        "title": f"Recetas {number}",
        "create_time": 1700000000.25,
        "update_time": 1700000100.5,
        "current_node": "new",
        "conversation_id": f"6a{number}",
        "is_archived": True,
        "is_starred": None,
        "mapping": {
            "root": {"id": "root", "parent": None, "children": ["sys"], "message": None},
            "sys": make_node("sys", "root", "system", "", None),
            "about": make_node(
                "about", "sys", "user", "", None, content={"content_type": "user_editable_context"}, **hidden
            ),
            "ask": make_node(
                "ask",
                "about",
                "user",
                "",
                1700000001,
                content={
                    "content_type": "multimodal_text",
                    "parts": [{"content_type": "image_asset_pointer", "asset_pointer": "file://x"}, "¿Qué es?"],
                },
            ),
            "old": make_node("old", "ask", "assistant", "Viejo", 1700000002, metadata={"model_slug": "gpt-4"}),
            "call": make_node("call", "ask", "assistant", "search()", 1700000003, recipient="browser"),
            "tool": make_node("tool", "call", "tool", "result", 1700000004),
            "new": make_node("new", "tool", "assistant", "Nuevo", 1700000005, metadata={"model_slug": "gpt-4o"}),
        },
    }


def make_claude_conversation(number: int = 1) -> dict[str, Any]:
    """Make a conversation with a question with a file, and an answer with thinking."""
    return {
        "uuid": f"c-{number}",
        "name": f"Poems {number}",
        "created_at": "2025-01-02T03:04:05.678901Z",
        "updated_at": "2025-01-02T03:05:00+00:00",
        "account": {"uuid": "a"},
        "chat_messages": [
            {
                "uuid": f"q-{number}",
                "text": "Read this",
                "content": [{"type": "text", "text": "Read this"}],
                "sender": "human",
                "created_at": "2025-01-02T03:04:06Z",
                "attachments": [{"file_name": "poem.txt", "extracted_content": "Roses"}],
                "files": [{"file_name": "a.png"}],
            },
            {
                "uuid": f"a-{number}",
                "text": "",
                "content": [{"type": "thinking", "thinking": "Hmm"}, {"type": "text", "text": "Lovely."}],
                "sender": "assistant",
                "created_at": "2025-01-02T03:04:09Z",
                "attachments": [],
                "files": [],
            },
        ],
    }


def make_openwebui_conversation(number: int = 1) -> dict[str, Any]:
    """Make a conversation with a question and the answers of two models, of which the first is active."""
    messages: dict[str, Any] = {
        "u": {
            "id": "u",
            "parentId": None,
            "childrenIds": ["a", "b"],
            "role": "user",
            "content": "Hi",
            "timestamp": 1700000000,
        },
        "a": {
            "id": "a",
            "parentId": "u",
            "role": "assistant",
            "content": "One",
            "model": "llama3:8b",
            "timestamp": 1700000001,
        },
        "b": {
            "id": "b",
            "parentId": "u",
            "role": "assistant",
            "content": "Two",
            "model": "qwen3",
            "timestamp": 1700000002,
        },
    }
    return {
        "id": f"o-{number}",
        "user_id": "u",
        "title": f"Chat {number}",
        "chat": {
            "title": "?",
            "models": ["llama3:8b"],
            "history": {"messages": messages, "currentId": "a"},
            "messages": [],
        },
        "updated_at": 1700000050,
        "created_at": 1700000000,
        "archived": False,
        "pinned": True,
        "meta": {"tags": ["home"]},
    }
