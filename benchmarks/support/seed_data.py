"""Visitors and conversations by the thousand, put into the database of a site that runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from flask import Flask
from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import aliased

from chatsite import create_app
from chatsite.database import db, utcnow, write_transaction
from chatsite.models import IN_PROGRESS, Conversation, Generation, Message, Role, Status, User
from chatsite.models.conversation import new_public_id
from chatsite.services.accounts import users
from chatsite.services.chat import messages
from chatsite.services.chat.generations import QueueLimits

EXCHANGE_COUNT = 3
BATCH_SIZE = 1000
NO_LIMITS = QueueLimits(max_message_chars=10**6, max_queued_per_user=10**6, max_queued=10**6)
ANSWER_TEXT = "An answer of **some** length.\n\n- One point.\n- Another point.\n\n" + "And a sentence more. " * 20

# What models write when they explain something: a heading, prose, code, a table, a list.
RICH_ANSWER_TEXT = """# How to count words

A **dictionary** of counters does it in one pass, and `Counter` is one that exists already.

```python
from collections import Counter
from pathlib import Path

def words(path: Path) -> Counter[str]:
    \"\"\"How often each word stands in a file.\"\"\"
    return Counter(path.read_text().lower().split())
```

| way | lines | seconds |
| --- | ---: | ---: |
| a loop | 6 | 0.41 |
| `Counter` | 1 | 0.12 |

- It reads the whole file at once.
- For larger ones, add up the counters of its lines.
"""


@dataclass(frozen=True)
class StoredVisitor:
    """A visitor's token, and the newest of their conversations."""

    token: str
    conversation_id: str


@contextmanager
def open_app(instance: Path) -> Iterator[Flask]:
    """An app on the database of the site in `instance`, entered."""
    settings = {
        "INSTANCE": instance,
        "DEFAULT_MODEL": "scripted",
        "LOG_LEVEL": "warning",
        "SQLITE_SYNCHRONOUS": "NORMAL",
    }
    app = create_app(settings)
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


def create_visitor(
    conversation_count: int, exchange_count: int = EXCHANGE_COUNT, answer: str = ANSWER_TEXT
) -> StoredVisitor:
    """Store a visitor with so many conversations of so many turns each, all of them answered with `answer`."""
    token = users.new_token()
    user_id = users.get_or_create_by_token(token).id
    for first_number in range(0, conversation_count, BATCH_SIZE):
        _store_batch(
            user_id,
            range(first_number, min(first_number + BATCH_SIZE, conversation_count)),
            exchange_count,
            conversation_count,
            answer,
        )
    newest_id = select(Conversation.public_id).where(Conversation.user_id == user_id)
    name = db.session.scalar(newest_id.order_by(Conversation.updated_at.desc()).limit(1))
    db.session.rollback()
    return StoredVisitor(token, name or "")


def create_question(token: str, text: str) -> str:
    """Ask in a conversation of its own; returns the public id of the answer that is to come."""
    user = users.get_or_create_by_token(token)
    name = messages.start_conversation(
        user, messages.NewConversation(text[:40]), messages.NewMessage(text), limits=NO_LIMITS
    ).answer.public_id
    db.session.rollback()
    return name


def create_visitors(count: int) -> list[str]:
    """Store so many visitors without anything of theirs; returns their tokens."""
    tokens = [users.new_token() for _ in range(count)]
    with write_transaction() as session:
        session.execute(insert(User), [{"token_hash": users.token_hash(token)} for token in tokens])
    return tokens


def find_token_count(public_id: str) -> int:
    """Return the number of tokens of an answer that is done, or 0 for one that is not. Needs an app context."""
    counted = (
        select(Generation.token_count)
        .join(Message, Message.id == Generation.message_id)
        .where(Message.public_id == public_id, Generation.status == Status.DONE)
    )
    token_count = db.session.scalar(counted) or 0
    db.session.rollback()
    return token_count


def stop_all_answers() -> None:
    """Stop all answers that wait or are being written."""
    with write_transaction() as session:
        session.execute(update(Generation).where(Generation.status.in_(IN_PROGRESS)).values(cancel_requested=True))


def has_no_running_answers() -> bool:
    """Whether no answer waits or is being written."""
    running = db.session.scalar(select(Generation.id).where(Generation.status.in_(IN_PROGRESS)).limit(1))
    db.session.rollback()
    return running is None


def _store_batch(user_id: int, numbers: range, exchange_count: int, total: int, answer: str) -> None:
    """Store some conversations in one write; the one with the highest number is the newest."""
    newest = utcnow()
    with write_transaction() as session:
        rows = [_conversation_row(user_id, newest - timedelta(minutes=total - number), number) for number in numbers]
        ids = session.scalars(insert(Conversation).returning(Conversation.id, sort_by_parameter_order=True), rows).all()
        texts = [message for conversation in ids for message in _message_rows(conversation, exchange_count, answer)]
        stored = session.execute(
            insert(Message).returning(Message.id, Message.role, sort_by_parameter_order=True), texts
        ).all()
        _link_branches(ids)
        answers = [message_id for message_id, role in stored if role is Role.ASSISTANT]
        session.execute(insert(Generation), [_generation_row(user_id, message_id) for message_id in answers])


def _link_branches(conversations: Sequence[int]) -> None:
    """Make the messages of each conversation one branch, in the order of their ids."""
    earlier = aliased(Message)
    parents = select(func.max(earlier.id)).where(
        earlier.conversation_id == Message.conversation_id, earlier.id < Message.id
    )
    last = select(func.max(Message.id)).where(Message.conversation_id == Conversation.id)
    own_ids = update(Message).where(Message.conversation_id.between(conversations[0], conversations[-1]))
    for values in ({"parent_id": parents.scalar_subquery()}, {"is_active": True}):
        db.session.execute(own_ids.values(**values).execution_options(synchronize_session=False))
    leaves = update(Conversation).where(Conversation.id.between(conversations[0], conversations[-1]))
    db.session.execute(
        leaves.values(active_leaf_id=last.scalar_subquery()).execution_options(synchronize_session=False)
    )


def _conversation_row(user_id: int, created_at: object, number: int) -> dict[str, object]:
    title = f"Conversation {number} about something"
    return {
        "public_id": new_public_id(),
        "user_id": user_id,
        "title": title,
        "created_at": created_at,
        "updated_at": created_at,
    }


def _message_rows(conversation_id: int, exchange_count: int, answer: str) -> list[dict[str, object]]:
    text_pair = [
        (Role.USER, "A question of the usual length, about this and that?"),
        (Role.ASSISTANT, answer),
    ] * exchange_count
    common = {"conversation_id": conversation_id, "is_active": False}
    return [{**common, "public_id": new_public_id(), "role": role, "text": text} for role, text in text_pair]


def _generation_row(user_id: int, message_id: int) -> dict[str, object]:
    return {
        "message_id": message_id,
        "user_id": user_id,
        "status": Status.DONE,
        "attempts": 1,
        "token_count": 120,
        "finish_reason": "end",
        "finished_at": utcnow(),
    }
