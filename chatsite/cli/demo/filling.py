"""Fills an empty instance with the conversations of the demo. They are the terminal's, so that a link shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from chatsite.cli.demo.scripts import Script, all_scripts
from chatsite.cli.demo.staging import found
from chatsite.database import db, now, write
from chatsite.errors import ChatsiteError, sentence
from chatsite.models import Conversation, User
from chatsite.services import accounts, conversations, links, models, personas, shares, trash
from chatsite.services.answerers import Answerer
from chatsite.services.settings import Settings
from chatsite.services.transfer import storing

COLORS = {"travel": "teal", "code": "blue", "learning": "purple", "kitchen": "orange", "work": "red", "letters": "pink"}
REVIEWER = Settings(
    persona="Code reviewer",
    instructions="You review code. Name the most serious problem first, quote the line, and show how to mend it.",
    numbers={"temperature": 0.2},
)


class NotEmptyError(ChatsiteError):
    """A demo among somebody's conversations would be a nuisance to them."""

    sentence = sentence(
        "There are conversations here already. CHATSITE_INSTANCE can name an empty folder for the demo."
    )


def fill(config: Mapping[str, Any]) -> User:
    """Store the demo as the terminal's visitor; returns them. Raises NotEmptyError, with nothing stored."""
    if db.session.scalar(select(Conversation.id).limit(1)) is not None:
        raise NotEmptyError
    scripts = all_scripts()
    user = accounts.find_or_create(links.terminal_token(config["INSTANCE"]))
    names = _store(user, scripts, config)
    for script in scripts:
        if script.has("shared"):
            shares.create(conversations.get(user, names[script.name]), "month")
    trash.throw(user, [names[script.name] for script in scripts if script.has("trashed")])
    personas.create(user, REVIEWER, Answerer())
    return user


def _store(user: User, scripts: list[Script], config: Mapping[str, Any]) -> dict[str, str]:
    """Store the conversations; returns the names in their addresses by those of their files."""
    site, moment, user_id = models.known(config), now(), user.id
    staged = {script.name: found(script, site, moment) for script in scripts}
    with write():
        for name, color in COLORS.items():
            storing.add_tag(user_id, name, color, moment)
        storing.add(user_id, list(staged.values()))
    return {name: each.public_id or "" for name, each in staged.items()}
