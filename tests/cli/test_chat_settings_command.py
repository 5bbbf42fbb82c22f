"""The terminal goes on by the settings that a conversation was given in the browser."""

from __future__ import annotations

from flask import Flask

from chatsite.cli.chat_client import ChatClient
from chatsite.database import db
from chatsite.models import Conversation, Status
from chatsite.services.chat import chat_settings, drafts, generation_leases
from chatsite.services.chat.chat_settings import ChatSettings
from chatsite.services.chat.generation_update import GenerationUpdate


def test_terminal_uses_conversation_settings(app: Flask) -> None:
    told = ChatSettings("Tutor", "Be patient.", {"temperature": 0.3})
    with app.app_context():
        terminal = ChatClient(app)
        terminal.ask_question("Hi")
        [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
        news = GenerationUpdate(claim.attempts, "Yes.", 1, status=Status.DONE, finish_reason="end")
        generation_leases.heartbeat("runner", {claim.generation_id: news}, 5)
        conversation = db.session.query(Conversation).one()
        chat_settings.update(conversation, told)
        drafts.save(conversation, "Typed in the browser", "", idempotency_key="", max_message_chars=8000)
        db.session.remove()
        terminal.ask_question("More")
        [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
        assert (claim.instructions, claim.generation_options) == (("Be patient.",), {"temperature": 0.3})
        assert drafts.get_text(db.session.query(Conversation).one()) == "Typed in the browser"
        db.session.remove()
