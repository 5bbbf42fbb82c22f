"""Title requests: conversations whose title, which a rule made, a model is to replace after the first answer.

A request is stored with its conversation, and is due when an answer of it is done. So whoever looks next works on it,
after a crash too, and it is deleted in the transaction that stores the title, under the lock of the conversation. A
title that a person gave meanwhile stays. Runners hold requests by leases, as they hold answers (`services.leases`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, exists, select, update
from sqlalchemy.orm import aliased

from chatsite.database import WriteSession, db, utcnow, write_transaction
from chatsite.errors import ConversationNotFoundError
from chatsite.models import (
    AnonymousUser,
    Conversation,
    Generation,
    Message,
    Status,
    TitleRequest,
    TitleSource,
    Visitor,
)
from chatsite.services import leases
from chatsite.services.chat import conversations
from chatsite.services.pagination import BATCH_SIZE

# A request whose answers all failed or were stopped is not kept for ever.
MAX_AGE = timedelta(hours=1)
# For how long after the end of an answer a page looks for another title.
MAX_LOOKING = timedelta(minutes=2)
# A runner looks past so many requests that others can carry out.
MAX_LEFT = 20


@dataclass(frozen=True)
class ClaimedTitle:
    """A title request that a runner claimed: the first answer that is done, its question, and the model that wrote it.

    `model` is None for the model of the site.
    """

    conversation_id: int
    user_id: int
    attempts: int
    question: str
    answer: str
    model: str | None


def has_work(lease_owner: str | None = None, lease_seconds: float | None = None, *, may_reap: bool = True) -> bool:
    """Return whether a title request is due; with `lease_owner`, one that this runner may claim.

    With `may_reap`, that is also one of a dead runner. With `lease_seconds`, also one whose lease is longer than that.
    """
    condition = _is_due()
    if lease_owner is not None:
        is_free = _is_free(lease_owner, may_reap=may_reap)
        if lease_seconds is not None:
            is_free |= leases.is_overlong(TitleRequest.lease_until, lease_seconds)
        condition &= is_free
    return db.session.scalar(select(TitleRequest.conversation_id).where(condition).limit(1)) is not None


def claim(  # noqa: PLR0913 Whose lease, for how long, how often, and of which models.
    lease_owner: str,
    lease_seconds: float,
    *,
    max_attempts: int,
    can_write: Callable[[str | None], bool],
    is_left: Callable[[str | None], bool] = lambda model: False,
    may_reap: bool = True,
) -> ClaimedTitle | None:
    """Claim the oldest title request that is due for `lease_seconds` seconds; None if there is none.

    The caller holds none. With `may_reap`, those of dead runners are claimed too. Requests that were claimed
    `max_attempts` times without an end, and those of models that `can_write` no titles, are deleted. Those of a model
    that `is_left` to other runners wait for them.
    """
    left_ids: list[int] = []
    with write_transaction() as tx:
        _cut_leases(tx, lease_seconds)
        is_free = _is_free(lease_owner, may_reap=may_reap)
        query = select(TitleRequest).where(_is_due(), is_free).order_by(TitleRequest.created_at).limit(1)
        while len(left_ids) < MAX_LEFT and (
            request := tx.scalar(leases.lock_rows(query.where(TitleRequest.conversation_id.not_in(left_ids))))
        ):
            found = _describe(tx, request)
            if is_left(found.model):
                left_ids.append(request.conversation_id)
                continue
            if request.attempts < max_attempts and can_write(found.model):
                request.lease_owner, request.attempts = lease_owner, found.attempts
                tx.flush()
                _renew_lease(tx, lease_owner, lease_seconds)
                return found
            tx.delete(request)
            tx.flush()
        return None


def heartbeat(lease_owner: str, claimed: ClaimedTitle, lease_seconds: float) -> bool:
    """Renew the lease of a claimed request. Returns whether this runner still holds it."""
    with write_transaction() as tx:
        _renew_lease(tx, lease_owner, lease_seconds)
        return tx.scalar(select(TitleRequest.conversation_id).where(_is_held(lease_owner, claimed))) is not None


def release(lease_owner: str) -> None:
    """Hand back what a runner does not write on purpose, so that the attempt does not count."""
    held = update(TitleRequest).where(TitleRequest.lease_owner == lease_owner)
    with write_transaction() as tx:
        tx.execute(held.values(lease_owner=None, lease_until=None, attempts=TitleRequest.attempts - 1))


def finish(lease_owner: str, claimed: ClaimedTitle, title: str) -> bool:
    """End a claimed request: store the title of the model, unless it is empty or a person gave another one.

    Returns whether the conversation has that title now.
    """
    with write_transaction() as tx:
        try:
            conversation = conversations.lock(tx, claimed.conversation_id, claimed.user_id)
        except ConversationNotFoundError:
            conversation = None
        held = select(TitleRequest).where(_is_held(lease_owner, claimed)).with_for_update()
        request = tx.scalar(held.execution_options(populate_existing=True))
        if request is None:
            return False
        tx.delete(request)
        if conversation is None or not title or conversation.title_source is not TitleSource.RULE:
            return False
        conversation.title, conversation.title_source = title, TitleSource.MODEL
        return True


def give_up() -> int:
    """Delete the due requests that no runner holds, because nobody had time for them, and return their number."""
    with write_transaction() as tx:
        query = select(TitleRequest).where(_is_due(), TitleRequest.lease_owner.is_(None)).limit(BATCH_SIZE)
        rows = tx.scalars(leases.lock_rows(query)).all()
        for row in rows:
            tx.delete(row)
        return len(rows)


def delete_expired(max_requests: int = BATCH_SIZE) -> bool:
    """Delete up to `max_requests` requests older than MAX_AGE. Returns whether there may be more."""
    with write_transaction() as tx:
        old = select(TitleRequest.conversation_id).where(TitleRequest.created_at < utcnow() - MAX_AGE)
        ids = tx.scalars(old.limit(max_requests)).all()
        tx.execute(delete(TitleRequest).where(TitleRequest.conversation_id.in_(ids)))
        return len(ids) == max_requests


def list_pending(user: Visitor) -> list[str]:
    """Return the public ids of the user's conversations that may get another title soon, in a fixed order."""
    if isinstance(user, AnonymousUser):
        return []
    just_done = _done_answers(Generation.finished_at > utcnow() - MAX_LOOKING)
    query = select(Conversation.public_id).join(TitleRequest, TitleRequest.conversation_id == Conversation.id)
    return sorted(db.session.scalars(query.where(Conversation.user_id == user.id, _is_due(), just_done)))


def _is_due() -> ColumnElement[bool]:
    """Return the SQL condition that an answer is done and the title is still the rule's."""
    conversation = aliased(Conversation)
    replaceable = exists().where(
        conversation.id == TitleRequest.conversation_id,
        conversation.title_source == TitleSource.RULE,
        conversation.deleted_at.is_(None),
    )
    return _done_answers() & replaceable


def _is_free(lease_owner: str, *, may_reap: bool) -> ColumnElement[bool]:
    """Return the SQL condition that a runner may claim a request; it holds none that it knows of."""
    is_free = TitleRequest.lease_owner.is_(None) | (TitleRequest.lease_owner == lease_owner)
    return is_free | leases.has_expired(TitleRequest.lease_until) if may_reap else is_free


def _done_answers(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return (
        exists()
        .where(
            Message.conversation_id == TitleRequest.conversation_id,
            Generation.message_id == Message.id,
            Generation.status == Status.DONE,
            *conditions,
        )
        .correlate(TitleRequest)
    )


def _is_held(lease_owner: str, claimed: ClaimedTitle) -> ColumnElement[bool]:
    return (
        (TitleRequest.conversation_id == claimed.conversation_id)
        & (TitleRequest.lease_owner == lease_owner)
        & (TitleRequest.attempts == claimed.attempts)
    )


def _renew_lease(tx: WriteSession, lease_owner: str, lease_seconds: float) -> None:
    mine = update(TitleRequest).where(TitleRequest.lease_owner == lease_owner)
    lease_until = leases.lease_end(lease_seconds)
    tx.execute(mine.values(lease_until=lease_until).execution_options(synchronize_session=False))


def _cut_leases(tx: WriteSession, lease_seconds: float) -> None:
    """Let leases that are longer than a lease can be end as one that is given now: the clock was set back."""
    overlong = update(TitleRequest).where(leases.is_overlong(TitleRequest.lease_until, lease_seconds))
    lease_until = leases.lease_end(lease_seconds)
    tx.execute(overlong.values(lease_until=lease_until).execution_options(synchronize_session=False))


def _describe(tx: WriteSession, request: TitleRequest) -> ClaimedTitle:
    """Return what the next attempt at a request is about."""
    question = aliased(Message)
    done = (
        select(Conversation.user_id, question.text.label("question"), Message.text, Generation.model)
        .join(Conversation, Conversation.id == Message.conversation_id)
        .join(Generation, Generation.message_id == Message.id)
        .join(question, question.id == Message.parent_id)
        .where(Message.conversation_id == request.conversation_id, Generation.status == Status.DONE)
    )
    row = tx.execute(done.order_by(Message.id, Generation.id.desc()).limit(1)).one()
    return ClaimedTitle(request.conversation_id, row.user_id, request.attempts + 1, row.question, row.text, row.model)
