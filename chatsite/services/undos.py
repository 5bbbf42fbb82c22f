"""Undo: each change notes how things were before, and puts that back once when it is asked to.

What a change notes is a list with one entry for each row: the number of a conversation and what some of its columns or
its tags were, or all that is known of a tag.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, insert, select, update

from chatsite.database import db, now, write
from chatsite.errors import NotFoundError, UndoGoneError
from chatsite.models import Conversation, ConversationTag, Tag, Undo, User
from chatsite.services.paging import BATCH, EPOCH, batches

KEPT = timedelta(days=1)
COLUMNS = ("title", "pinned", "archived_at", "deleted_at")

Entry = dict[str, Any]


def record(user_id: int, verb: str, before: Sequence[Entry]) -> Undo:
    """Note a change, in the write under way that makes it."""
    undo = Undo(user_id=user_id, verb=verb, before=list(before))
    db.session.add(undo)
    db.session.flush()
    return undo


def kept(conversation: Conversation, *columns: str) -> Entry:
    """What a conversation is like before some of its columns change."""
    return {"conversation": conversation.id, **{name: _stored(getattr(conversation, name)) for name in columns}}


def find(user: User | None, public_id: str) -> Undo | None:
    """The change of the user's that has this name, while it can still be undone; or None."""
    if user is None:
        return None
    return db.session.scalar(select(Undo).where(Undo.public_id == public_id, Undo.user_id == user.id, ~Undo.done))


def undo(user: User | None, public_id: str) -> Undo:
    """Put things back as they were before a change.

    Raises NotFoundError when the user made no such change, and UndoGoneError when it was undone before, or nothing is
    left that could be put back.
    """
    if user is None:
        raise NotFoundError
    user_id = user.id
    with write() as session:
        query = select(Undo).where(Undo.public_id == public_id, Undo.user_id == user_id)
        found = session.scalar(query.with_for_update())
        if found is None:
            raise NotFoundError
        if found.done or not _put_back(user_id, found.before):
            raise UndoGoneError
        found.done = True
        return found


def forget(user_id: int, verb: str) -> None:
    """Forget changes of one kind, in the write under way: what they note is not to be kept any longer."""
    db.session.execute(delete(Undo).where(Undo.user_id == user_id, Undo.verb == verb))


def sweep(most: int = BATCH) -> bool:
    """Forget changes that are older than a day, at most so many; returns whether there may be more."""
    with write() as session:
        old = select(Undo.id).where(Undo.created_at < now() - KEPT).order_by(Undo.created_at).limit(most)
        ids = session.scalars(old).all()
        session.execute(delete(Undo).where(Undo.id.in_(ids)))
        return len(ids) == most


def _put_back(user_id: int, before: Sequence[Entry]) -> bool:
    """Put back what is still there; returns whether anything was."""
    done = False
    for entries in batches(before, BATCH):
        talks = [entry for entry in entries if "conversation" in entry]
        there = _moments(user_id, [entry["conversation"] for entry in talks])
        talks = [entry for entry in talks if entry["conversation"] in there]
        _restore_columns(talks)
        _restore_tags_of(user_id, talks, there)
        tags = [_restore_tag(user_id, entry) for entry in entries if "tag" in entry]
        done = done or bool(talks) or any(tags)
    return done


def _moments(user_id: int, ids: Collection[int]) -> dict[int, datetime]:
    """When each of those conversations that the user still has was last used, by its id."""
    # Those that are deleted for good are there until the sweep comes by.
    left = Conversation.deleted_at.is_(None) | (Conversation.deleted_at > EPOCH)
    query = select(Conversation.id, Conversation.updated_at).where(Conversation.user_id == user_id, left)
    found = db.session.execute(query.where(Conversation.id.in_(ids)).with_for_update())
    return {row.id: row.updated_at for row in found}


def _restore_columns(entries: Sequence[Entry]) -> None:
    rows = [
        {"id": entry["conversation"], **{name: _loaded(name, entry[name]) for name in COLUMNS if name in entry}}
        for entry in entries
    ]
    rows = [row for row in rows if len(row) > 1]
    if rows:
        db.session.execute(update(Conversation), rows)


def _restore_tags_of(user_id: int, entries: Sequence[Entry], moments: dict[int, datetime]) -> None:
    """Give conversations the tags that they had, as far as there still are such tags."""
    before = {entry["conversation"]: entry["tags"] for entry in entries if "tags" in entry}
    if not before:
        return
    mine = set(db.session.scalars(select(Tag.id).where(Tag.user_id == user_id)))
    db.session.execute(delete(ConversationTag).where(ConversationTag.conversation_id.in_(before)))
    _mark([(talk, tag) for talk, tags in before.items() for tag in tags if tag in mine], moments)


def _restore_tag(user_id: int, entry: Entry) -> bool:
    """Make a tag what it was, or make it again with all that it marked; returns whether that was possible."""
    values = {name: entry[name] for name in ("name", "key", "color")}
    rival = select(Tag.id).where(Tag.user_id == user_id, Tag.key == entry["key"], Tag.id != entry["tag"])
    if db.session.scalar(rival) is not None:
        return False
    there = db.session.scalar(select(Tag).where(Tag.id == entry["tag"], Tag.user_id == user_id))
    if there:
        db.session.execute(update(Tag).where(Tag.id == there.id).values(values))
        return True
    if "conversations" not in entry:
        return False
    made = Tag(user_id=user_id, public_id=entry["public_id"], **values)
    db.session.add(made)
    db.session.flush()
    for ids in batches(entry["conversations"], BATCH):
        moments = _moments(user_id, ids)
        _mark([(each, made.id) for each in moments], moments)
    return True


def _mark(pairs: Sequence[tuple[int, int]], moments: dict[int, datetime]) -> None:
    rows = [{"conversation_id": talk, "tag_id": tag, "updated_at": moments[talk]} for talk, tag in pairs]
    if rows:
        db.session.execute(insert(ConversationTag), rows)


def _stored(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _loaded(name: str, value: Any) -> Any:
    return datetime.fromisoformat(value) if value and name.endswith("_at") else value
