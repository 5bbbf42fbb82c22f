"""Exports: one conversation or everything of a user, as a file that is streamed while it is created."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from flask import Blueprint, Response, current_app, render_template, request
from flask_babel import get_locale, gettext

from chatsite.i18n import format_datetime
from chatsite.models import Conversation, Role, User
from chatsite.rendering import html_export
from chatsite.rendering.process.render_budget import RenderBudget, export_budget
from chatsite.services.chat import conversations
from chatsite.services.transfer import export_json, export_markdown, export_queries
from chatsite.services.transfer.export_markdown import AuthorLabels
from chatsite.services.transfer.export_queries import MessageRow
from chatsite.services.transfer.file_names import DEFAULT_NAME, title_to_name
from chatsite.web.core.assets import build_bundle
from chatsite.web.core.blocks import render_blocks
from chatsite.web.core.identity import current_user, get_conversation
from chatsite.web.core.page_view import PageView
from chatsite.web.transfer.file_responses import stream_file

bp = Blueprint("exports", __name__)

FONT_FACE = re.compile(r"@font-face ?\{.*?\}", re.DOTALL)

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


def _export_html(user_id: int, conversation_id: int | None) -> Iterator[str]:
    """Yield an HTML document that looks like the site and works offline."""
    labels = html_export.ExportLabels(
        language=str(get_locale()),
        title=gettext("Conversations"),
        description=gettext("This file works offline, including search."),
        search=gettext("Search"),
        contents=gettext("Conversations"),
        user_heading=gettext("You"),
        answer_heading=gettext("Answer"),
    )
    budget = export_budget()
    yield html_export.document_start(labels, _site_styles())
    for header in export_queries.iter_conversations(user_id, conversation_id):
        yield html_export.toc_entry(header.row.public_id, header.row.title, format_datetime(header.row.created_at))
    yield html_export.toc_end()
    for header in export_queries.iter_conversations(user_id, conversation_id):
        yield html_export.conversation_start(
            header.row.public_id, header.row.title, " · ".join([format_datetime(header.row.created_at), *header.tags])
        )
        for row in export_queries.iter_branch(header.row.id):
            yield _render_message(row, header.product, labels, budget=budget)
        yield html_export.conversation_end()
    yield html_export.document_end()


def _render_message(
    row: MessageRow, product: str | None, labels: html_export.ExportLabels, *, budget: RenderBudget
) -> str:
    if row.row.role is Role.USER:
        return html_export.render_question(row.text, labels)
    byline = " · ".join(filter(None, [row.model or product, format_datetime(row.row.created_at)]))
    return html_export.render_answer(render_blocks(row.text, budget), byline, labels)


@lru_cache(maxsize=1)
def _site_styles() -> str:
    """Return the style sheets of the site without fonts, which are not embedded in the file."""
    folder = Path(current_app.static_folder or "static")
    return FONT_FACE.sub("", build_bundle(folder, "app.css", str))


FORMATS = {
    "html": ExportFormat("html", "text/html", _export_html),
    "markdown": ExportFormat("md", "text/markdown", _export_markdown),
    "json": ExportFormat("json", "application/json", export_json.export),
}
# What has another form for everything than for one conversation.
ARCHIVE_FORMATS = {"markdown": ExportFormat("zip", "application/zip", _export_markdown_archive)}
