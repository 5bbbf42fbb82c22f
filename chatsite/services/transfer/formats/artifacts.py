"""Artifacts of Claude: documents that answers write and change, in blocks or, in old exports, in tags of the text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chatsite.services.transfer.coercion import as_dict, as_list, clean_message_text, single_line
from chatsite.services.transfer.content.documents import Document, DocumentEdit
from chatsite.services.transfer.content.markup import fence_code, under_title
from chatsite.services.transfer.content.markup_blocks import Attributes, replace_elements
from chatsite.services.transfer.omissions import Omissions, OmittedKind

MAX_ID_CHARS = 200
LANGUAGES = {
    "text/html": "html",
    "text/markdown": "markdown",
    "image/svg+xml": "svg",
    "application/vnd.ant.mermaid": "mermaid",
    "application/vnd.ant.react": "jsx",
}
# Where the newer tools of Claude put the files that they show to the user.
OUTPUT_FOLDER = "/mnt/user-data/outputs/"


def parse_edits(message: Mapping[str, Any]) -> list[DocumentEdit]:
    """Return the edits of documents in the blocks of a message. Raises MessageTooLargeError."""
    blocks = map(as_dict, as_list(message.get("content")))
    return [edit for block in blocks if (edit := parse_edit(block))]


def parse_edit(block: Mapping[str, Any]) -> DocumentEdit | None:
    """Return what a block creates or changes; None for all other blocks. Raises MessageTooLargeError."""
    if block.get("type") != "tool_use":
        return None
    call = as_dict(block.get("input"))
    if block.get("name") == "artifacts":
        return _parse_artifact(call)
    path = single_line(call.get("path"), MAX_ID_CHARS) or ""
    if not path.startswith(OUTPUT_FOLDER):
        return None
    name = path.rpartition("/")[2]
    if block.get("name") == "create_file" and isinstance(call.get("file_text"), str):
        language = name.rpartition(".")[2] if "." in name else ""
        return DocumentEdit(path, name, language, clean_message_text(call["file_text"]))
    if block.get("name") == "str_replace":
        return DocumentEdit(path, name, replacements=_replacement(call))
    return None


def format_document(document: Document) -> str:
    """Return a document as a code block under its title."""
    return under_title(document.title, fence_code(document.text, document.language))


def replace_tags(text: str, omitted: Omissions) -> str:
    """Return the text of an old export with its artifacts as code blocks, and without what the model thought."""

    def replace_thoughts(attributes: Attributes, inner: str) -> str:
        omitted[OmittedKind.THOUGHTS] += 1
        return ""

    def replace_artifact(attributes: Attributes, inner: str) -> str:
        language = _language(attributes.get("type"), attributes.get("language"))
        shown = under_title(single_line(attributes.get("title"), 120), fence_code(inner.strip("\n"), language))
        return f"\n\n{shown}\n\n"

    if "<ant" not in text:
        return text
    text = replace_elements(text, "antThinking", replace_thoughts)
    return replace_elements(text, "antArtifact", replace_artifact).strip()


def _parse_artifact(call: Mapping[str, Any]) -> DocumentEdit | None:
    document_id, content = single_line(call.get("id"), MAX_ID_CHARS) or "", call.get("content")
    title = single_line(call.get("title"), 120)
    language = _language(call.get("type"), call.get("language"))
    if isinstance(content, str) and content:
        return DocumentEdit(document_id, title, language, clean_message_text(content))
    replacements = _replacement(call)
    return DocumentEdit(document_id, title, language, replacements=replacements) if replacements else None


def _replacement(call: Mapping[str, Any]) -> list[tuple[str, str]]:
    old, new = call.get("old_str"), call.get("new_str")
    return [(old, new if isinstance(new, str) else "")] if isinstance(old, str) else []


def _language(kind: object, language: object) -> str | None:
    return language if isinstance(language, str) else LANGUAGES.get(str(kind))
