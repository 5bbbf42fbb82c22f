"""The canvas of ChatGPT: documents that answers write and change through the tool `canmore`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from chatsite.services.transfer.coercion import as_dict, as_list, clean_message_text, single_line
from chatsite.services.transfer.content.documents import Document, DocumentEdit
from chatsite.services.transfer.content.markup import fence_code, under_title

# A conversation has one canvas, which its updates do not name.
CANVAS_ID = "canvas"
# A pattern without these is the passage itself; a backslash may stand before any character that is no letter.
SPECIAL_CHARS = re.compile(r"\\[A-Za-z0-9]|(?<!\\)[.^$*+?{}\[\]()|]")
ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def parse_edit(message: Mapping[str, Any]) -> DocumentEdit | None:
    """Return what a message to the canvas creates or changes; None for other messages. Raises MessageTooLargeError."""
    recipient = message.get("recipient")
    if recipient not in {"canmore.create_textdoc", "canmore.update_textdoc"}:
        return None
    call = _call_arguments(as_dict(message.get("content")))
    if recipient == "canmore.create_textdoc":
        if not isinstance(call.get("content"), str):
            return None
        text = clean_message_text(call["content"])
        kind, _, language = str(call.get("type")).partition("/")
        return DocumentEdit(CANVAS_ID, single_line(call.get("name"), 120), language if kind == "code" else None, text)
    updates = [each for each in map(as_dict, as_list(call.get("updates"))) if isinstance(each.get("replacement"), str)]
    if not updates:
        return None
    return DocumentEdit(
        CANVAS_ID, replacements=[(_passage(each.get("pattern")), each["replacement"]) for each in updates]
    )


def format_document(document: Document) -> str:
    """Return a document under its title; a program is a code block, other documents are Markdown already."""
    text = document.text if document.language is None else fence_code(document.text, document.language)
    return under_title(document.title, text)


def _call_arguments(content: Mapping[str, Any]) -> Mapping[str, Any]:
    parts = as_list(content.get("parts"))
    text = content.get("text") or (parts[0] if parts else None)
    try:
        return as_dict(json.loads(text)) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        return {}


def _passage(pattern: object) -> str:
    """Return the passage that a pattern matches; empty if it is more than a passage, as `.*` for the whole text is.

    Patterns are not run: one of a stranger may take any time.
    """
    if not isinstance(pattern, str) or SPECIAL_CHARS.search(pattern):
        return ""
    return ESCAPE.sub(r"\1", pattern)
