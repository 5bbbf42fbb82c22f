"""A large library: a million messages in ten thousand conversations, of words as common and as rare as in life."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate

from sqlalchemy import func, insert, select, text

from chatsite.database import db, now, write
from chatsite.models import Conversation, Generation, Message, Role, Status
from chatsite.models.conversation import public_id
from chatsite.models.search import SQLITE
from chatsite.models.search import fill as fill_index
from chatsite.services import accounts

WORDS = 60_000
SENTENCES = 40_000
BATCH = 10_000
YEARS = 3
LIGHT_CONVERSATIONS = 10
USUAL_CONVERSATIONS = 20
MODEL = "facebook/blenderbot-400M-distill"
SYLLABLES = [first + second for first in "bcdfglmnprstv" for second in "aeio"]


@dataclass(frozen=True)
class Library:
    """Tokens of a visitor with very many messages and of one with ten conversations, and words from common to rare."""

    heavy: str
    light: str
    words: list[str]
    seconds: float


def fill(conversations: int = 10_000, messages: int = 1_000_000, heavy: int = 200_000) -> Library:
    """Store so many conversations and messages, `heavy` of them one visitor's. Needs an app context.

    The second visitor has ten conversations, all others twenty. All conversations are of the same length.
    """
    started = now()
    chance = random.Random(4)
    words = _words(chance)
    sentences = _sentences(chance, words)
    tokens = [accounts.new_token(), accounts.new_token()]
    length = messages // conversations
    with _indexed_at_once():
        for number, share in enumerate(_shares(conversations, heavy // length)):
            token = tokens[number] if number < len(tokens) else accounts.new_token()
            _store(chance, accounts.find_or_create(token).id, share, length, sentences)
    _count_on()
    return Library(tokens[0], tokens[1], words, (now() - started).total_seconds())


@contextmanager
def _indexed_at_once() -> Iterator[None]:
    """Have nothing indexed for search until all is stored, and then everything: a third of the time."""
    sqlite = db.engine.dialect.name == "sqlite"
    triggers = [each for each in SQLITE if each.startswith("CREATE TRIGGER")]
    tables = ("message", "generation", "conversation")
    with write() as session:
        for each in triggers if sqlite else ():
            session.execute(text(f"DROP TRIGGER {each.split()[2]}"))
        for table in () if sqlite else tables:
            session.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
    yield
    with write() as session:
        fill_index(session.connection())
        for each in triggers if sqlite else ():
            session.connection().exec_driver_sql(each)
        for table in () if sqlite else tables:
            session.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))


def _words(chance: random.Random) -> list[str]:
    """Made-up words, the most common first; some have accents."""
    found: dict[str, None] = {}
    while len(found) < WORDS:
        word = "".join(chance.choices(SYLLABLES, k=chance.randint(1, 5)))
        found.setdefault(word.replace("ne", "né") if chance.random() < 0.1 else word)
    return sorted(found, key=lambda word: len(word) + chance.random() * 4)


def _sentences(chance: random.Random, words: list[str]) -> list[str]:
    """Sentences in which the n-th word is n times as rare as the first (Zipf's law)."""
    weights = list(accumulate(1 / (number + 1) for number in range(len(words))))
    lengths = (chance.randint(4, 16) for _ in range(SENTENCES))
    return [" ".join(chance.choices(words, cum_weights=weights, k=length)).capitalize() + "." for length in lengths]


def _shares(conversations: int, heavy: int) -> Iterator[int]:
    """How many conversations each visitor has."""
    yield heavy
    left = conversations - heavy
    size = LIGHT_CONVERSATIONS
    while left > 0:
        yield min(size, left)
        left -= size
        size = USUAL_CONVERSATIONS


def _store(chance: random.Random, user_id: int, conversations: int, length: int, sentences: list[str]) -> None:
    """Store one visitor's conversations, spread over the last years, in writes of about `BATCH` messages."""
    step = timedelta(days=365 * YEARS) / conversations
    newest = now()
    per_write = max(1, BATCH // length)
    for first in range(0, conversations, per_write):
        moments = [newest - step * (conversations - 1 - number) for number in range(first, first + per_write)]
        with write() as session:
            for moment in moments[: conversations - first]:
                title = chance.choice(sentences)[:120]
                conversation = Conversation(user_id=user_id, title=title, created_at=moment, updated_at=moment)
                session.add(conversation)
                session.flush()
                _fill(conversation, chance, length, sentences)


def _fill(conversation: Conversation, chance: random.Random, length: int, sentences: list[str]) -> None:
    """Store a conversation's messages, one below the other, and who wrote the answers."""
    first = (db.session.scalar(select(func.max(Message.id))) or 0) + 1
    begun = conversation.updated_at - timedelta(minutes=length)
    rows = [
        {
            "id": first + place,
            "public_id": public_id(),
            "conversation_id": conversation.id,
            "parent_id": first + place - 1 if place else None,
            "role": Role.ASSISTANT if place % 2 else Role.USER,
            "text": " ".join(chance.choices(sentences, k=chance.randint(1, 5))),
            "created_at": begun + timedelta(minutes=place),
        }
        for place in range(length)
    ]
    db.session.execute(insert(Message), rows)
    common = {
        "user_id": conversation.user_id,
        "status": Status.DONE,
        "attempt": 1,
        "model": MODEL,
        "finish_reason": "end",
    }
    db.session.execute(
        insert(Generation), [{**common, "message_id": row["id"]} for row in rows if row["role"] is Role.ASSISTANT]
    )
    conversation.leaf_id = first + length - 1


def _count_on() -> None:
    """Have PostgreSQL number new messages after those that were stored with numbers, and know what is common."""
    if db.engine.dialect.name == "postgresql":
        with write() as session:
            session.execute(text("SELECT setval('message_id_seq', (SELECT max(id) FROM message))"))
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))
