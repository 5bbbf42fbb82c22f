"""Actions of the palette: pages to open, actions on the open conversation, themes and languages.

The words to find them by are translated, and the English ones are known in every language.
"""

from __future__ import annotations

from collections.abc import Iterator

from flask import url_for
from flask_babel import get_locale, gettext

from chatsite.errors import gettext_noop
from chatsite.models import Conversation
from chatsite.services.chat import generations
from chatsite.settings import LANGUAGES
from chatsite.web.core.htmx import htmx_headers
from chatsite.web.core.palette_items import PaletteItem
from chatsite.web.core.preferences import current_preferences
from chatsite.web.core.shortcuts import split_keycaps

# Title, endpoint, icon, and additional words to find the page by.
NAVIGATION = (
    (gettext_noop("New chat"), "conversations.new", "compose", gettext_noop("conversation start begin")),
    (gettext_noop("Search"), "search.index", "search", gettext_noop("find look for")),
    (gettext_noop("Overview"), "overview.show", "overview", gettext_noop("everything")),
    (
        gettext_noop("All chats"),
        "conversations.index",
        "list",
        gettext_noop("conversations select many bulk history delete all"),
    ),
    (gettext_noop("Archived"), "archive.index", "archive", gettext_noop("archived chats conversations")),
    (gettext_noop("Trash"), "trash.index", "delete", gettext_noop("bin deleted restore empty delete all")),
    (gettext_noop("Tags"), "tags.index", "tag", gettext_noop("labels folders colors")),
    (gettext_noop("Models"), "models.index", "models", gettext_noop("download pull remove")),
    (gettext_noop("Personas"), "personas.index", "persona", gettext_noop("system prompt instructions assistants")),
    (gettext_noop("Shared links"), "shares.index", "share", gettext_noop("links public")),
    (gettext_noop("Export"), "exports.index", "download", gettext_noop("download backup save everything")),
    (gettext_noop("Import"), "imports.index", "upload", gettext_noop("upload chatgpt claude")),
    (
        gettext_noop("Settings"),
        "user_settings.show",
        "settings",
        gettext_noop("preferences options theme language enter instructions delete"),
    ),
    (
        gettext_noop("Delete everything"),
        "user_data.confirm_deletion",
        "close",
        gettext_noop("erase data remove"),
    ),
    (
        gettext_noop("Forget this browser"),
        "user_data.confirm_forgetting",
        "temporary",
        gettext_noop("sign log out"),
    ),
    (gettext_noop("Keyboard shortcuts"), "shortcuts.show", "keyboard", gettext_noop("keys help hotkeys")),
)
SHORTCUT_BY_ENDPOINT = {"conversations.new": "new", "shortcuts.show": "shortcuts"}
# Title, the elements of the page of which the last one is clicked, icon, words and shortcut.
STOP_ACTION = (gettext_noop("Stop the answer"), ".stop", "stop", gettext_noop("cancel end"), "stop")
MESSAGE_ACTIONS = (
    (gettext_noop("Copy the last answer"), "#thread .copy-message", "copy", gettext_noop("clipboard"), "copy"),
    (
        gettext_noop("Copy the last code block"),
        "#thread .message-assistant figure .copy",
        "copy",
        gettext_noop("clipboard"),
        "copy_code",
    ),
    (gettext_noop("Edit the last question"), "#thread .edit-button", "rename", gettext_noop("change reword"), ""),
    (
        gettext_noop("Regenerate the last answer"),
        "#thread .regenerate-button",
        "retry",
        gettext_noop("again redo"),
        "",
    ),
)
# Title, endpoint, icon and words for the open conversation. Temporary chats cannot be shared, exported or tagged.
CONVERSATION_PAGES = (
    (gettext_noop("Share this chat"), "shares.new", "share", gettext_noop("link publish")),
    (gettext_noop("Export this chat"), "exports.show", "download", gettext_noop("download markdown json save")),
    (gettext_noop("Print this chat"), "printing.show", "print", gettext_noop("paper pdf")),
    (gettext_noop("Rename this chat"), "conversations.edit", "rename", gettext_noop("title name")),
    (gettext_noop("Tag this chat"), "tags.show", "tag", gettext_noop("label")),
)
CONVERSATION_SETTINGS = (
    (
        gettext_noop("Chat settings"),
        "settings.show",
        "settings",
        gettext_noop("instructions persona parameters"),
    ),
)
# Actions without a page of their own, by the current state: title, endpoint, icon, and method.
PIN_ACTIONS = {
    False: (gettext_noop("Pin this chat"), "archive.pin", "pin", ""),
    True: (gettext_noop("Unpin this chat"), "archive.unpin", "unpin", "DELETE"),
}
ARCHIVE_ACTIONS = {
    False: (gettext_noop("Archive this chat"), "archive.archive", "archive", ""),
    True: (gettext_noop("Unarchive this chat"), "archive.unarchive", "archive", "DELETE"),
}
DELETE_ACTION = (gettext_noop("Delete this chat"), "conversations.destroy", "delete", "DELETE")
THEMES = (
    ("light", gettext_noop("Light theme"), gettext_noop("theme mode bright day white")),
    ("dark", gettext_noop("Dark theme"), gettext_noop("theme mode night black")),
    ("auto", gettext_noop("Theme: system setting"), gettext_noop("theme mode automatic system")),
)


def list_actions(conversation: Conversation | None, return_url: str) -> list[PaletteItem]:
    """List all actions, first the ones for the open conversation; `return_url` is the page behind the palette."""
    return [
        *_conversation_actions(conversation),
        *_navigation_items(),
        *_theme_items(return_url),
        *_language_items(return_url),
    ]


def _conversation_actions(conversation: Conversation | None) -> Iterator[PaletteItem]:
    if conversation is None:
        return
    if htmx_headers().wants_fragment:
        yield from _message_actions(conversation)
    public_id, is_permanent = conversation.public_id, conversation.expires_at is None
    for title, endpoint, icon, keywords in (
        (*CONVERSATION_PAGES, *CONVERSATION_SETTINGS) if is_permanent else CONVERSATION_SETTINGS
    ):
        url, opens_sheet = url_for(endpoint, public_id=public_id), endpoint != "printing.show"
        yield PaletteItem(gettext(title), url, icon, _words(title, keywords), opens_sheet=opens_sheet)
    immediate_actions = (
        (PIN_ACTIONS[conversation.pinned], ARCHIVE_ACTIONS[conversation.archived_at is not None], DELETE_ACTION)
        if is_permanent
        else ()
    )
    for title, endpoint, icon, method in immediate_actions:
        url = url_for(endpoint, public_id=public_id) + (f"?_method={method}" if method else "")
        yield PaletteItem(gettext(title), url, icon, title, form_fields={})


def _message_actions(conversation: Conversation) -> Iterator[PaletteItem]:
    """Yield what the page behind the palette can do with its last messages; only its scripts can."""
    is_answering = generations.has_answer_in_progress(conversation.id)
    for title, clicks, icon, keywords, shortcut in (STOP_ACTION,) if is_answering else MESSAGE_ACTIONS:
        keycaps = split_keycaps(shortcut) if shortcut else []
        yield PaletteItem(gettext(title), "", icon, _words(title, keywords), keycaps, clicks=clicks)


def _words(*texts: str) -> str:
    return " ".join((*texts, *map(gettext, texts)))


def _navigation_items() -> Iterator[PaletteItem]:
    for title, endpoint, icon, keywords in NAVIGATION:
        yield PaletteItem(gettext(title), url_for(endpoint), icon, _words(title, keywords), _keycaps_of(endpoint))
        if endpoint == "conversations.new":
            url = url_for(endpoint, temporary=1)
            keywords = _words(gettext_noop("Temporary chat"), gettext_noop("incognito private secret"))
            yield PaletteItem(gettext("Temporary chat"), url, "temporary", keywords)


def _keycaps_of(endpoint: str) -> list[list[str]]:
    shortcut = SHORTCUT_BY_ENDPOINT.get(endpoint)
    return split_keycaps(shortcut) if shortcut else []


def _theme_items(return_url: str) -> Iterator[PaletteItem]:
    for theme, title, keywords in THEMES:
        if theme != current_preferences().theme:
            form_fields = {"theme": theme, "next": return_url}
            yield PaletteItem(
                gettext(title), url_for("preferences.create"), "theme", _words(title, keywords), form_fields=form_fields
            )


def _language_items(return_url: str) -> Iterator[PaletteItem]:
    for code, name in LANGUAGES.items():
        if code != str(get_locale()):
            form_fields = {"language": code, "next": return_url}
            yield PaletteItem(name, url_for("preferences.create"), "globe", _words("language"), form_fields=form_fields)
