"""Merge of a conversation of a file into the one that its user has already: new messages are added, nothing changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from chatsite.database import WriteSession, db
from chatsite.models import Conversation, Message, Role
from chatsite.services.chat import comparisons, conversations, message_tree
from chatsite.services.transfer import import_store, message_ordering
from chatsite.services.transfer.message_ordering import ImportedConversation, ImportedMessage


@dataclass(frozen=True)
class ExistingConversation:
    """A conversation of the user that is one of a file. Nothing is added to one in the trash (`is_deleted`)."""

    id: int
    is_deleted: bool


@dataclass(frozen=True)
class MergeResult:
    """How many messages were added; how many were not, since they belong `between` existing ones.

    `is_complete` is False while there are more to add.
    """

    added: int = 0
    between: int = 0
    is_complete: bool = True


@dataclass
class _MatchedTree:
    """The messages of a file beside the `rows` that the conversation has.

    `known_keys` are the messages of the file that are stored, and `row_ids` the row of each message, or the nearest
    row above it if it is not stored; None above all rows.
    """

    rows: Sequence[Row[Any]]
    row_ids: dict[str, int | None] = field(default_factory=dict)
    known_keys: set[str] = field(default_factory=set)


def find_already_imported(user_id: int, imported: Sequence[ImportedConversation]) -> dict[str, ExistingConversation]:
    """Return the user's conversations that equal one of `imported` or came from it, by import source id."""
    columns = (Conversation.id, Conversation.import_source_id, Conversation.public_id, Conversation.deleted_at)
    own_conversations = select(*columns).where(Conversation.user_id == user_id)
    # A conversation of this site is found by its public id, one that was imported before by its import source id.
    public_ids = [conversation.public_id for conversation in imported]
    by_public_id = {
        row.public_id: ExistingConversation(row.id, row.deleted_at is not None)
        for row in db.session.execute(own_conversations.where(Conversation.public_id.in_(public_ids)))
    }
    found = {
        conversation.import_source_id: by_public_id[conversation.public_id]
        for conversation in imported
        if conversation.public_id in by_public_id
    }
    source_ids = [conversation.import_source_id for conversation in imported]
    for row in db.session.execute(own_conversations.where(Conversation.import_source_id.in_(source_ids))):
        found[row.import_source_id] = ExistingConversation(row.id, row.deleted_at is not None)
    return found


def find_new_messages(existing: ExistingConversation, imported: ImportedConversation) -> MergeResult:
    """Return whether `add_new_messages` has nothing to do (`is_complete`), without a write transaction.

    Comparing a long conversation takes longer than the database may be held.
    """
    if existing.is_deleted:
        return MergeResult()
    new, between = _split_new_messages(imported.messages, _match_messages(db.session(), existing.id, imported.messages))
    db.session.rollback()
    return MergeResult(between=between, is_complete=not new)


def add_new_messages(
    tx: WriteSession, existing: ExistingConversation, imported: ImportedConversation, *, limit: int | None = None
) -> MergeResult:
    """Store up to `limit` messages of the file that the conversation does not have; call again until it is complete.

    Messages are recognized by their ids, and those without one by their texts. Title, settings, tags and texts stay as
    they are. The active branch grows at its end if new messages continue it, and stays the same one otherwise.
    """
    if existing.is_deleted:
        return MergeResult()
    new, between = _split_new_messages(imported.messages, _match_messages(tx, existing.id, imported.messages))
    if not new:
        return MergeResult(between=between)
    is_visible = Conversation.deleted_at.is_(None), Conversation.expires_at.is_(None)
    query = select(Conversation).where(Conversation.id == existing.id, *is_visible).with_for_update()
    conversation = tx.scalar(query.execution_options(populate_existing=True))
    if conversation is None:
        return MergeResult()
    # On PostgreSQL somebody may have written in it until the row was locked.
    tree = _match_messages(tx, existing.id, imported.messages)
    new, between = _split_new_messages(imported.messages, tree)
    batch = new[:limit]
    _end_comparisons(tx, batch, tree)
    importer = import_store.ConversationImporter.of_existing(conversation, imported, row_ids=tree.row_ids)
    importer.insert_messages(tx, _with_active_versions(batch, tree))
    # Without a branch, the one of the file is shown. Otherwise what is new below the last message is.
    leaf_id = conversation.active_leaf_id or _find_new_leaf(imported, batch, tree)
    if leaf_id is not None:
        message_tree.activate_branch(tx, conversation, leaf_id)
    if imported.updated_at and imported.updated_at > conversation.updated_at:
        conversations.touch(tx, conversation, imported.updated_at)
    return MergeResult(len(batch), between, is_complete=len(batch) == len(new))


def _match_messages(session: Session, conversation_id: int, messages: Sequence[ImportedMessage]) -> _MatchedTree:
    columns = Message.id, Message.parent_id, Message.public_id, Message.import_source_id, Message.in_comparison
    query: Any = select(*columns).where(Message.conversation_id == conversation_id).order_by(Message.id)
    tree = _MatchedTree(session.execute(query).all())
    ids: dict[str | None, int] = {}
    for row in tree.rows:
        ids.setdefault(row.import_source_id, row.id)
        ids[row.public_id] = row.id
    ids.pop(None, None)
    ids_by_content = _ids_by_content(session, conversation_id) if any(map(_is_anonymous, messages)) else {}
    for message in messages:
        parent_id = tree.row_ids.get(message.parent_key) if message.parent_key else None
        row_id = ids.get(message.public_id) or ids.get(message.import_source_id)
        if _is_anonymous(message):
            row_id = ids_by_content.get((parent_id, message.role, message.text))
        tree.row_ids[message.source_key] = parent_id if row_id is None else row_id
        if row_id is not None:
            tree.known_keys.add(message.source_key)
    return tree


def _is_anonymous(message: ImportedMessage) -> bool:
    """Return whether the file has no id for a message: only its place, which may be another's in the next file."""
    return message.public_id is None and message.import_source_id is None


def _ids_by_content(session: Session, conversation_id: int) -> dict[tuple[int | None, Role | None, str], int]:
    """Return the messages of a conversation by parent, role and text."""
    columns = Message.id, Message.parent_id, Message.role, Message.text
    query = select(*columns).where(Message.conversation_id == conversation_id)
    return {(row.parent_id, row.role, row.text): row.id for row in session.execute(query)}


def _split_new_messages(messages: Sequence[ImportedMessage], tree: _MatchedTree) -> tuple[list[ImportedMessage], int]:
    """Return the messages to add, and the number of those that belong above an existing message.

    These cannot be added: what follows them has a parent already, and a message is younger than its parent.
    """
    has_known_below: set[str | None] = set()
    new: list[ImportedMessage] = []
    between = 0
    for message in reversed(messages):
        is_known = message.source_key in tree.known_keys
        if is_known or message.source_key in has_known_below:
            has_known_below.add(message.parent_key)
            between += not is_known
        else:
            new.append(message)
    return new[::-1], between


def _with_active_versions(batch: Sequence[ImportedMessage], tree: _MatchedTree) -> list[ImportedMessage]:
    """Return copies of new messages: each new set of versions gets an active one, and existing sets keep theirs."""
    new_keys = {message.source_key for message in batch}
    parents_with_children = {row.parent_id for row in tree.rows}
    active_by_parent: dict[str | int | None, ImportedMessage] = {}
    parents: list[str | int | None] = []
    for message in batch:
        key = message.parent_key
        parent = key if key in new_keys else tree.row_ids[key] if key else None
        parents.append(parent)
        if parent not in active_by_parent or not active_by_parent[parent].is_active:
            active_by_parent[parent] = message
    copies = []
    for message, parent in zip(batch, parents, strict=True):
        is_new_set = parent not in parents_with_children
        is_active = is_new_set and active_by_parent[parent] is message
        copies.append(replace(message, is_active=is_active, in_comparison=is_new_set and message.in_comparison))
    return copies


def _end_comparisons(tx: WriteSession, batch: Sequence[ImportedMessage], tree: _MatchedTree) -> None:
    """End the comparisons whose answers are followed by new messages."""
    followed = {tree.row_ids[message.parent_key] for message in batch if message.parent_key in tree.known_keys}
    for row in tree.rows:
        if row.in_comparison and row.id in followed:
            comparisons.end(tx, row.id)


def _find_new_leaf(imported: ImportedConversation, batch: Sequence[ImportedMessage], tree: _MatchedTree) -> int | None:
    """Return the row of the last new message on the active branch of the file; None without one."""
    new_keys = {message.source_key for message in batch}
    path = [key for key in message_ordering.active_path(imported.messages) if key in new_keys]
    return tree.row_ids[path[-1]] if path else None
