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
from chatsite.database import db, now, write
from chatsite.models import ACTIVE, Conversation, Generation, Message, Role, Status, User
from chatsite.models.conversation import public_id
from chatsite.services import accounts, messages
from chatsite.services.generations import Limits

TURNS = 3
BATCH = 1000
NO_LIMITS = Limits(message_chars=10**6, per_user=10**6, total=10**6)
ANSWER = "An answer of **some** length.\n\n- One point.\n- Another point.\n\n" + "And a sentence more. " * 20

# What models write when they explain something: a heading, prose, code, a table, a list.
RICH = """# How to count words

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
class Stored:
    """A visitor's token, and the newest of their conversations."""

    token: str
    conversation: str


@contextmanager
def entered(instance: Path) -> Iterator[Flask]:
    """An app on the database of the site in `instance`, entered."""
    settings = {"INSTANCE": instance, "MODEL": "scripted", "LOG_LEVEL": "warning", "SQLITE_SYNCHRONOUS": "NORMAL"}
    app = create_app(settings)
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


def visitor(conversations: int, turns: int = TURNS, answer: str = ANSWER) -> Stored:
    """Store a visitor with so many conversations of so many turns each, all of them answered with `answer`."""
    token = accounts.new_token()
    user_id = accounts.find_or_create(token).id
    for first in range(0, conversations, BATCH):
        _store(user_id, range(first, min(first + BATCH, conversations)), turns, conversations, answer)
    newest = select(Conversation.public_id).where(Conversation.user_id == user_id)
    name = db.session.scalar(newest.order_by(Conversation.updated_at.desc()).limit(1))
    db.session.rollback()
    return Stored(token, name or "")


def question(token: str, text: str) -> str:
    """Ask in a conversation of its own; returns the public id of the answer that is to come."""
    user = accounts.find_or_create(token)
    name = messages.start(user, text, "", text[:40], NO_LIMITS).answer.public_id
    db.session.rollback()
    return name


def newcomers(number: int) -> list[str]:
    """Store so many visitors without anything of theirs; returns their tokens."""
    tokens = [accounts.new_token() for _ in range(number)]
    with write() as session:
        session.execute(insert(User), [{"token_hash": accounts.token_hash(token)} for token in tokens])
    return tokens


def stop_all() -> None:
    """Stop all answers that wait or are being written."""
    with write() as session:
        session.execute(update(Generation).where(Generation.status.in_(ACTIVE)).values(cancel_requested=True))


def is_calm() -> bool:
    """Whether no answer waits or is being written."""
    found = db.session.scalar(select(Generation.id).where(Generation.status.in_(ACTIVE)).limit(1))
    db.session.rollback()
    return found is None


def _store(user_id: int, numbers: range, turns: int, total: int, answer: str) -> None:
    """Store some conversations in one write; the one with the highest number is the newest."""
    newest = now()
    with write() as session:
        rows = [_conversation(user_id, newest - timedelta(minutes=total - number), number) for number in numbers]
        ids = session.scalars(insert(Conversation).returning(Conversation.id, sort_by_parameter_order=True), rows).all()
        said = [message for conversation in ids for message in _messages(conversation, turns, answer)]
        stored = session.execute(
            insert(Message).returning(Message.id, Message.role, sort_by_parameter_order=True), said
        ).all()
        _link(ids)
        answers = [message_id for message_id, role in stored if role is Role.ASSISTANT]
        session.execute(insert(Generation), [_generation(user_id, message_id) for message_id in answers])


def _link(conversations: Sequence[int]) -> None:
    """Make the messages of each conversation one branch, in the order of their ids."""
    earlier = aliased(Message)
    above = select(func.max(earlier.id)).where(
        earlier.conversation_id == Message.conversation_id, earlier.id < Message.id
    )
    last = select(func.max(Message.id)).where(Message.conversation_id == Conversation.id)
    ours = update(Message).where(Message.conversation_id.between(conversations[0], conversations[-1]))
    for values in ({"parent_id": above.scalar_subquery()}, {"shown": True}):
        db.session.execute(ours.values(**values).execution_options(synchronize_session=False))
    leaves = update(Conversation).where(Conversation.id.between(conversations[0], conversations[-1]))
    db.session.execute(leaves.values(leaf_id=last.scalar_subquery()).execution_options(synchronize_session=False))


def _conversation(user_id: int, moment: object, number: int) -> dict[str, object]:
    title = f"Conversation {number} about something"
    return {"public_id": public_id(), "user_id": user_id, "title": title, "created_at": moment, "updated_at": moment}


def _messages(conversation_id: int, turns: int, answer: str) -> list[dict[str, object]]:
    said = [(Role.USER, "A question of the usual length, about this and that?"), (Role.ASSISTANT, answer)] * turns
    common = {"conversation_id": conversation_id, "shown": False}
    return [{**common, "public_id": public_id(), "role": role, "text": text} for role, text in said]


def _generation(user_id: int, message_id: int) -> dict[str, object]:
    return {
        "message_id": message_id,
        "user_id": user_id,
        "status": Status.DONE,
        "attempt": 1,
        "tokens": 120,
        "finish_reason": "end",
        "finished_at": now(),
    }
