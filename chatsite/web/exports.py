"""Exports: a conversation, or everything, as a file that streams while it is made."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from flask import Blueprint, Response, current_app, render_template, request, stream_with_context
from flask_babel import get_locale, gettext

from chatsite.models import Conversation, Role, User
from chatsite.rendering import archive
from chatsite.services import conversations
from chatsite.services.transfer import markdown, reading, writing
from chatsite.services.transfer.reading import Line
from chatsite.web.access import get_conversation, visitor
from chatsite.web.answers import blocks
from chatsite.web.assets import join
from chatsite.web.fragments import sidebar
from chatsite.web.i18n import moment

bp = Blueprint("exports", __name__)

# A client is sent no less at a time.
PIECE_CHARS = 64 * 1024
NAME_CHARS = 80
FONT = re.compile(r"@font-face ?\{.*?\}", re.DOTALL)
NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]+')

Writer = Callable[[int, int | None], Iterator[str]]


@bp.get("/export")
def index() -> Response | str:
    """What everything can be exported as; with `?format=`, the file."""
    user = visitor()
    if user and request.args.get("format") in FORMATS:
        return _file(user, None, "chatsite")
    return render_template("exports/index.html", conversation=None, sidebar=sidebar(), anything=bool(user))


@bp.get("/conversations/<public_id>/export")
def show(public_id: str) -> Response | str:
    """What a conversation can be exported as; with `?format=`, the file. Raises TemporaryChatError."""
    conversation = get_conversation(public_id)
    conversations.must_be_kept(conversation)
    if request.args.get("format") in FORMATS:
        return _file(conversation.user, conversation, conversation.title)
    page = sidebar(conversation)
    return render_template("exports/index.html", conversation=conversation, sidebar=page, anything=True)


def _file(user: User, conversation: Conversation | None, title: str) -> Response:
    """The file, which is made as fast as it is taken."""
    suffix, mimetype, write = FORMATS[request.args["format"]]
    pieces = write(user.id, conversation.id if conversation else None)
    response = Response(stream_with_context(_gathered(pieces)), mimetype=mimetype)
    response.headers["Content-Disposition"] = _disposition(title, suffix)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _disposition(title: str, suffix: str) -> str:
    """That the file is to be kept under its title; old clients get what of that is ASCII."""
    name = " ".join(NOT_IN_NAMES.sub(" ", title)[:NAME_CHARS].split()).strip(" .") or "chatsite"
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().strip() or "chatsite"
    return f"attachment; filename=\"{plain}.{suffix}\"; filename*=UTF-8''{quote(f'{name}.{suffix}', safe='')}"


def _gathered(pieces: Iterator[str]) -> Iterator[bytes]:
    """The same text in pieces that are worth sending."""
    held: list[str] = []
    length = 0
    for piece in pieces:
        held.append(piece)
        length += len(piece)
        if length >= PIECE_CHARS:
            yield "".join(held).encode("utf-8", "replace")
            held, length = [], 0
    yield "".join(held).encode("utf-8", "replace")


def _markdown(user_id: int, only: int | None) -> Iterator[str]:
    return markdown.export(user_id, gettext("You"), only)


def _html(user_id: int, only: int | None) -> Iterator[str]:
    """A document that looks like the site and needs it no more."""
    words = archive.Words(
        language=str(get_locale()),
        title=gettext("Conversations"),
        about=gettext("Everything here is in this file: it can be read and searched without a network."),
        search=gettext("Search"),
        contents=gettext("Conversations"),
        you=gettext("You"),
        answer=gettext("Answer"),
    )
    yield archive.beginning(words, _styles())
    for head in reading.heads(user_id, only):
        yield archive.entry(head.row.public_id, head.row.title, moment(head.row.created_at))
    yield archive.between()
    for head in reading.heads(user_id, only):
        yield archive.opened(head.row.public_id, head.row.title, " · ".join([moment(head.row.created_at), *head.tags]))
        for line in reading.branch(head.row.id):
            yield _said(line, words)
        yield archive.closed()
    yield archive.end()


def _said(line: Line, words: archive.Words) -> str:
    if line.row.role is Role.USER:
        return archive.question(line.row.text, words)
    model = line.runs[-1]["model"] if line.runs else None
    return archive.answer(blocks(line.row.text), " · ".join(filter(None, [model, moment(line.row.created_at)])), words)


@lru_cache(maxsize=1)
def _styles() -> str:
    """The site's style sheets without their font, which is no part of the file."""
    folder = Path(current_app.static_folder or "static")
    return FONT.sub("", join(folder, "app.css", str) + join(folder, "pages.css", str))


FORMATS: dict[str, tuple[str, str, Writer]] = {
    "html": ("html", "text/html", _html),
    "markdown": ("md", "text/markdown", _markdown),
    "json": ("json", "application/json", writing.export),
}
