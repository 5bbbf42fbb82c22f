"""Reading of an uploaded file as an import does it, without a database, and what the conversations in it show."""

from __future__ import annotations

import io
import json

from chatsite.errors import (
    ChatsiteError,
    UnreadableError,
)
from chatsite.models import Role
from chatsite.services.transfer.files import file_records
from chatsite.services.transfer.files.archives import Upload
from chatsite.services.transfer.formats import detect
from chatsite.services.transfer.message_ordering import ImportedConversation

MAX_UNPACKED_BYTES = 50_000_000


def read_file(
    data: object, name: str = "file.json", max_bytes: int = MAX_UNPACKED_BYTES
) -> list[ImportedConversation | ChatsiteError]:
    """Read a file, and return the conversations in it, and what is said about the other parts."""
    content = data if isinstance(data, bytes) else json.dumps(data).encode()
    found: list[ImportedConversation | ChatsiteError] = []
    for record in file_records.iter_records(Upload(io.BytesIO(content), name, len(content), max_bytes)):
        try:
            found.append(detect.parse_record(record))
        except UnreadableError as error:
            found.append(error)
    return found


def read_one(data: object, name: str = "file.json") -> ImportedConversation:
    """Return the only conversation of a file."""
    [conversation] = read_file(data, name)
    assert isinstance(conversation, ImportedConversation), conversation
    return conversation


def shown(conversation: ImportedConversation) -> list[tuple[str, str]]:
    """List the roles and texts of the active branch, by a walk of its own."""
    branch, last = [], None
    for message in conversation.messages:
        if message.is_active and message.parent_key == last:
            branch.append((message.role.value if message.role else "", message.text))
            last = message.source_key
    return branch


def models(conversation: ImportedConversation) -> list[str | None]:
    """List the model of each answer."""
    return [
        message.generations[-1]["model"] if message.generations else None
        for message in conversation.messages
        if message.role is Role.ASSISTANT
    ]
