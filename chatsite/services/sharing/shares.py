"""Shares: public, read-only pages of one branch, and how their owner manages them.

Visitors get a `SharedPage`, which contains no id of any row of the owner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, delete, func, select, update
from sqlalchemy.orm import contains_eager, defer

from chatsite.database import WriteSession, db, utcnow, write_transaction
from chatsite.errors import (
    InvalidLifetimeError,
    NotFoundError,
    NothingToShareError,
    ShareAnswerRunningError,
    ShareTooLongToCopyError,
    TooManySharesError,
)
from chatsite.models import AnonymousUser, Conversation, Generation, Message, Role, Share, Status, User, Visitor
from chatsite.services.chat import branch_copies, conversations, message_pages, message_tree
from chatsite.services.pagination import Page, decode_cursor, encode_cursor

LIST_SIZE = 20
MAX_IDEMPOTENCY_KEY_CHARS = 64
# A copy is one write transaction, in which no other user can write on SQLite.
MAX_COPIED_PAGES = 100
# Each holds the text of its last message.
MAX_SHARES_PER_CONVERSATION = 50
LIFETIMES = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=30), "never": None}


@dataclass(frozen=True)
class SharedMessage:
    """One message as a visitor reads it; `model` is the model that answered, None for a question."""

    role: Role
    text: str
    model: str | None
    created_at: datetime


@dataclass(frozen=True)
class SharedPage:
    """Page `page_number` of `page_count` of a share."""

    title: str
    captured_at: datetime
    messages: Sequence[SharedMessage]
    page_number: int
    page_count: int


@dataclass(frozen=True)
class SharePreview:
    """What a share of a branch would show: how many messages, and when the first and the last were written."""

    message_count: int
    first_at: datetime
    last_at: datetime


def preview(conversation: Conversation, leaf: Message | None = None) -> SharePreview | None:
    """Return what a share of the branch of `leaf` or the active branch would show; None if there are no messages."""
    ids = message_tree.ancestors(leaf.id if leaf else conversation.active_leaf_id)
    if not ids:
        return None
    dates = db.session.scalars(select(Message.created_at).where(Message.id.in_([ids[0], ids[-1]]))).all()
    return SharePreview(len(ids), min(dates), max(dates))


def create(conversation: Conversation, lifetime: str = "never", leaf: Message | None = None) -> Share:
    """Share the branch of `leaf` down to it, or the active branch, for a lifetime named in LIFETIMES.

    Raises InvalidLifetimeError, ConversationNotFoundError, TemporaryChatError, NothingToShareError,
    ShareAnswerRunningError while the last answer is in progress, TooManySharesError, or NotFoundError for a `leaf` of
    another conversation.
    """
    conversation_id, user_id, leaf_id = conversation.id, conversation.user_id, leaf.id if leaf else None
    with write_transaction() as tx:
        row = conversations.lock(tx, conversation_id, user_id)
        conversations.require_permanent(row)
        existing = select(func.count()).where(Share.conversation_id == conversation_id)
        if (tx.scalar(existing) or 0) >= MAX_SHARES_PER_CONVERSATION:
            raise TooManySharesError(most=MAX_SHARES_PER_CONVERSATION)
        share = Share(user_id=user_id, conversation_id=conversation_id, expires_at=_expires_at(lifetime))
        _capture_snapshot(share, row, leaf_id or row.active_leaf_id)
        tx.add(share)
        return share


def refresh_snapshot(share: Share) -> Share:
    """Update a share to the present active branch of its conversation.

    Raises ConversationNotFoundError, NotFoundError if the share was revoked, NothingToShareError, or
    ShareAnswerRunningError while the last answer is in progress.
    """
    public_id, conversation_id, user_id = share.public_id, share.conversation_id, share.user_id
    with write_transaction() as tx:
        conversation = conversations.lock(tx, conversation_id, user_id)
        row = _get_own(user_id, public_id)
        _capture_snapshot(row, conversation, conversation.active_leaf_id)
        return row


def set_lifetime(share: Share, lifetime: str) -> Share:
    """Let a share expire a lifetime from now. Raises InvalidLifetimeError, or NotFoundError if it was revoked."""
    public_id, user_id = share.public_id, share.user_id
    with write_transaction():
        row = _get_own(user_id, public_id)
        row.expires_at = _expires_at(lifetime)
        return row


def revoke(share: Share) -> None:
    """Delete a share; do nothing if it was deleted before."""
    share_id = share.id
    with write_transaction() as tx:
        tx.execute(delete(Share).where(Share.id == share_id))


def is_expired(share: Share) -> bool:
    """Return whether the lifetime of a share is over."""
    return share.expires_at is not None and share.expires_at <= utcnow()


def get(user: Visitor, public_id: str) -> Share:
    """Return the user's share with this public id, expired ones included. Raises NotFoundError."""
    if isinstance(user, AnonymousUser):
        raise NotFoundError
    return _get_own(user.id, public_id)


def list_page(
    user: Visitor, before: str | None = None, conversation: Conversation | None = None, *, size: int = LIST_SIZE
) -> Page[Share]:
    """Return a page of the user's shares, or of the shares of one conversation, the newest first.

    `before` is the `next` of the page before. Raises NotFoundError if it is not a cursor.
    """
    if isinstance(user, AnonymousUser):
        return Page([])
    query = _select_visible().where(Share.user_id == user.id).options(defer(Share.leaf_text), defer(Share.page_end_ids))
    if conversation:
        query = query.where(Share.conversation_id == conversation.id)
    if before:
        query = query.where(Share.id < decode_cursor(before)[1])
    rows = db.session.scalars(query.order_by(Share.id.desc()).limit(size + 1)).all()
    has_more = len(rows) > size
    rows = rows[:size]
    return Page(rows, encode_cursor(rows[-1].created_at, rows[-1].id) if has_more else None)


def read_page(public_id: str, page_number: int = 1) -> SharedPage:
    """Return a page of a share for any visitor. Raises NotFoundError if there is no such page, or the share expired."""
    share = _get_public(public_id)
    if not 1 <= page_number <= len(share.page_end_ids):
        raise NotFoundError
    previous_end_id = share.page_end_ids[page_number - 2] if page_number > 1 else 0
    # A message has a greater id than its ancestors.
    ids = [
        message_id
        for message_id in message_tree.ancestors(share.page_end_ids[page_number - 1], message_pages.PAGE_SIZE)
        if message_id > previous_end_id
    ]
    return SharedPage(share.title, share.updated_at, _load_messages(share, ids), page_number, len(share.page_end_ids))


def copy_for_visitor(user: User, public_id: str, idempotency_key: str = "") -> Conversation:
    """Create a conversation of `user` with copies of the messages that a share shows, and nothing else of its owner's.

    The same `idempotency_key`, which identifies the form, returns the same copy again. Raises NotFoundError if the
    share is missing or expired, ShareTooLongToCopyError or TooManyCopiesError.
    """
    user_id, idempotency_key = user.id, idempotency_key[:MAX_IDEMPOTENCY_KEY_CHARS]
    with write_transaction() as tx:
        share = _get_public(public_id)
        conversation = _find_copy(user_id, idempotency_key)
        if conversation:
            return conversation
        if len(share.page_end_ids) > MAX_COPIED_PAGES:
            raise ShareTooLongToCopyError
        conversation = branch_copies.copy_branch(
            user, tx.get_one(Message, share.leaf_id), share.title, with_prompt_reports=False
        )
        conversation.idempotency_key = idempotency_key or None
        # The owner's model choice and later changes of the last answer are not on the page, so they are not copied.
        conversation.model, conversation.preset = share.leaf_model, None
        _restore_shared_ending(tx, conversation, share)
        return conversation


def _restore_shared_ending(tx: WriteSession, conversation: Conversation, share: Share) -> None:
    """Reset the copied last answer to what the share shows, and remove all errors, which visitors do not see."""
    copied_messages = select(Message.id).where(Message.conversation_id == conversation.id)
    update_generations = update(Generation).execution_options(synchronize_session=False)
    tx.execute(update_generations.where(Generation.message_id.in_(copied_messages)).values(error=None))
    last_values = {"status": Status.DONE, "model": share.leaf_model, "finish_reason": None, "model_changed": False}
    tx.execute(update_generations.where(Generation.message_id == conversation.active_leaf_id).values(last_values))
    tx.execute(update(Message).where(Message.id == conversation.active_leaf_id).values(text=share.leaf_text))


def _capture_snapshot(share: Share, conversation: Conversation, leaf_id: int | None) -> None:
    """Let the share hold the branch down to a message as it is now; an empty answer at the end is left out.

    Raises NotFoundError for a message of another conversation, ShareAnswerRunningError or NothingToShareError.
    """
    leaf = db.session.get(Message, leaf_id, populate_existing=True) if leaf_id else None
    if leaf and leaf.conversation_id != conversation.id:
        raise NotFoundError
    if leaf and leaf.is_in_progress:
        raise ShareAnswerRunningError
    if leaf and not leaf.text:
        leaf = db.session.get(Message, leaf.parent_id) if leaf.parent_id else None
    if leaf is None:
        raise NothingToShareError
    ids = message_tree.ancestors(leaf.id)[::-1]
    share.leaf_id, share.leaf_text = leaf.id, leaf.text
    share.leaf_model = leaf.generation.model if leaf.generation else None
    share.page_end_ids = message_pages.find_page_ends(ids)
    share.title, share.updated_at = conversation.title, utcnow()


def _load_messages(share: Share, ids: Sequence[int]) -> Sequence[SharedMessage]:
    query = (
        select(Message.id, Message.role, Message.text, Generation.model, Message.created_at)
        .outerjoin(Generation, (Generation.message_id == Message.id) & Generation.is_latest)
        .where(Message.id.in_(ids))
        .order_by(Message.id)
    )
    return [
        SharedMessage(row.role, share.leaf_text, share.leaf_model, row.created_at)
        if row.id == share.leaf_id
        else SharedMessage(row.role, row.text, row.model, row.created_at)
        for row in db.session.execute(query)
    ]


def _get_own(user_id: int, public_id: str) -> Share:
    query = _select_visible().where(Share.public_id == public_id, Share.user_id == user_id)
    share = db.session.scalar(query.execution_options(populate_existing=True))
    if share is None:
        raise NotFoundError
    return share


def _get_public(public_id: str) -> Share:
    """Return the share with this public id if it has not expired. Raises NotFoundError."""
    query = _select_visible().where(Share.public_id == public_id, _not_expired_clause())
    share = db.session.scalar(query.execution_options(populate_existing=True))
    if share is None:
        raise NotFoundError
    return share


def _select_visible() -> Select[Share]:
    """Return a query of shares with their conversations, without conversations in the trash."""
    return (
        select(Share)
        .join(Share.conversation)
        .options(contains_eager(Share.conversation))
        .where(conversations.visible_clause())
    )


def _not_expired_clause() -> ColumnElement[bool]:
    return Share.expires_at.is_(None) | (Share.expires_at > utcnow())


def _expires_at(lifetime: str) -> datetime | None:
    if lifetime not in LIFETIMES:
        raise InvalidLifetimeError
    duration = LIFETIMES[lifetime]
    return utcnow() + duration if duration else None


def _find_copy(user_id: int, idempotency_key: str) -> Conversation | None:
    """Return the conversation that this form created, or None."""
    if not idempotency_key:
        return None
    return db.session.scalar(
        select(Conversation).where(Conversation.user_id == user_id, Conversation.idempotency_key == idempotency_key)
    )
