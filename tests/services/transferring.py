"""What tests of exports and imports share: a life worth exporting, files of other sites, and how a file is imported."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Mapping
from typing import Any

from flask import current_app
from sqlalchemy import select

from chatsite.database import db
from chatsite.models import Conversation, Import, Message, Outcome, Status, User
from chatsite.runner import bringing
from chatsite.services import claims, conversations, imports, messages, personas, ratings, settings, tags, windows
from chatsite.services.answerers import Answerer
from chatsite.services.settings import Settings
from chatsite.services.transfer import writing
from tests.conftest import LIMITS

MOST = 50_000_000
RECEIPT = {
    "model": "scripted",
    "revision": "",
    "family": "scripted",
    "budget": 100,
    "used": 7,
    "kept": 1,
    "frame": 0.5,
    "persona": False,
    "options": {"temperature": 0.7, "seed": 7, "preset": None, "stop": ["\n"]},
    "turns": [[0, "user", 3, True, False, [1, 2, 3]]],
}


def export(user: User, only: int | None = None) -> str:
    """The site's own export of everything of a user, or of one conversation."""
    return "".join(writing.export(user.id, only))


def bring(user: User, data: bytes | str | list[Any] | dict[str, Any], name: str = "file.json") -> Import:
    """Have a file imported, by the very work of the process that does it."""
    if not isinstance(data, bytes | str):
        data = json.dumps(data)
    content = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    made = imports.receive(user, name, io.BytesIO(content).read, MOST)
    public_id = made.public_id
    bringing.work(current_app.config, threading.Event())
    return imports.find(user, public_id)


def report(found: Import) -> list[tuple[str, Outcome, str | None]]:
    """What became of each conversation of a file: title, outcome, reason."""
    return [(note.title, note.outcome, note.reason) for note, _ in imports.notes(found).items]


def talks(user: User) -> list[Conversation]:
    """The conversations of a user, in the order of their rows."""
    query = select(Conversation).where(Conversation.user_id == user.id).order_by(Conversation.id)
    return list(db.session.scalars(query.execution_options(populate_existing=True)))


def said(conversation: Conversation) -> list[Message]:
    """All messages of a conversation."""
    query = select(Message).where(Message.conversation_id == conversation.id).order_by(Message.id)
    return list(db.session.scalars(query.execution_options(populate_existing=True)))


def shown(conversation: Conversation) -> list[str]:
    """The texts of the branch that is shown."""
    return [message.text for message in windows.until(conversation).messages]


def answer(text: str, status: Status = Status.DONE, receipt: Mapping[str, Any] | None = None) -> None:
    """Write the answers that wait."""
    for claim in claims.claim("runner", 9, 60, 2):
        done = claims.Written(
            claim.attempt, text=text, tokens=3, status=status, reason="end", receipt=dict(receipt) if receipt else None
        )
        claims.record("runner", {claim.generation_id: done}, 60)


def life(user: User) -> None:
    """Conversations with all that an export has to keep: branches, settings, receipts, ratings, tags, the archive."""
    personas.create(user, settings_with("Poet"), Answerer(None, "creative"))
    first = messages.start(user, "¿Qué hora es? \N{SNOWMAN}\n\n<b>&amp;</b>", "t1", "Time & <time>", LIMITS)
    answer("It is **late**.\r\nVery \x0b late.", receipt=RECEIPT)
    messages.edit(user, messages.get(user, first.question.public_id), "And now?", "t2", LIMITS)
    answer("", Status.FAILED)
    second = messages.start(user, "Hello", "t3", "Hello", LIMITS)
    answer("Hi", receipt=RECEIPT)
    ratings.rate(messages.get(user, second.answer.public_id), -1, "too short")
    messages.answer_again(user, messages.get(user, second.answer.public_id), LIMITS)
    answer("Hello yourself")
    messages.post(user, second.conversation, "More", "t5", LIMITS)
    answer("More", Status.STOPPED)
    tags.create(user, "unused", "red")
    names = [second.conversation.public_id]
    tags.mark(user, names, tags.create(user, "Año nuevo", "teal"))
    conversations.pin(user, names)
    conversations.archive(user, [first.conversation.public_id])
    settings.change(conversations.get(user, names[0]), settings_with("Poet"))


def settings_with(name: str) -> Settings:
    """Settings of a conversation under the name of a persona."""
    return Settings(name, "Speak in verse.\nBe brief.", {"temperature": 0.5, "top_k": 40})
