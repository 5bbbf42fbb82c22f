"""Merge of two users that belong to one person."""

from __future__ import annotations

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import InstrumentedAttribute

from chatsite.database import WriteSession, write_transaction
from chatsite.models import Conversation, Generation, Import, Persona, Share, Undo, User
from chatsite.services.organize import tags


def merge_users(source: User, target: User) -> None:
    """Move everything of the user `source` to the user `target`, and delete `source`."""
    if source.id == target.id:
        return
    source_id, target_id = source.id, target.id
    with write_transaction() as tx:
        for column in (Conversation.import_source_id, Conversation.idempotency_key):
            _clear_values_of_both(tx, column, source_id=source_id, target_id=target_id)
        tags.merge_users(tx, source_id, target_id)
        for model in (Conversation, Generation, Persona, Share, Import, Undo):
            tx.execute(update(model).where(model.user_id == source_id).values(user_id=target_id))
        for text_column in (User.draft_text, User.instructions, User.default_model, User.default_preset):
            _fill_if_empty(tx, text_column, source_id=source_id, target_id=target_id)
        tx.execute(delete(User).where(User.id == source_id))


def _fill_if_empty(
    tx: WriteSession, column: InstrumentedAttribute[str | None], *, source_id: int, target_id: int
) -> None:
    """Give the user `target_id` the value that `source_id` has in a column, unless they have one of their own."""
    value = tx.scalar(select(column).where(User.id == source_id))
    if value:
        empty = update(User).where(User.id == target_id, func.coalesce(column, "") == "")
        tx.execute(empty.values({column: value}).execution_options(synchronize_session=False))


def _clear_values_of_both(
    tx: WriteSession, column: InstrumentedAttribute[str | None], *, source_id: int, target_id: int
) -> None:
    """Clear a column in the conversations of `source_id` where `target_id` has the value too.

    It must be unique for a user. Both may have imported one file, or sent one copy of a form.
    """
    target_values = select(column).where(Conversation.user_id == target_id, column.is_not(None))
    duplicates = update(Conversation).where(Conversation.user_id == source_id, column.in_(target_values))
    tx.execute(duplicates.values({column: None}).execution_options(synchronize_session=False))
