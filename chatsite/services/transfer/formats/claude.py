"""Parser of Claude exports: `chat_messages` of a human and an assistant, each with content blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chatsite.errors import NoConversationError
from chatsite.models import Role
from chatsite.services.transfer import message_ordering, omissions
from chatsite.services.transfer.coercion import (
    as_dict,
    as_list,
    clean_message_text,
    conversation_title,
    external_id,
    parse_datetime,
    parse_instructions,
    single_line,
)
from chatsite.services.transfer.content.attachments import mention_attachment, mention_image
from chatsite.services.transfer.content.documents import Document, resolve_documents
from chatsite.services.transfer.content.markup import file_placeholder, format_link
from chatsite.services.transfer.content.reasoning import keep_reasoning
from chatsite.services.transfer.formats import artifacts
from chatsite.services.transfer.message_ordering import ImportedConversation, ImportedMessage
from chatsite.services.transfer.omissions import Omissions, OmittedKind

ROLES = {"human": Role.USER, "user": Role.USER, "assistant": Role.ASSISTANT}
OMITTED_BLOCKS = {
    "redacted_thinking": OmittedKind.THOUGHTS,
    "tool_use": OmittedKind.TOOL_CALL,
    "server_tool_use": OmittedKind.TOOL_CALL,
}
# What these say stands elsewhere in the message, or is of no use to a reader.
SILENT_BLOCKS = {"thinking", "tool_result", "token_budget", "flag"}
# Stands in `text` for each block that is no text.
UNSUPPORTED_SENTENCE = "```\nThis block is not supported on your current device yet.\n```"


def parse_conversation(record: Mapping[str, Any]) -> ImportedConversation:
    """Parse a conversation of a Claude export.

    Raises NoConversationError, MessageTooLargeError, NothingWrittenError or UnknownContentError.
    """
    if not isinstance(record.get("chat_messages"), list):
        raise NoConversationError
    records: dict[str, Mapping[str, Any]] = {}
    parents: dict[str, str | None] = {}
    previous_key: str | None = None
    for number, message in enumerate(map(as_dict, record["chat_messages"])):
        key = external_id(message.get("uuid")) or f"#{number}"
        if key not in records:
            # A message without a parent follows the message before it.
            records[key], parents[key] = message, external_id(message.get("parent_message_uuid")) or previous_key
            previous_key = key
    documents = resolve_documents(
        {key: edits for key, message in records.items() if (edits := artifacts.parse_edits(message))}, parents
    )
    omitted = Omissions()
    parsed = [
        _parse_message(key, message, omitted, parent_key=parents[key], documents=documents.get(key, {}))
        for key, message in records.items()
    ]
    current_key = message_ordering.nearest_kept_key(parsed, external_id(record.get("current_leaf_message_uuid")))
    messages = message_ordering.parents_first(parsed)
    omissions.require_messages(messages, omitted)
    omitted[OmittedKind.SUMMARY] += bool(single_line(record.get("summary"), 1))
    project = as_dict(record.get("project"))
    created_at = parse_datetime(record.get("created_at"))
    source_id = external_id(record.get("uuid")) or message_ordering.derive_source_id(messages, created_at)
    return ImportedConversation(
        import_source_id=f"claude:{source_id}",
        original_source_id=f"claude:{source_id}",
        title=conversation_title(record.get("name")),
        messages=message_ordering.with_one_active_version(messages, current_key or messages[-1].source_key),
        created_at=created_at,
        updated_at=parse_datetime(record.get("updated_at")),
        values={
            "pinned": record.get("is_starred") is True,
            "instructions": parse_instructions(project.get("prompt_template"), omitted),
        },
        tags=_project_tags(project),
        omitted=omitted,
    )


def _parse_message(
    key: str, record: Mapping[str, Any], omitted: Omissions, *, parent_key: str | None, documents: dict[str, Document]
) -> ImportedMessage:
    """Parse a message; one that is neither a question nor an answer has no role. Raises MessageTooLargeError."""
    text = clean_message_text(_message_text(record, documents, omitted))
    role = ROLES.get(str(record.get("sender")))
    omitted[OmittedKind.UNKNOWN] += role is None and bool(record)
    model = single_line(record.get("model"), 200) if role is Role.ASSISTANT else None
    blocks = map(as_dict, as_list(record.get("content")))
    thoughts = [block.get("thinking") for block in blocks if block.get("type") == "thinking"]
    return ImportedMessage(
        source_key=key,
        parent_key=parent_key,
        role=role if text else None,
        text=text,
        created_at=parse_datetime(record.get("created_at")),
        import_source_id=external_id(record.get("uuid")),
        generations=[{"model": model}] if model else [],
        reasoning=keep_reasoning(thoughts, omitted, has_answer=bool(text) and role is Role.ASSISTANT),
    )


def _message_text(record: Mapping[str, Any], documents: dict[str, Document], omitted: Omissions) -> str:
    """Return the blocks of a message, or else its whole text, with the names and texts of attached files."""
    blocks = map(as_dict, as_list(record.get("content")))
    texts = [text for block in blocks if (text := _block_text(block, documents, omitted))]
    if not texts and isinstance(record.get("text"), str):
        texts = [record["text"].replace(UNSUPPORTED_SENTENCE, "").strip()]
    if ROLES.get(str(record.get("sender"))) is Role.ASSISTANT:
        texts = [artifacts.replace_tags(text, omitted) for text in texts]
    attached = [as_dict(each) for key in ("attachments", "files") for each in as_list(record.get(key))]
    return "\n\n".join(filter(None, [*texts, *(_attachment_text(each, omitted) for each in attached)]))


def _block_text(block: Mapping[str, Any], documents: dict[str, Document], omitted: Omissions) -> str:
    """Return the text of a block. A document is taken out of `documents`: it stands where it is first edited."""
    kind = str(block.get("type"))
    if kind == "text":
        return _with_sources(block)
    edit = artifacts.parse_edit(block)
    if edit:
        document = documents.pop(edit.document_id, None)
        return artifacts.format_document(document) if document else ""
    if kind == "image":
        return mention_image(block.get("file_name") or block.get("name"), omitted)
    if kind not in SILENT_BLOCKS and block:
        omitted[OMITTED_BLOCKS.get(str(kind), OmittedKind.UNKNOWN)] += 1
    return ""


def _with_sources(block: Mapping[str, Any]) -> str:
    """Return a block of text, with links to the pages that it cites."""
    text = block.get("text")
    if not isinstance(text, str):
        return ""
    links = []
    for citation in map(as_dict, as_list(block.get("citations"))):
        page = as_dict(citation.get("details")) or citation
        links.append(format_link(page.get("title") or citation.get("title"), page.get("url")))
    shown = ", ".join(filter(None, dict.fromkeys(links)))
    return f"{text} ({shown})" if shown and text.strip() else text


def _attachment_text(record: Mapping[str, Any], omitted: Omissions) -> str:
    """Return the name of an attached file, and its text if the export has it."""
    content, name = record.get("extracted_content"), record.get("file_name") or record.get("name")
    if isinstance(content, str) and content:
        return f"{file_placeholder(name)}\n\n{content}"
    return mention_attachment(name, omitted, media_type=record.get("file_kind"))


def _project_tags(project: Mapping[str, Any]) -> list[str]:
    name = single_line(project.get("name"), 40)
    return [name] if name else []
