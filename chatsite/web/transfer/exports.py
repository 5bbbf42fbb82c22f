"""Exports: one conversation or everything of a user, as a file that is streamed while it is created."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from flask import Blueprint, Response, render_template, request
from flask_babel import gettext

from chatsite.models import Conversation, User
from chatsite.services.chat import conversations
from chatsite.services.transfer.exports import export_json, export_markdown
from chatsite.services.transfer.exports.export_markdown import AuthorLabels
from chatsite.services.transfer.exports.file_names import DEFAULT_NAME, title_to_name
from chatsite.web.core.identity import current_user, get_conversation
from chatsite.web.core.page_view import PageView
from chatsite.web.transfer.file_responses import stream_file
from chatsite.web.transfer.html_archive import export_html

bp = Blueprint("exports", __name__)

ExportWriter = Callable[[int, int | None], Iterator[str | bytes]]


@dataclass(frozen=True)
class ExportFormat:
    """The kind of a file, and what writes it: for a user id, everything or the conversation with the other id."""

    suffix: str
    mimetype: str
    write: ExportWriter


@dataclass(frozen=True, kw_only=True)
class ExportPage(PageView):
    """The export formats, for everything or for the `conversation`."""

    has_conversations: bool = True


@bp.get("/export")
def index() -> Response | str:
    """Show the export formats for everything; with `?format=`, send the file. Raises TooManyExportsError."""
    user = current_user()
    if user and request.args.get("format") in FORMATS:
        return _file_response(user, None, "chatsite")
    return render_template("exports/index.html", view=ExportPage(has_conversations=bool(user)))


@bp.get("/conversations/<public_id>/export")
def show(public_id: str) -> Response | str:
    """Show the export formats for a conversation; with `?format=`, send the file.

    Raises ConversationNotFoundError, TemporaryChatError, TooManyExportsError.
    """
    conversation = get_conversation(public_id)
    conversations.require_permanent(conversation)
    if request.args.get("format") in FORMATS:
        return _file_response(conversation.user, conversation, conversation.title)
    view = ExportPage(conversation=conversation)
    return render_template("exports/index.html", view=view)


def _file_response(user: User, conversation: Conversation | None, title: str) -> Response:
    """Stream the file in the format `?format=`; records are read only as fast as the client takes them.

    Raises TooManyExportsError.
    """
    export_format = FORMATS[request.args["format"]]
    if conversation is None:
        export_format = ARCHIVE_FORMATS.get(request.args["format"], export_format)
    pieces = export_format.write(user.id, conversation.id if conversation else None)
    response = stream_file(pieces, export_format.mimetype)
    response.headers["Content-Disposition"] = _content_disposition(title, export_format.suffix)
    response.headers["Cache-Control"] = "no-store"
    return response


def _content_disposition(title: str, suffix: str) -> str:
    """Return the header that saves the file under its title; old clients get the ASCII part of the name."""
    name = title_to_name(title)
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().strip() or DEFAULT_NAME
    return f"attachment; filename=\"{ascii_name}.{suffix}\"; filename*=UTF-8''{quote(f'{name}.{suffix}', safe='')}"


def _author_labels() -> AuthorLabels:
    return AuthorLabels(user=gettext("You"), assistant=gettext("Assistant"))


def _export_markdown(user_id: int, conversation_id: int | None) -> Iterator[str]:
    return export_markdown.export_conversation(user_id, _author_labels(), conversation_id or 0)


def _export_markdown_archive(user_id: int, _: int | None) -> Iterator[bytes]:
    return export_markdown.export_archive(user_id, _author_labels())


FORMATS = {
    "html": ExportFormat("html", "text/html", export_html),
    "markdown": ExportFormat("md", "text/markdown", _export_markdown),
    "json": ExportFormat("json", "application/json", export_json.export),
}
# What has another form for everything than for one conversation.
ARCHIVE_FORMATS = {"markdown": ExportFormat("zip", "application/zip", _export_markdown_archive)}
