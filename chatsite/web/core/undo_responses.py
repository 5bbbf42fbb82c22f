"""Responses to changes: a toast that says what was done, with Undo."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import urlencode

from flask import flash, get_flashed_messages, redirect, render_template, request
from flask_babel import gettext, ngettext
from werkzeug.wrappers import Response

from chatsite.models import Undo
from chatsite.services import undo as undo_records
from chatsite.web.core.htmx import COLUMN_ID, htmx_headers, htmx_response
from chatsite.web.core.identity import current_user
from chatsite.web.core.open_conversation import (
    ConversationMenu,
    find_open_conversation,
    load_menu,
    open_conversation_id,
)

# Lists that receive this event load their rows again.
LIST_CHANGED = {"chat:list-changed": {"target": "body"}}
GO_BACK = {"chat:go-back": {"target": "body"}}


@dataclass(frozen=True)
class Toast:
    """A sentence about a change, with `undo` if the change can be undone.

    It takes the focus with `has_focus`: that of the button that it replaces.
    """

    text: str
    undo: Undo | None = None
    has_focus: bool = False


@dataclass(frozen=True)
class ChangedView:
    """The response to a change: the toast, and the menu of the open conversation, if any."""

    toast: Toast
    menu: ConversationMenu | None


def find_offered_toast() -> Toast | None:
    """Return the toast for what was saved with the last request, or for the change in `?undo=` if it can be undone."""
    for text in get_flashed_messages():
        return Toast(str(text))
    undo_id = request.args.get("undo")
    undo = undo_records.find_undoable(current_user(), undo_id) if undo_id else None
    return Toast(describe_undo(undo), undo) if undo else None


def describe_undo(undo: Undo) -> str:
    """Return a sentence that says what the change did."""
    count = len(undo.previous)
    if count > 1:
        return _describe_many(undo.action, count)
    if undo.action == "delete":
        return str(gettext("“%(title)s” moved to trash.", title=undo_records.find_title(undo)))
    sentences = {
        "rename": gettext("Renamed."),
        "pin": gettext("Pinned."),
        "unpin": gettext("Unpinned."),
        "archive": gettext("Archived."),
        "unarchive": gettext("Unarchived."),
        "restore": gettext("Restored."),
        "tag": gettext("Tags updated."),
        "edit_tag": gettext("Tag updated."),
        "delete_tag": gettext("Tag deleted."),
        "delete_persona": gettext("Persona deleted."),
    }
    return str(sentences[undo.action])


def _describe_many(verb: str, count: int) -> str:
    sentences = {
        "pin": ngettext("%(num)s chat pinned.", "%(num)s chats pinned.", count),
        "unpin": ngettext("%(num)s chat unpinned.", "%(num)s chats unpinned.", count),
        "archive": ngettext("%(num)s chat archived.", "%(num)s chats archived.", count),
        "unarchive": ngettext("%(num)s chat unarchived.", "%(num)s chats unarchived.", count),
        "delete": ngettext("%(num)s chat deleted.", "%(num)s chats deleted.", count),
        "restore": ngettext("%(num)s chat restored.", "%(num)s chats restored.", count),
        "tag": ngettext("Tags of %(num)s chat updated.", "Tags of %(num)s chats updated.", count),
    }
    return str(sentences[verb])


def undo_response(undo: Undo, return_url: str) -> Response:
    """Return the toast with Undo for htmx, or redirect to `return_url`, where the toast is shown.

    htmx is redirected too if the change removed the open conversation.
    """
    url = f"{return_url}{'&' if '?' in return_url else '?'}{urlencode({'undo': undo.public_id})}"
    if not _stays_on_page():
        return redirect(url, code=303)
    if open_conversation_id() and find_open_conversation() is None:
        return column_response(url)
    return toast_response(describe_undo(undo), undo)


def saved_response(text: str, return_url: str) -> Response:
    """Say `text` in a toast for htmx, which closes an open sheet, or redirect to `return_url`, where it is said."""
    if _stays_on_page():
        return toast_response(text)
    flash(text)
    return redirect(return_url, code=303)


def column_response(url: str) -> Response:
    """Have htmx exchange the column for the page at `url`."""
    headers = {"HX-Target": f"div#{COLUMN_ID}"}
    location = {"path": url, "target": f"#{COLUMN_ID}", "swap": "outerHTML settle:0", "headers": headers}
    response = htmx_response("", trigger=LIST_CHANGED)
    response.headers["HX-Location"] = json.dumps(location)
    return response


def _stays_on_page() -> bool:
    return htmx_headers().wants_fragment or htmx_headers().wants_sheet


def toast_response(
    text: str, undo: Undo | None = None, *, goes_back: bool = False, has_focus: bool = False
) -> Response:
    """Build the htmx response to a change: a toast with Undo, updated parts of the page head, and `list-changed`.

    Without `undo` the toast has no button. Lists that receive the event `chat:list-changed` load their rows again. With
    `goes_back` the browser returns to the page before, with `has_focus` the sentence takes the focus.
    """
    conversation = find_open_conversation()
    view = ChangedView(Toast(text, undo, has_focus), load_menu(conversation) if conversation else None)
    return htmx_response(
        render_template("undo/changed.partials.html", view=view), trigger=LIST_CHANGED | (GO_BACK if goes_back else {})
    )
