"""Helpers for tests of exports and imports: a user with history, files of other sites, and importing a file."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Mapping
from typing import Any

from flask import current_app
from sqlalchemy import select

from chatsite.database import db
from chatsite.errors import ChatsiteError
from chatsite.models import Conversation, Import, ImportOutcome, Message, Status, User
from chatsite.runner import import_worker
from chatsite.services.chat import chat_settings, conversations, generation_leases, message_pages, messages, ratings
from chatsite.services.chat.chat_settings import ChatSettings
from chatsite.services.chat.generation_update import GenerationUpdate
from chatsite.services.models.choice import ModelChoice
from chatsite.services.organize import tags
from chatsite.services.personas import personas
from chatsite.services.transfer import imports
from chatsite.services.transfer.exports import export_json
from tests.conftest import LIMITS

MAX_BYTES = 50_000_000
PROMPT_REPORT = {
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


def export_native(user: User, conversation_id: int | None = None) -> str:
    """Return the native export of everything of a user, or of one conversation."""
    return "".join(export_json.export(user.id, conversation_id))


def import_file(user: User, data: bytes | str | list[Any] | dict[str, Any], name: str = "file.json") -> Import:
    """Import a file with the code of the import worker, and return the import."""
    if not isinstance(data, bytes | str):
        data = json.dumps(data)
    content = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    created = imports.upload(user, name, io.BytesIO(content).read, max_bytes=MAX_BYTES)
    public_id = created.public_id
    import_worker.run_imports(current_app.config, threading.Event())
    return imports.get(user, public_id)


def list_outcomes(imported: Import) -> list[tuple[str, ImportOutcome, ChatsiteError | None]]:
    """List the title, outcome and reason of each conversation of an import."""
    return [(note.title, note.outcome, note.reason) for note, _ in imports.list_results(imported).items]


def list_conversations(user: User) -> list[Conversation]:
    """List the conversations of a user, in the order of their rows."""
    query = select(Conversation).where(Conversation.user_id == user.id).order_by(Conversation.id)
    return list(db.session.scalars(query.execution_options(populate_existing=True)))


def list_messages(conversation: Conversation) -> list[Message]:
    """List all messages of a conversation."""
    query = select(Message).where(Message.conversation_id == conversation.id).order_by(Message.id)
    return list(db.session.scalars(query.execution_options(populate_existing=True)))


def list_shown_texts(conversation: Conversation) -> list[str]:
    """List the texts of the active branch."""
    return [message.text for message in message_pages.page_before(conversation).messages]


def finish_answers(text: str, status: Status = Status.DONE, report: Mapping[str, Any] | None = None) -> None:
    """Finish all queued answers."""
    for claim in generation_leases.claim("runner", 9, 60, max_attempts=2):
        update = GenerationUpdate(
            claim.attempts,
            text=text,
            new_tokens=3,
            status=status,
            finish_reason="end",
            prompt_report=dict(report) if report else None,
        )
        generation_leases.heartbeat("runner", {claim.generation_id: update}, 60)


def create_history(user: User) -> None:
    """Create conversations with everything that exports keep.

    That is: branches, settings, prompt reports, ratings, tags and the archive.
    """
    personas.create(user, make_persona_settings("Poet"), ModelChoice(None, "creative"))
    first = messages.start_conversation(
        user,
        messages.NewConversation("Time & <time>"),
        messages.NewMessage("¿Qué hora es? \N{SNOWMAN}\n\n<b>&amp;</b>", "t1"),
        limits=LIMITS,
    )
    finish_answers("It is **late**.\r\nVery \x0b late.", report=PROMPT_REPORT)
    messages.edit_question(
        user, messages.get(user, first.question.public_id), messages.NewMessage("And now?", "t2"), limits=LIMITS
    )
    finish_answers("", Status.FAILED)
    second = messages.start_conversation(
        user, messages.NewConversation("Hello"), messages.NewMessage("Hello", "t3"), limits=LIMITS
    )
    finish_answers("Hi", report=PROMPT_REPORT)
    ratings.rate(messages.get(user, second.answer.public_id), -1, "too short")
    messages.regenerate_answer(user, messages.get(user, second.answer.public_id), limits=LIMITS)
    finish_answers("Hello yourself")
    messages.post_message(user, second.conversation, messages.NewMessage("More", "t5"), limits=LIMITS)
    finish_answers("More", Status.STOPPED)
    tags.create(user, "unused", "red")
    names = [second.conversation.public_id]
    tags.set_tag(user, names, tags.create(user, "Año nuevo", "teal"))
    conversations.set_pinned(user, names)
    conversations.set_archived(user, [first.conversation.public_id])
    chat_settings.update(conversations.get(user, names[0]), make_persona_settings("Poet"))


def make_persona_settings(name: str) -> ChatSettings:
    """Return chat settings with the name of a persona."""
    return ChatSettings(name, "Speak in verse.\nBe brief.", {"temperature": 0.5, "top_k": 40})
