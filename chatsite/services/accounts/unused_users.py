"""Unused users: the cleanup task forgets who has nothing, and the networks of users with nothing in progress.

A forgotten user is a new visitor from then on: the token in the cookie means nobody, and the next write makes a user.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, exists, select, update

from chatsite.database import utcnow, write_transaction
from chatsite.models import IN_PROGRESS, UNFINISHED_STATES, Conversation, Generation, Import, Persona, Tag, Undo, User

RETENTION = timedelta(days=30)
USERS_PER_STEP = 200
# Generations and shares belong to conversations, so these tables hold everything that a user can have.
OWNED = (Conversation, Persona, Tag, Import, Undo)


class UnusedUserCleanup:
    """A walk through all users in small steps, each of one short write; after the last user it begins again."""

    def __init__(self) -> None:
        self._last_id = 0

    def __call__(self) -> bool:
        """Look at the next users. Returns whether there was much to delete, so that there may be more."""
        with write_transaction() as tx:
            next_ids = select(User.id).where(User.id > self._last_id).order_by(User.id).limit(USERS_PER_STEP)
            ids = tx.scalars(next_ids).all()
            unused_ids = tx.scalars(select(User.id).where(User.id.in_(ids), *_is_unused())).all()
            tx.execute(delete(User).where(User.id.in_(unused_ids)).execution_options(synchronize_session=False))
            with_network = select(User.id).where(User.id.in_(ids), User.network_key.is_not(None))
            idle_ids = tx.scalars(with_network.where(*_has_nothing_in_progress())).all()
            if idle_ids:
                forget = update(User).where(User.id.in_(idle_ids)).values(network_key=None)
                tx.execute(forget.execution_options(synchronize_session=False))
        self._last_id = ids[-1] if len(ids) == USERS_PER_STEP else 0
        return len(unused_ids) == USERS_PER_STEP


def _is_unused() -> Sequence[ColumnElement[bool]]:
    owns_nothing = [~exists().where(model.user_id == User.id) for model in OWNED]
    # What a user wrote or chose on the settings page.
    columns = (User.draft_text, User.instructions, User.default_model, User.default_preset)
    return User.created_at < utcnow() - RETENTION, *(column.is_(None) for column in columns), *owns_nothing


def _has_nothing_in_progress() -> Sequence[ColumnElement[bool]]:
    answer = exists().where(Generation.user_id == User.id, Generation.status.in_(IN_PROGRESS))
    running_import = exists().where(Import.user_id == User.id, Import.state.in_(UNFINISHED_STATES))
    return ~answer, ~running_import
