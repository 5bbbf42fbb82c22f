"""A large library: a million messages in ten thousand conversations, of words as common and as rare as in life."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate

from sqlalchemy import func, insert, select, text

from chatsite.database import db, utcnow, write_transaction
from chatsite.models import Conversation, Generation, Message, Role, Status
from chatsite.models.conversation import new_public_id
from chatsite.models.search_index import SQLITE_DDL
from chatsite.models.search_index import populate_indexes as fill_index
from chatsite.services.accounts import users

WORD_COUNT = 60_000
SENTENCE_COUNT = 40_000
BATCH_SIZE = 10_000
YEARS = 3
LIGHT_CONVERSATIONS = 10
AVERAGE_CONVERSATIONS = 20
MODEL_NAME = "facebook/blenderbot-400M-distill"
SYLLABLES = [first + second for first in "bcdfglmnprstv" for second in "aeio"]


@dataclass(frozen=True)
class LargeDataset:
    """Tokens of a visitor with very many messages and of one with ten conversations, and words from common to rare."""

    heavy_token: str
    light_token: str
    words: list[str]
    seconds: float


def create_dataset(
    conversation_count: int = 10_000, message_count: int = 1_000_000, heavy_message_count: int = 200_000
) -> LargeDataset:
    """Store so many conversations and messages, `heavy_message_count` of them one visitor's. Needs an app context.

    The second visitor has ten conversations, all others twenty. All conversations are of the same length.
    """
    started = utcnow()
    rng = random.Random(4)
    words = _make_words(rng)
    sentences = _make_sentences(rng, words)
    tokens = [users.new_token(), users.new_token()]
    length = message_count // conversation_count
    with _index_afterwards():
        for number, user_share in enumerate(_conversations_per_user(conversation_count, heavy_message_count // length)):
            token = tokens[number] if number < len(tokens) else users.new_token()
            _store_conversations(rng, users.get_or_create_by_token(token).id, user_share, length, sentences)
    _reset_sequences()
    return LargeDataset(tokens[0], tokens[1], words, (utcnow() - started).total_seconds())


@contextmanager
def _index_afterwards() -> Iterator[None]:
    """Have nothing indexed for search until all is stored, and then everything: a third of the time."""
    sqlite = db.engine.dialect.name == "sqlite"
    triggers = [trigger for trigger in SQLITE_DDL if trigger.startswith("CREATE TRIGGER")]
    tables = ("message", "generation", "conversation")
    with write_transaction() as session:
        for trigger in triggers if sqlite else ():
            session.execute(text(f"DROP TRIGGER {trigger.split()[2]}"))
        for table in () if sqlite else tables:
            session.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
    yield
    with write_transaction() as session:
        fill_index(session.connection())
        for trigger in triggers if sqlite else ():
            session.connection().exec_driver_sql(trigger)
        for table in () if sqlite else tables:
            session.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))


def _make_words(rng: random.Random) -> list[str]:
    """Made-up words, the most common first; some have accents."""
    words: dict[str, None] = {}
    while len(words) < WORD_COUNT:
        word = "".join(rng.choices(SYLLABLES, k=rng.randint(1, 5)))
        words.setdefault(word.replace("ne", "né") if rng.random() < 0.1 else word)
    return sorted(words, key=lambda word: len(word) + rng.random() * 4)


def _make_sentences(rng: random.Random, words: list[str]) -> list[str]:
    """Sentences in which the n-th word is n times as rare as the first (Zipf's law)."""
    weights = list(accumulate(1 / (number + 1) for number in range(len(words))))
    lengths = (rng.randint(4, 16) for _ in range(SENTENCE_COUNT))
    return [" ".join(rng.choices(words, cum_weights=weights, k=length)).capitalize() + "." for length in lengths]


def _conversations_per_user(conversation_count: int, heavy_count: int) -> Iterator[int]:
    """How many conversations each visitor has."""
    yield heavy_count
    remaining = conversation_count - heavy_count
    size = LIGHT_CONVERSATIONS
    while remaining > 0:
        yield min(size, remaining)
        remaining -= size
        size = AVERAGE_CONVERSATIONS


def _store_conversations(
    rng: random.Random, user_id: int, conversations: int, length: int, sentences: list[str]
) -> None:
    """Store one visitor's conversations, spread over the last years, in writes of about `BATCH_SIZE` messages."""
    step = timedelta(days=365 * YEARS) / conversations
    newest = utcnow()
    per_write = max(1, BATCH_SIZE // length)
    for first in range(0, conversations, per_write):
        moments = [newest - step * (conversations - 1 - number) for number in range(first, first + per_write)]
        with write_transaction() as session:
            for created_at in moments[: conversations - first]:
                title = rng.choice(sentences)[:120]
                conversation = Conversation(user_id=user_id, title=title, created_at=created_at, updated_at=created_at)
                session.add(conversation)
                session.flush()
                _store_messages(conversation, rng, length, sentences)


def _store_messages(conversation: Conversation, rng: random.Random, length: int, sentences: list[str]) -> None:
    """Store a conversation's messages, one below the other, and who wrote the answers."""
    first = (db.session.scalar(select(func.max(Message.id))) or 0) + 1
    started_at = conversation.updated_at - timedelta(minutes=length)
    rows = [
        {
            "id": first + position,
            "public_id": new_public_id(),
            "conversation_id": conversation.id,
            "parent_id": first + position - 1 if position else None,
            "role": Role.ASSISTANT if position % 2 else Role.USER,
            "text": " ".join(rng.choices(sentences, k=rng.randint(1, 5))),
            "created_at": started_at + timedelta(minutes=position),
        }
        for position in range(length)
    ]
    db.session.execute(insert(Message), rows)
    common = {
        "user_id": conversation.user_id,
        "status": Status.DONE,
        "attempts": 1,
        "model": MODEL_NAME,
        "finish_reason": "end",
    }
    db.session.execute(
        insert(Generation), [{**common, "message_id": row["id"]} for row in rows if row["role"] is Role.ASSISTANT]
    )
    conversation.active_leaf_id = first + length - 1


def _reset_sequences() -> None:
    """Have PostgreSQL number new messages after those that were stored with numbers, and know what is common."""
    if db.engine.dialect.name == "postgresql":
        with write_transaction() as session:
            session.execute(text("SELECT setval('message_id_seq', (SELECT max(id) FROM message))"))
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))
