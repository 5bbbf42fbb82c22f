"""Fill an empty instance with the conversations of the demo. They belong to the user of the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from chatsite.database import db, utcnow, write_transaction
from chatsite.devtools.demo.build import build_imported_conversation
from chatsite.devtools.demo.transcripts import Transcript, load_transcripts
from chatsite.errors import ChatsiteError, gettext_noop
from chatsite.models import Conversation, User
from chatsite.services.accounts import terminal_links, users
from chatsite.services.chat import conversations
from chatsite.services.chat.chat_settings import ChatSettings
from chatsite.services.models import catalog
from chatsite.services.models.choice import ModelChoice
from chatsite.services.organize import trash
from chatsite.services.personas import personas
from chatsite.services.sharing import shares
from chatsite.services.transfer import import_store, import_tags

TAG_COLORS = {
    "travel": "teal",
    "code": "blue",
    "learning": "purple",
    "kitchen": "orange",
    "work": "red",
    "letters": "pink",
}
REVIEWER_SETTINGS = ChatSettings(
    persona="Code reviewer",
    instructions="You review code. Name the most serious problem first, quote the line, and show how to fix it.",
    generation_options={"temperature": 0.2},
)


class InstanceNotEmptyError(ChatsiteError):
    """The instance already has conversations, so no demo is added."""

    code = "instance_not_empty"
    message_template = gettext_noop(
        "This instance already has chats. Set CHATSITE_INSTANCE to an empty folder for the demo."
    )


def seed_conversations(config: Mapping[str, Any]) -> User:
    """Store the demo for the user of the terminal, and return the user.

    Raises InstanceNotEmptyError and stores nothing if the instance has conversations.
    """
    if db.session.scalar(select(Conversation.id).limit(1)) is not None:
        raise InstanceNotEmptyError
    transcripts = load_transcripts()
    user = users.get_or_create_by_token(terminal_links.terminal_token(config["INSTANCE"]))
    public_ids = _store_transcripts(user, transcripts, config)
    for transcript in transcripts:
        if transcript.has_flag("shared"):
            shares.create(conversations.get(user, public_ids[transcript.name]), "month")
    trash.move_to_trash(
        user, [public_ids[transcript.name] for transcript in transcripts if transcript.has_flag("trashed")]
    )
    personas.create(user, REVIEWER_SETTINGS, ModelChoice())
    return user


def _store_transcripts(user: User, transcripts: list[Transcript], config: Mapping[str, Any]) -> dict[str, str]:
    """Store the conversations. Return their public ids by the names of their files."""
    catalog_config, created_at, user_id = catalog.read_catalog_config(config), utcnow(), user.id
    imported = {
        transcript.name: build_imported_conversation(transcript, catalog_config, created_at)
        for transcript in transcripts
    }
    with write_transaction() as tx:
        for name, color in TAG_COLORS.items():
            import_tags.ensure_tag(tx, user_id, name, color=color, created_at=created_at)
        import_store.insert_conversations(tx, user_id, list(imported.values()))
    return {name: conversation.public_id or "" for name, conversation in imported.items()}
