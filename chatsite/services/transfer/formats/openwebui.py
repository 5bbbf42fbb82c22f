"""Parser of Open WebUI exports: a `chat` with a history of messages and the id of the current one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chatsite.errors import NoConversationError, as_error
from chatsite.models import Role, Status
from chatsite.services.chat.comparisons import MAX_COMPARED
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
from chatsite.services.transfer.content import model_options
from chatsite.services.transfer.content.feedback import parse_feedback
from chatsite.services.transfer.content.reasoning import keep_reasoning
from chatsite.services.transfer.content.tag_names import parse_tags
from chatsite.services.transfer.formats import openwebui_text
from chatsite.services.transfer.message_ordering import ImportedConversation, ImportedMessage
from chatsite.services.transfer.omissions import Omissions, OmittedKind

ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT}
MAX_ERROR_CHARS = 2000


def parse_conversation(record: Mapping[str, Any]) -> ImportedConversation:
    """Parse a conversation of an Open WebUI export.

    Raises NoConversationError, MessageTooLargeError, NothingWrittenError or UnknownContentError.
    """
    chat = as_dict(record.get("chat"))
    history = as_dict(chat.get("history"))
    if not chat:
        raise NoConversationError
    params = as_dict(chat.get("params"))
    omitted = Omissions()
    parsed = _parse_messages(chat, history, omitted)
    omitted[OmittedKind.UNKNOWN] += _count_files_of_chat(chat, history)
    current_key = message_ordering.nearest_kept_key(parsed, external_id(history.get("currentId")))
    messages = message_ordering.parents_first(message_ordering.sort_by_time(parsed))
    omissions.require_messages(messages, omitted)
    _mark_comparisons(messages, as_dict(history.get("messages")))
    created_at = parse_datetime(record.get("created_at")) or parse_datetime(chat.get("timestamp"))
    updated_at = parse_datetime(record.get("updated_at")) or parse_datetime(chat.get("timestamp"))
    source_id = (
        external_id(record.get("id"))
        or external_id(chat.get("id"))
        or message_ordering.derive_source_id(messages, created_at)
    )
    return ImportedConversation(
        import_source_id=f"openwebui:{source_id}",
        original_source_id=f"openwebui:{source_id}",
        title=conversation_title(record.get("title") or chat.get("title")),
        messages=message_ordering.with_one_active_version(messages, current_key),
        created_at=created_at,
        updated_at=updated_at,
        values={
            "pinned": record.get("pinned") is True,
            "archived_at": updated_at if record.get("archived") is True else None,
            "instructions": parse_instructions(params.get("system") or chat.get("system"), omitted),
            "generation_options": model_options.parse_other_options(params),
        },
        tags=_parse_tags(record, omitted),
        omitted=omitted,
    )


def _parse_tags(record: Mapping[str, Any], omitted: Omissions) -> list[str]:
    """Return the tags of a conversation, and one for its folder, of which most exports have only the id."""
    # Older versions have them in the chat.
    given = as_list(as_dict(record.get("meta")).get("tags")) or as_list(as_dict(record.get("chat")).get("tags"))
    names = [as_dict(tag).get("name", tag) for tag in given]
    folder_id = external_id(record.get("folder_id"))
    folder_name = single_line(as_dict(record.get("folder")).get("name"), 40)
    names.append(folder_name or (f"Open WebUI folder {folder_id[-6:]}" if folder_id else None))
    return parse_tags(names, omitted)


def _count_files_of_chat(chat: Mapping[str, Any], history: Mapping[str, Any]) -> int:
    """Count the files and collections that a whole conversation has and none of its messages names."""
    messages = map(as_dict, [*as_dict(history.get("messages")).values(), *as_list(chat.get("messages"))])
    named = {_file_key(as_dict(file)) for message in messages for file in as_list(message.get("files"))}
    return sum(_file_key(as_dict(file)) not in named for file in as_list(chat.get("files")))


def _file_key(file: Mapping[str, Any]) -> str:
    return str(file.get("id") or file.get("name") or file.get("url"))


def _parse_messages(chat: Mapping[str, Any], history: Mapping[str, Any], omitted: Omissions) -> list[ImportedMessage]:
    """Return the messages of the history tree, or of the plain list of very old versions."""
    tree = as_dict(history.get("messages"))
    if tree:
        return [_parse_message(as_dict(message), key, omitted) for key, message in tree.items()]
    messages: list[ImportedMessage] = []
    for number, message in enumerate(as_list(chat.get("messages"))):
        previous_key = messages[-1].source_key if messages else None
        messages.append(_parse_message(as_dict(message), f"#{number}", omitted, previous_key=previous_key))
    return messages


def _parse_message(
    record: Mapping[str, Any], key: str, omitted: Omissions, *, previous_key: str | None = None
) -> ImportedMessage:
    role = ROLES.get(str(record.get("role")))
    if role is None:
        is_system = record.get("role") in ("system", "tool")
        omitted[OmittedKind.HIDDEN if is_system else OmittedKind.UNKNOWN] += bool(record)
    # One model sums up what several have answered; the site has no place for it.
    omitted[OmittedKind.UNKNOWN] += bool(as_dict(record.get("merged")).get("content"))
    text = clean_message_text(openwebui_text.message_text(record, omitted, is_answer=role is Role.ASSISTANT))
    thoughts = openwebui_text.list_reasoning(record) if role is Role.ASSISTANT else []
    error = _error_text(record.get("error")) if role is Role.ASSISTANT and not text else None
    return ImportedMessage(
        source_key=key,
        parent_key=external_id(record.get("parentId")) or previous_key,
        role=role if text or error else None,
        text=text,
        created_at=parse_datetime(record.get("timestamp")),
        import_source_id=external_id(record.get("id")) or external_id(key),
        generations=_parse_generations(record, error, omitted) if role is Role.ASSISTANT else [],
        reasoning=keep_reasoning(
            [thought.text for thought in thoughts],
            omitted,
            has_answer=bool(text),
            seconds=sum(thought.seconds or 0.0 for thought in thoughts) or None,
        ),
    )


def _parse_generations(record: Mapping[str, Any], error: str | None, omitted: Omissions) -> list[dict[str, Any]]:
    """Return the generation of an answer with its model, rating and error, if one of them is known."""
    values: dict[str, Any] = {"model": single_line(record.get("model") or record.get("modelName"), 200)}
    values |= parse_feedback(record.get("annotation"), omitted, note_key="comment")
    if error:
        values |= {"status": Status.FAILED, "error": as_error(error)}
    return [values] if any(values.values()) else []


def _error_text(error: object) -> str | None:
    """Return why an answer failed; None if it did not."""
    content = as_dict(error).get("content") or as_dict(error).get("message") or error
    return single_line(content, MAX_ERROR_CHARS) or ("Error" if error else None)


def _mark_comparisons(messages: Sequence[ImportedMessage], tree: Mapping[str, Any]) -> None:
    """Mark the answers of several models to one question that nobody has continued from; takes kept messages."""
    children: dict[str, list[ImportedMessage]] = {}
    for message in messages:
        if message.parent_key:
            children.setdefault(message.parent_key, []).append(message)
    for key, answers in children.items():
        models = as_list(as_dict(tree.get(key)).get("models"))
        is_open = all(each.role is Role.ASSISTANT and each.source_key not in children for each in answers)
        if len(models) > 1 and is_open and 1 < len(answers) <= min(len(models), MAX_COMPARED):
            for answer in answers:
                answer.in_comparison = True
