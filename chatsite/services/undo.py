"""Undo: each change records the previous values, which can be put back once.

A record is a list with one entry for each changed row: the id of a conversation with the previous values of some of its
columns or the ids of its previous tags, or all values of a tag or a deleted persona.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from chatsite.database import WriteSession, db, utcnow, write_transaction
from chatsite.errors import NotFoundError, UndoExpiredError
from chatsite.models import AnonymousUser, Conversation, ConversationTag, Persona, Tag, Undo, Visitor
from chatsite.models.persona import MAX_PERSONAS
from chatsite.services.ownership import find_owned
from chatsite.services.pagination import BATCH_SIZE, EPOCH, iter_batches

RETENTION = timedelta(days=1)
# Of a user; the oldest give way to new ones.
MAX_CHANGES = 200
UNDOABLE_COLUMNS = ("title", "title_source", "pinned", "archived_at", "deleted_at")
PERSONA_COLUMNS = ("public_id", "name", "instructions", "model", "preset", "generation_options")

UndoEntry = dict[str, Any]


def record_change(tx: WriteSession, user_id: int, action: str, *, previous: Sequence[UndoEntry]) -> Undo:
    """Store the previous values of a change, in the transaction that makes the change.

    `action` names the change (`rename`, `pin`, …), and `previous` has one entry for each changed row.
    """
    newest = select(Undo.id).where(Undo.user_id == user_id).order_by(Undo.id.desc())
    oldest_kept_id = tx.scalar(newest.offset(MAX_CHANGES - 2).limit(1))
    if oldest_kept_id is not None:
        tx.execute(delete(Undo).where(Undo.user_id == user_id, Undo.id < oldest_kept_id))
    undo = Undo(user_id=user_id, action=action, previous=list(previous))
    tx.add(undo)
    tx.flush()
    return undo


def snapshot_columns(conversation: Conversation, *columns: str) -> UndoEntry:
    """Return the values of some columns of a conversation, as an undo entry to be stored before they change."""
    return {"conversation": conversation.id, **{name: _to_json(getattr(conversation, name)) for name in columns}}


def snapshot_persona(persona: Persona) -> UndoEntry:
    """Return all values of a persona, as an undo entry to be stored before it is deleted."""
    return {"persona": {name: getattr(persona, name) for name in PERSONA_COLUMNS}}


def find_undoable(user: Visitor, public_id: str) -> Undo | None:
    """Return the user's change with this public id while it can still be undone, or None."""
    return find_owned(Undo, user, public_id, condition=~Undo.is_undone)


def find_title(change: Undo) -> str:
    """Return the current title of the first conversation of a change; empty if it has none or it is gone."""
    conversation_id = next((entry["conversation"] for entry in change.previous if "conversation" in entry), None)
    return db.session.scalar(select(Conversation.title).where(Conversation.id == conversation_id)) or ""


def undo_change(user: Visitor, public_id: str) -> Undo:
    """Put back the values from before a change, and return the change.

    Raises NotFoundError if the user made no such change. Raises UndoExpiredError if the change was undone before, or if
    none of its rows can be put back.
    """
    if isinstance(user, AnonymousUser):
        raise NotFoundError
    user_id = user.id
    with write_transaction() as tx:
        query = select(Undo).where(Undo.public_id == public_id, Undo.user_id == user_id)
        change = tx.scalar(query.with_for_update())
        if change is None:
            raise NotFoundError
        if change.is_undone or not _restore_previous(tx, user_id, change.previous):
            raise UndoExpiredError
        change.is_undone = True
        return change


def discard_changes(tx: WriteSession, user_id: int, action: str) -> None:
    """Delete a user's undo records of one `action`, because their previous values must not be kept any longer."""
    tx.execute(delete(Undo).where(Undo.user_id == user_id, Undo.action == action))


def purge_old(max_changes: int = BATCH_SIZE) -> bool:
    """Delete up to `max_changes` undo records that are older than a day. Returns whether there may be more."""
    with write_transaction() as tx:
        old = select(Undo.id).where(Undo.created_at < utcnow() - RETENTION).order_by(Undo.created_at).limit(max_changes)
        ids = tx.scalars(old).all()
        tx.execute(delete(Undo).where(Undo.id.in_(ids)))
        return len(ids) == max_changes


def _restore_previous(tx: WriteSession, user_id: int, previous: Sequence[UndoEntry]) -> bool:
    """Put back the rows that still exist. Returns whether there was at least one."""
    any_restored = False
    for entries in iter_batches(previous, BATCH_SIZE):
        conversation_entries = [entry for entry in entries if "conversation" in entry]
        updated_at_by_id = _updated_at_by_id(tx, user_id, [entry["conversation"] for entry in conversation_entries])
        conversation_entries = [entry for entry in conversation_entries if entry["conversation"] in updated_at_by_id]
        _restore_columns(tx, conversation_entries)
        _restore_tags_of(tx, user_id, conversation_entries, updated_at_by_id=updated_at_by_id)
        tags = [_restore_tag(tx, user_id, entry) for entry in entries if "tag" in entry]
        restored_personas = [_restore_persona(tx, user_id, entry["persona"]) for entry in entries if "persona" in entry]
        any_restored = any_restored or bool(conversation_entries) or any(tags) or any(restored_personas)
    return any_restored


def _updated_at_by_id(tx: WriteSession, user_id: int, ids: Collection[int]) -> dict[int, datetime]:
    """Lock the conversations in `ids` that the user still has, and return their `updated_at` by id."""
    # Purged conversations exist until the cleanup task deletes them, and must not come back.
    not_purged = Conversation.deleted_at.is_(None) | (Conversation.deleted_at > EPOCH)
    query = select(Conversation.id, Conversation.updated_at).where(Conversation.user_id == user_id, not_purged)
    found = tx.execute(query.where(Conversation.id.in_(ids)).with_for_update())
    return {row.id: row.updated_at for row in found}


def _restore_columns(tx: WriteSession, entries: Sequence[UndoEntry]) -> None:
    """Write the previous values of the columns named in the entries back into their conversations."""
    rows = [
        {
            "id": entry["conversation"],
            **{name: _from_json(name, entry[name]) for name in UNDOABLE_COLUMNS if name in entry},
        }
        for entry in entries
    ]
    rows = [row for row in rows if len(row) > 1]
    if rows:
        tx.execute(update(Conversation), rows)


def _restore_tags_of(
    tx: WriteSession, user_id: int, entries: Sequence[UndoEntry], *, updated_at_by_id: dict[int, datetime]
) -> None:
    """Give conversations their previous tags again, as far as these tags still exist."""
    tags_before = {entry["conversation"]: entry["tags"] for entry in entries if "tags" in entry}
    if not tags_before:
        return
    own_tag_ids = set(tx.scalars(select(Tag.id).where(Tag.user_id == user_id)))
    tx.execute(delete(ConversationTag).where(ConversationTag.conversation_id.in_(tags_before)))
    _add_tags(
        tx,
        [(conversation_id, tag) for conversation_id, tags in tags_before.items() for tag in tags if tag in own_tag_ids],
        updated_at_by_id,
    )


def _restore_tag(tx: WriteSession, user_id: int, entry: UndoEntry) -> bool:
    """Give a tag its previous name and color, or create a deleted tag again with its conversations.

    Returns False if this is impossible: another tag has the name now, or the tag of a recorded edit was deleted.
    """
    values = {"name": entry["name"], "normalized_name": entry["key"], "color": entry["color"]}
    same_name = select(Tag.id).where(
        Tag.user_id == user_id, Tag.normalized_name == entry["key"], Tag.id != entry["tag"]
    )
    if tx.scalar(same_name) is not None:
        return False
    existing = tx.scalar(select(Tag).where(Tag.id == entry["tag"], Tag.user_id == user_id))
    if existing:
        tx.execute(update(Tag).where(Tag.id == existing.id).values(values))
        return True
    if "conversations" not in entry:
        return False
    tag = Tag(user_id=user_id, public_id=entry["public_id"], **values)
    tx.add(tag)
    tx.flush()
    for ids in iter_batches(entry["conversations"], BATCH_SIZE):
        updated_at_by_id = _updated_at_by_id(tx, user_id, ids)
        _add_tags(tx, [(conversation_id, tag.id) for conversation_id in updated_at_by_id], updated_at_by_id)
    return True


def _restore_persona(tx: WriteSession, user_id: int, values: dict[str, Any]) -> bool:
    """Create a deleted persona again. Returns False if the user has as many personas as allowed."""
    persona_count = tx.scalar(select(func.count()).where(Persona.user_id == user_id)) or 0
    if persona_count >= MAX_PERSONAS:
        return False
    tx.add(Persona(user_id=user_id, **values))
    return True


def _add_tags(tx: WriteSession, pairs: Sequence[tuple[int, int]], updated_at_by_id: dict[int, datetime]) -> None:
    rows = [
        {"conversation_id": conversation_id, "tag_id": tag, "updated_at": updated_at_by_id[conversation_id]}
        for conversation_id, tag in pairs
    ]
    if rows:
        tx.execute(insert(ConversationTag), rows)


def _to_json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _from_json(name: str, value: Any) -> Any:
    return datetime.fromisoformat(value) if value and name.endswith("_at") else value
