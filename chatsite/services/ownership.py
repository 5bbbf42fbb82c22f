"""Ownership: look up a row of a user by its public id. A row of another user is treated as missing."""

from __future__ import annotations

from typing import TypeVar

from sqlalchemy import ColumnElement, select

from chatsite.database import db
from chatsite.errors import ChatsiteError, NotFoundError
from chatsite.models import AnonymousUser, Conversation, Import, Persona, Tag, Undo, Visitor

Owned = TypeVar("Owned", Conversation, Import, Persona, Tag, Undo)


def find_owned(
    model: type[Owned],
    user: Visitor,
    public_id: str,
    *,
    condition: ColumnElement[bool] | None = None,
    refresh: bool = False,
) -> Owned | None:
    """Return the user's row with this public id; None if there is none, or if `condition` does not hold for the row.

    `refresh` reads the columns again if the session has the row already.
    """
    if isinstance(user, AnonymousUser):
        return None
    query = select(model).where(model.public_id == public_id, model.user_id == user.id)
    if condition is not None:
        query = query.where(condition)
    row: Owned | None = db.session.scalar(query.execution_options(populate_existing=refresh))
    return row


def get_owned(
    model: type[Owned],
    user: Visitor,
    public_id: str,
    *,
    error: type[ChatsiteError] = NotFoundError,
    refresh: bool = False,
) -> Owned:
    """Return the user's row with this public id. Raises `error` (by default NotFoundError) if there is none.

    `refresh` reads the columns again if the session has the row already.
    """
    row = find_owned(model, user, public_id, refresh=refresh)
    if row is None:
        raise error
    return row
