"""Parser of ChatGPT exports: `mapping` has the nodes of the tree, `current_node` is the active leaf."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from chatsite.errors import NoConversationError
from chatsite.models import Role
from chatsite.services.transfer import message_ordering, omissions
from chatsite.services.transfer.coercion import (
    as_dict,
    clean_message_text,
    conversation_title,
    external_id,
    parse_datetime,
    parse_instructions,
    single_line,
)
from chatsite.services.transfer.content import markup
from chatsite.services.transfer.content.documents import Document, resolve_documents
from chatsite.services.transfer.content.feedback import parse_feedback
from chatsite.services.transfer.formats import canvas, chatgpt_text
from chatsite.services.transfer.formats.chatgpt_reasoning import REASONING_TYPE, attach_reasoning
from chatsite.services.transfer.message_ordering import ImportedConversation, ImportedMessage
from chatsite.services.transfer.omissions import Omissions, OmittedKind

ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT}
OTHER_ROLES = {"system", "tool"}
# A message without a type is text, as converters write it.
TEXT_CONTENT_TYPES = (None, "text", "multimodal_text")
OMITTED_CONTENT_TYPES = {"model_editable_context": OmittedKind.HIDDEN}
# These come in another way: the user's instructions, and the reasoning with a recap that says how long it took.
UNCOUNTED_CONTENT_TYPES = ("user_editable_context", REASONING_TYPE, "reasoning_recap")
# These tools show the model images of what the user sent; all others made the images that they return.
READING_TOOLS = ("myfiles_browser", "file_search", "browser", "web", "computer")
PROJECT_PREFIX = "g-p-"
QUOTED_INSTRUCTIONS = re.compile(r"```\n?(.*?)\n?```", re.DOTALL)


def parse_conversation(record: Mapping[str, Any]) -> ImportedConversation:
    """Parse a conversation of a ChatGPT export.

    Raises NoConversationError, MessageTooLargeError, NothingWrittenError or UnknownContentError.
    """
    nodes = {key: as_dict(node) for key, node in as_dict(record.get("mapping")).items()}
    if not nodes:
        raise NoConversationError
    parser = _NodeParser(nodes, single_line(record.get("default_model_slug"), 200))
    parsed = [parser.parse_node(key, node) for key, node in nodes.items()]
    attach_reasoning(parsed, nodes, parser.omitted)
    current_key = message_ordering.nearest_kept_key(parsed, external_id(record.get("current_node")))
    messages = message_ordering.parents_first(message_ordering.sort_by_time(parsed))
    omissions.require_messages(messages, parser.omitted)
    created_at, updated_at = parse_datetime(record.get("create_time")), parse_datetime(record.get("update_time"))
    source_id = (
        external_id(record.get("conversation_id"))
        or external_id(record.get("id"))
        or message_ordering.derive_source_id(messages, created_at)
    )
    return ImportedConversation(
        import_source_id=f"chatgpt:{source_id}",
        original_source_id=f"chatgpt:{source_id}",
        title=conversation_title(record.get("title")),
        messages=message_ordering.with_one_active_version(messages, current_key),
        created_at=created_at,
        updated_at=updated_at,
        values={
            "pinned": record.get("is_starred") is True or parse_datetime(record.get("pinned_time")) is not None,
            "archived_at": updated_at if record.get("is_archived") is True else None,
            "instructions": _custom_instructions(nodes, parser.omitted),
        },
        tags=_project_tags(record.get("gizmo_id")),
        omitted=parser.omitted,
    )


class _NodeParser:
    """Parser of the nodes of one conversation. It counts in `omitted` what it leaves out."""

    def __init__(self, nodes: Mapping[str, Mapping[str, Any]], default_model: str | None) -> None:
        self.omitted = Omissions()
        self._default_model = default_model
        edits = {key: edit for key, node in nodes.items() if (edit := canvas.parse_edit(as_dict(node.get("message"))))}
        parents = {key: external_id(node.get("parent")) for key, node in nodes.items()}
        self._documents = resolve_documents({key: [edit] for key, edit in edits.items()}, parents)

    def parse_node(self, key: str, node: Mapping[str, Any]) -> ImportedMessage:
        """Parse a node; one that is neither a question nor an answer has no role. Raises MessageTooLargeError."""
        message = as_dict(node.get("message"))
        role, text = self._role_and_text(message, self._documents.get(key, {}))
        text = clean_message_text(text)
        model = single_line(as_dict(message.get("metadata")).get("model_slug"), 200) or self._default_model
        return ImportedMessage(
            source_key=key,
            parent_key=external_id(node.get("parent")),
            role=role if text else None,
            text=text,
            created_at=parse_datetime(message.get("create_time")),
            import_source_id=external_id(message.get("id")) or external_id(key),
            generations=_parse_generations(message, model, self.omitted) if role is Role.ASSISTANT else [],
        )

    def _role_and_text(self, message: Mapping[str, Any], documents: Mapping[str, Document]) -> tuple[Role | None, str]:
        author = as_dict(message.get("author"))
        metadata, content = as_dict(message.get("metadata")), _content(message)
        role = ROLES.get(str(author.get("role")))
        if metadata.get("is_visually_hidden_from_conversation") is True or author.get("role") == "system":
            self.omitted[OmittedKind.HIDDEN] += _is_hidden_text(content)
            return None, ""
        if documents:
            return role, "\n\n".join(map(canvas.format_document, documents.values()))
        if author.get("role") == "tool":
            is_reading = str(author.get("name")).startswith(READING_TOOLS)
            return Role.ASSISTANT, "" if is_reading else chatgpt_text.image_texts(content, metadata, self.omitted)
        if message.get("recipient") not in (None, "all"):
            self.omitted[OmittedKind.TOOL_CALL] += 1
            return None, ""
        if role is None:
            self.omitted[OmittedKind.UNKNOWN] += bool(message)
            return None, ""
        return role, self._visible_text(role, content, metadata)

    def _visible_text(self, role: Role, content: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
        kind = content.get("content_type")
        if kind == "code" and isinstance(content.get("text"), str):
            return markup.fence_code(content["text"], content.get("language"))
        if kind in TEXT_CONTENT_TYPES and "parts" in content:
            text = chatgpt_text.join_parts(content, metadata, self.omitted)
            return chatgpt_text.resolve_marks(text, metadata, self.omitted) if role is Role.ASSISTANT else text
        if kind not in UNCOUNTED_CONTENT_TYPES:
            omitted = OMITTED_CONTENT_TYPES.get(str(kind), OmittedKind.UNKNOWN)
            self.omitted[omitted] += any(value for key, value in content.items() if key != "content_type")
        return ""


def _parse_generations(message: Mapping[str, Any], model: str | None, omitted: Omissions) -> list[dict[str, Any]]:
    """Return the generation of an answer with its model and rating, if one of them is known.

    The archive has the ratings in another file; `archived_details` puts them where they belong.
    """
    values = ({"model": model} if model else {}) | parse_feedback(message.get("feedback"), omitted)
    return [values] if values else []


def _content(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the content of a message; converters write a plain text too."""
    content = message.get("content")
    return {"parts": [content]} if isinstance(content, str) else as_dict(content)


def _is_hidden_text(content: Mapping[str, Any]) -> bool:
    """Return whether a hidden message has words; the instructions of the user come in another way."""
    if content.get("content_type") == "user_editable_context":
        return False
    return bool(clean_message_text(chatgpt_text.join_parts(content, {}, Omissions()) or content.get("text")))


def _custom_instructions(nodes: Mapping[str, Mapping[str, Any]], omitted: Omissions) -> str | None:
    """Return the custom instructions that the conversation began with: about the user, and about the answers."""
    for node in nodes.values():
        message = as_dict(node.get("message"))
        content = as_dict(message.get("content"))
        if content.get("content_type") == "user_editable_context":
            given = as_dict(as_dict(message.get("metadata")).get("user_context_message_data"))
            about = given.get("about_user_message") or _quoted(content.get("user_profile"))
            answers = given.get("about_model_message") or _quoted(content.get("user_instructions"))
            written = [each for each in (about, answers) if isinstance(each, str) and each]
            return parse_instructions("\n\n".join(written), omitted)
    return None


def _quoted(text: object) -> str | None:
    """Return what the user wrote, which the export has in a code block below an explanation for the model."""
    quoted = QUOTED_INSTRUCTIONS.search(text) if isinstance(text, str) else None
    return quoted[1] if quoted else None


def _project_tags(gizmo_id: object) -> list[str]:
    """Return a tag for the project of a conversation. The export has the ids of projects and no names."""
    project_id = external_id(gizmo_id) or ""
    short_id = project_id.removeprefix(PROJECT_PREFIX)[-6:]
    return [f"ChatGPT project {short_id}"] if project_id.startswith(PROJECT_PREFIX) else []
