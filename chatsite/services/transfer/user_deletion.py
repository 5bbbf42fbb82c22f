"""Deletion of everything that a user has.

The user loses their token at once, so that nothing can be reached from then on, and shared pages end. The cleanup task
deletes the rows in small steps, however many there are, and the row of the user at last.
"""

from __future__ import annotations

from sqlalchemy import delete, exists, select, update

from chatsite.database import WriteSession, db, truncate_wal, utcnow, write_transaction
from chatsite.models import IN_PROGRESS, UNFINISHED_STATES, Conversation, Generation, Import, Share, Status, User
from chatsite.services import leases
from chatsite.services.accounts import users
from chatsite.services.chat import generations
from chatsite.services.organize import trash
from chatsite.services.pagination import BATCH_SIZE
from chatsite.services.transfer import imports


def delete_everything(user: User) -> None:
    """Make everything of a user permanently unreachable, and have the cleanup task delete it.

    The work does not depend on how much there is. Answers in progress end, and so do imports.
    """
    user_id = user.id
    with write_transaction() as tx:
        # Nobody knows the new token.
        values = {"token_hash": users.token_hash(users.new_token()), "deleted_at": utcnow(), "draft_text": None}
        forgotten = {"instructions": None, "default_model": None, "default_preset": None}
        tx.execute(update(User).where(User.id == user_id).values({**values, **forgotten}))
        tx.execute(delete(Share).where(Share.user_id == user_id))
        _end_work(tx, user_id)
        # Temporary chats are also erased from the file of the database, which the task for expired ones does.
        now = leases.current_time()
        temporary = update(Conversation).where(Conversation.user_id == user_id, Conversation.expires_at > now)
        tx.execute(temporary.values(expires_at=now).execution_options(synchronize_session=False))


def delete_due(max_messages: int = BATCH_SIZE) -> bool:
    """Delete some rows of a user who deleted everything: up to `max_messages` messages. Returns whether there is more.

    Users with temporary chats wait until the contents of these were erased.
    """
    has_temporary = exists().where(Conversation.user_id == User.id, Conversation.expires_at.is_not(None))
    due = select(User.id).where(User.deleted_at.is_not(None), ~has_temporary).order_by(User.deleted_at)
    user_id = db.session.scalar(due.limit(1))
    if user_id is None:
        return False
    if not _delete_messages(user_id, max_messages) and not _delete_import(user_id):
        # The rows that are left are few, and go with their user.
        with write_transaction() as tx:
            tx.execute(delete(User).where(User.id == user_id).execution_options(synchronize_session=False))
    truncate_wal()
    return True


def _end_work(tx: WriteSession, user_id: int) -> None:
    """End the answers in progress and the unfinished imports of a user; their runners lose the leases."""
    running = select(Generation).where(Generation.user_id == user_id, Generation.status.in_(IN_PROGRESS))
    for generation in tx.scalars(running).all():
        generations.finish(tx, generation, Status.STOPPED, finish_reason="cancelled")
    unfinished = update(Import).where(Import.user_id == user_id, Import.state.in_(UNFINISHED_STATES))
    tx.execute(unfinished.values(cancel_requested=True).execution_options(synchronize_session=False))


def _delete_messages(user_id: int, max_messages: int) -> bool:
    """Delete up to `max_messages` messages of a user. Returns whether there were conversations to delete them from."""
    with write_transaction() as tx:
        owned = select(Conversation.id).where(Conversation.user_id == user_id)
        ids = tx.scalars(owned.order_by(Conversation.id).limit(trash.CONVERSATIONS_PER_PURGE)).all()
        trash.purge_messages(tx, ids, max_messages)
        return bool(ids)


def _delete_import(user_id: int) -> bool:
    """Delete one import of a user with its file. Returns whether there was one."""
    import_id = db.session.scalar(select(Import.id).where(Import.user_id == user_id).limit(1))
    if import_id is None:
        return False
    imports.delete_chunks(import_id)
    with write_transaction() as tx:
        tx.execute(delete(Import).where(Import.id == import_id))
    return True
