"""Visitors: who somebody is follows from a private token that only their browser has."""

from __future__ import annotations

import hashlib
import secrets

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError

from chatsite.database import db, write
from chatsite.models import Conversation, Generation, Import, Persona, Share, Undo, User
from chatsite.services import tags

TOKEN_BYTES = 32


def new_token() -> str:
    """A token that nobody can guess: 256 random bits, as text for a cookie."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def token_hash(token: str) -> str:
    """What is stored of a token: its SHA-256. The token is random, so it needs neither salt nor a slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


def find(token: str | None) -> User | None:
    """The visitor who has this token, or None."""
    if not token:
        return None
    return db.session.scalar(select(User).where(User.token_hash == token_hash(token)))


def find_or_create(token: str) -> User:
    """The visitor who has this token, stored now if it is their first write."""
    try:
        with write() as session:
            user = find(token)
            if user is None:
                user = User(token_hash=token_hash(token))
                session.add(user)
            return user
    except IntegrityError:
        # Two first writes of one visitor met in PostgreSQL; the other one stored the visitor.
        user = find(token)
        if user is None:
            raise
        return user


def join(other: User, user: User) -> None:
    """Make two identities of one person one: what `other` has becomes the user's, and `other` is gone."""
    if other.id == user.id:
        return
    gone, stays = other.id, user.id
    with write() as session:
        _forget_common_origins(gone, stays)
        tags.join(gone, stays)
        for owned in (Conversation, Generation, Persona, Share, Import, Undo):
            session.execute(update(owned).where(owned.user_id == gone).values(user_id=stays))
        draft = session.scalar(select(User.draft).where(User.id == gone))
        if draft:
            session.execute(
                update(User).where(User.id == stays, func.coalesce(User.draft, "") == "").values(draft=draft)
            )
        session.execute(delete(User).where(User.id == gone))


def _forget_common_origins(gone: int, stays: int) -> None:
    """What both imported is there twice, and only one of the two can keep the name that it came with."""
    theirs = select(Conversation.origin).where(Conversation.user_id == stays, Conversation.origin.is_not(None))
    twice = update(Conversation).where(Conversation.user_id == gone, Conversation.origin.in_(theirs))
    db.session.execute(twice.values(origin=None).execution_options(synchronize_session=False))
