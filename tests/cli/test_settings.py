"""The terminal goes on by the settings that a conversation was given in the browser."""

from __future__ import annotations

from flask import Flask

from chatsite.cli.terminal import Terminal
from chatsite.database import db
from chatsite.models import Conversation, Status
from chatsite.services import claims, drafts, settings
from chatsite.services.settings import Settings


def test_the_settings_of_a_conversation_hold_in_the_terminal(app: Flask) -> None:
    told = Settings("Tutor", "Be patient.", {"temperature": 0.3})
    with app.app_context():
        terminal = Terminal(app)
        terminal.ask("Hi")
        [claim] = claims.claim("runner", 1, 5, 2)
        news = claims.Written(claim.attempt, "Yes.", 1, status=Status.DONE, reason="end")
        claims.record("runner", {claim.generation_id: news}, 5)
        conversation = db.session.query(Conversation).one()
        settings.change(conversation, told)
        drafts.save(conversation, "Typed in the browser", "", "", 8000)
        db.session.remove()
        terminal.ask("More")
        [claim] = claims.claim("runner", 1, 5, 2)
        assert (claim.instructions, claim.numbers) == (("Be patient.",), {"temperature": 0.3})
        assert drafts.of(db.session.query(Conversation).one()) == "Typed in the browser"
        db.session.remove()
