"""Parser of DeepSeek exports: ChatGPT's `mapping` of nodes, whose messages consist of `fragments`.

A fragment is a REQUEST, a RESPONSE, or what came before the response (THINK, SEARCH). Older exports have `content`
instead, and do not say who wrote it. No node is marked as current.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chatsite.errors import NoConversationError
from chatsite.models import Role
from chatsite.services.transfer import message_ordering
from chatsite.services.transfer.coercion import (
    as_dict,
    as_list,
    clean_message_text,
    conversation_title,
    external_id,
    parse_datetime,
    single_line,
)
from chatsite.services.transfer.content.attachments import mention_attachment
from chatsite.services.transfer.content.reasoning import keep_reasoning
from chatsite.services.transfer.message_ordering import ImportedConversation, ImportedMessage
from chatsite.services.transfer.omissions import Omissions, OmittedKind

FRAGMENT_ROLES = {"REQUEST": Role.USER, "RESPONSE": Role.ASSISTANT}
REASONING_FRAGMENT = "THINK"
OMITTED_FRAGMENTS = {"SEARCH": OmittedKind.TOOL_CALL}
ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT}


def is_conversation(record: Mapping[str, Any]) -> bool:
    """Return whether an object with a `mapping` is DeepSeek's and not ChatGPT's."""
    return "mapping" in record and "inserted_at" in record


def parse_conversation(record: Mapping[str, Any]) -> ImportedConversation:
    """Parse a conversation of a DeepSeek export. Raises NoConversationError or MessageTooLargeError."""
    nodes = as_dict(record.get("mapping"))
    if not nodes:
        raise NoConversationError
    omitted = Omissions()
    messages = [_parse_node(key, as_dict(node), omitted) for key, node in nodes.items()]
    _assign_missing_roles(messages)
    ordered = message_ordering.parents_first(message_ordering.sort_by_time(messages))
    created_at = parse_datetime(record.get("inserted_at"))
    source_id = external_id(record.get("id")) or message_ordering.derive_source_id(ordered, created_at)
    return ImportedConversation(
        import_source_id=f"deepseek:{source_id}",
        original_source_id=f"deepseek:{source_id}",
        title=conversation_title(record.get("title")),
        messages=message_ordering.with_one_active_version(ordered, ordered[-1].source_key if ordered else None),
        created_at=created_at,
        updated_at=parse_datetime(record.get("updated_at")),
        omitted=omitted,
    )


def _parse_node(key: str, node: Mapping[str, Any], omitted: Omissions) -> ImportedMessage:
    """Parse a node, and count in `omitted` what is left out of it. Raises MessageTooLargeError."""
    message = as_dict(node.get("message"))
    fragments = [as_dict(each) for each in as_list(message.get("fragments"))]
    kinds = [str(each.get("type")) for each in fragments]
    other_kinds = [kind for kind in kinds if kind not in FRAGMENT_ROLES and kind != REASONING_FRAGMENT]
    omitted.update(OMITTED_FRAGMENTS.get(kind, OmittedKind.UNKNOWN) for kind in other_kinds)
    thoughts = [each.get("content") for each in fragments if each.get("type") == REASONING_FRAGMENT]
    roles = [FRAGMENT_ROLES[kind] for kind in kinds if kind in FRAGMENT_ROLES]
    role = roles[0] if roles else ROLES.get(str(message.get("role")).lower())
    texts = [each.get("content") for each in fragments if FRAGMENT_ROLES.get(str(each.get("type"))) is role]
    if not fragments:
        texts = [message.get("content")]
    files = [mention_attachment(as_dict(each).get("file_name"), omitted) for each in as_list(message.get("files"))]
    parts = [*(text for text in texts if isinstance(text, str)), *files]
    model = single_line(message.get("model"), 200)
    text = clean_message_text("\n\n".join(filter(None, parts)))
    return ImportedMessage(
        source_key=key,
        parent_key=external_id(node.get("parent")),
        role=role,
        text=text,
        created_at=parse_datetime(message.get("inserted_at")),
        import_source_id=external_id(key),
        generations=[{"model": model}] if model else [],
        reasoning=keep_reasoning(thoughts, omitted, has_answer=bool(text) and role is Role.ASSISTANT),
    )


def _assign_missing_roles(messages: list[ImportedMessage]) -> None:
    """Give old messages a role: who follows a question is the model. Take it from messages without a text.

    Exports have a parent before its children.
    """
    roles: dict[str | None, Role | None] = {}
    for message in messages:
        if message.role is None and message.text:
            message.role = Role.ASSISTANT if roles.get(message.parent_key) is Role.USER else Role.USER
        roles[message.source_key] = message.role
        message.role = message.role if message.text else None
        if message.role is not Role.ASSISTANT:
            message.generations = []
