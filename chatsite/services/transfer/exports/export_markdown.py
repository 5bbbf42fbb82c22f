"""Export as Markdown, to be read or edited elsewhere: the active branch of each conversation.

A conversation is a file with its properties at the top, as Obsidian reads them. Each message has a heading with who
wrote it, and above that a comment with its id, origin, role and time, which no program shows and by which an import
recognizes the message and tells the heading from those of the text. The same rows always give the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from chatsite.models import Role
from chatsite.rendering.open_blocks import close_open_blocks
from chatsite.services.transfer.exports import export_queries, zip_stream
from chatsite.services.transfer.exports.export_rows import ConversationRow, MessageRow
from chatsite.services.transfer.exports.file_names import UniqueNames

_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~$])")
_NOT_IN_TAGS = re.compile(r"[^\w/-]+")
# YAML wants these escaped, which JSON does not do.
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_MARKER_IN_TEXT = re.compile(r"^<!-- message (?=\{)", re.MULTILINE)


@dataclass(frozen=True)
class AuthorLabels:
    """What messages of the user are headed with, and answers of which neither model nor product is known."""

    user: str
    assistant: str


def export_conversation(user_id: int, labels: AuthorLabels, conversation_id: int) -> Iterator[str]:
    """Yield one conversation as Markdown, in pieces."""
    for conversation in export_queries.iter_conversations(user_id, conversation_id):
        yield from _iter_pieces(conversation, labels)


def export_archive(user_id: int, labels: AuthorLabels) -> Iterator[bytes]:
    """Yield a zip archive with a file for each conversation of a user, in pieces."""
    return zip_stream.iter_archive(_iter_files(user_id, labels))


def _iter_files(user_id: int, labels: AuthorLabels) -> Iterator[zip_stream.ArchiveFile]:
    names = UniqueNames()
    for conversation in export_queries.iter_conversations(user_id):
        row = conversation.row
        name = names.make_name(row.title, row.public_id)
        yield zip_stream.ArchiveFile(f"{name}.md", row.updated_at, _iter_pieces(conversation, labels))


def _iter_pieces(conversation: ConversationRow, labels: AuthorLabels) -> Iterator[str]:
    row = conversation.row
    yield _front_matter(conversation, export_queries.list_branch_models(row.id))
    yield f"\n# {_escape(row.title)}\n"
    if row.instructions:
        yield "\n" + "".join(f"> {line}\n" for line in row.instructions.splitlines())
    labels = AuthorLabels(labels.user, conversation.product or labels.assistant)
    for message in export_queries.iter_branch(row.id):
        yield _message_section(message, labels)


def _front_matter(conversation: ConversationRow, models: Sequence[str]) -> str:
    """Return the properties of a conversation; the ones that it does not have are left out."""
    row = conversation.row
    properties = {
        "title": _to_yaml(row.title),
        "created": _format_datetime(row.created_at),
        "updated": _format_datetime(row.updated_at),
        "tags": _to_yaml_list([_to_tag(name) for name in conversation.tags]),
        "models": _to_yaml_list(models),
        "source": _to_yaml(row.origin) if row.origin else "",
        "id": _to_yaml(row.public_id),
    }
    return "---\n" + "".join(f"{name}: {value}\n" for name, value in properties.items() if value) + "---\n"


def _message_section(message: MessageRow, labels: AuthorLabels) -> str:
    row = message.row
    author = labels.user if row.role is Role.USER else message.model or labels.assistant
    marker = {"id": row.public_id, "role": row.role.value, "created": row.created_at.isoformat()}
    if message.model:
        marker["model"] = message.model
    if row.origin:
        marker["source"] = row.origin
    marker_text = json.dumps(marker, ensure_ascii=False).replace(">", "\\u003e")
    # A text that contains such a comment itself gets a second space, which nobody sees.
    text = close_open_blocks(_MARKER_IN_TEXT.sub("<!-- message  ", message.text))
    heading = f"## {_escape(author)} · {row.created_at:%Y-%m-%d %H:%M} UTC"
    return f"\n<!-- message {marker_text} -->\n{heading}\n\n{text}\n"


def _escape(text: str) -> str:
    return _MARKS.sub(r"\\\1", " ".join(text.split()))


def _to_tag(name: str) -> str:
    """Return the name of a tag as Obsidian takes it: without spaces and marks, and not only digits."""
    tag = _NOT_IN_TAGS.sub("-", name).strip("-/")
    return f"_{tag}" if tag.isdecimal() else tag


def _to_yaml(value: str) -> str:
    """Return a text as YAML in quotes, which is JSON with a few more escapes."""
    escaped = _NOT_IN_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False))
    return escaped.encode("utf-8", "replace").decode()


def _to_yaml_list(values: Sequence[str]) -> str:
    unique = dict.fromkeys(value for value in values if value)
    return f"[{', '.join(map(_to_yaml, unique))}]" if unique else ""


def _format_datetime(value: datetime) -> str:
    """Return a time in UTC as Obsidian reads it, which knows no time zones."""
    return value.strftime("%Y-%m-%dT%H:%M:%S")
