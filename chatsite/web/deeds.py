"""What can be done here, as lines of the palette: the one table of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import url_for
from flask_babel import get_locale, gettext

from chatsite.errors import sentence
from chatsite.models import Conversation
from chatsite.services.search_query import Query
from chatsite.services.texts import fold
from chatsite.web.i18n import LANGUAGES
from chatsite.web.preferences import preferences


@dataclass(frozen=True)
class Line:
    """A line of the palette: what it says, where it leads, and its icon.

    `words` are others by which it is found, `shortcut` is the name of its keys. What `sends` something, if only the
    wish, is a form. `when` and `text` are those of a conversation or a message; `query` is what found the text.
    """

    title: str
    address: str
    icon: str
    words: str = ""
    shortcut: str = ""
    sends: Mapping[str, str] | None = None
    when: datetime | None = None
    text: str = ""
    query: Query | None = None

    def fits(self, typed: Sequence[str]) -> bool:
        """Whether each of the words that were typed, folded, begins one of its own."""
        own = fold(f"{self.title} {self.words}").split()
        return all(any(word.startswith(each) for word in own) for each in typed)


# The name of a place, where it is, its icon, and other words for it.
PLACES = (
    (sentence("New conversation"), "conversations.new", "new", sentence("chat start begin")),
    (sentence("Search"), "search.index", "search", sentence("find look for")),
    (sentence("Library"), "library.show", "library", sentence("everything")),
    (sentence("All conversations"), "conversations.index", "list", sentence("select many bulk history")),
    (sentence("Archived"), "shelves.index", "archive", sentence("archived conversations")),
    (sentence("Trash"), "trash.index", "delete", sentence("bin deleted restore")),
    (sentence("Tags"), "tags.index", "tag", sentence("labels folders colours")),
    (sentence("Models"), "models.index", "models", sentence("download pull remove")),
    (sentence("Personas"), "personas.index", "persona", sentence("system prompt instructions assistants")),
    (sentence("Shared pages"), "shares.index", "share", sentence("links public")),
    (sentence("Export"), "exports.index", "download", sentence("download backup save everything")),
    (sentence("Import"), "imports.index", "upload", sentence("upload chatgpt claude")),
    (sentence("Preferences"), "preferences.show", "settings", sentence("settings options theme language enter")),
    (sentence("Keyboard shortcuts"), "shortcuts.show", "keyboard", sentence("keys help hotkeys")),
)
SHORTCUTS = {"conversations.new": "new", "search.index": "search", "shortcuts.show": "shortcuts"}
# The same for what can be done with the conversation that is open; what is temporary is not shared, kept or sorted.
HERE = (
    (sentence("Share this conversation"), "shares.new", "share", sentence("link publish")),
    (sentence("Export this conversation"), "exports.show", "download", sentence("download markdown json save")),
    (sentence("Rename this conversation"), "conversations.edit", "rename", sentence("title name")),
    (sentence("Tag this conversation"), "tags.show", "tag", sentence("label")),
)
SETTINGS = (
    (sentence("Settings of this conversation"), "settings.show", "settings", sentence("instructions persona numbers")),
)
# What is done at once, each with the way to take it back.
PINNING = {
    False: (sentence("Pin this conversation"), "shelves.pin", "pin", ""),
    True: (sentence("Unpin this conversation"), "shelves.unpin", "unpin", "DELETE"),
}
SHELVING = {
    False: (sentence("Archive this conversation"), "shelves.archive", "archive", ""),
    True: (sentence("Take this conversation back into the list"), "shelves.unarchive", "archive", "DELETE"),
}
DELETING = (sentence("Delete this conversation"), "conversations.destroy", "delete", "DELETE")
THEMES = (
    ("light", sentence("Light colours"), sentence("theme mode bright day white")),
    ("dark", sentence("Dark colours"), sentence("theme mode night black")),
    ("auto", sentence("Colours as on this device"), sentence("theme mode automatic system")),
)


def deeds(here: Conversation | None, way_back: str) -> list[Line]:
    """All that can be done, first with the conversation that is open; `way_back` is the page one comes from."""
    return [*_here(here), *_places(), *_looks(way_back), *_languages(way_back)]


def _here(conversation: Conversation | None) -> Iterator[Line]:
    if conversation is None:
        return
    name, kept = conversation.public_id, conversation.expires_at is None
    for title, endpoint, icon, words in (*HERE, *SETTINGS) if kept else SETTINGS:
        yield Line(gettext(title), url_for(endpoint, public_id=name), icon, gettext(words))
    now = (PINNING[conversation.pinned], SHELVING[conversation.archived_at is not None], DELETING) if kept else ()
    for title, endpoint, icon, method in now:
        address = url_for(endpoint, public_id=name) + (f"?_method={method}" if method else "")
        yield Line(gettext(title), address, icon, sends={})


def _places() -> Iterator[Line]:
    for title, endpoint, icon, words in PLACES:
        yield Line(gettext(title), url_for(endpoint), icon, gettext(words), SHORTCUTS.get(endpoint, ""))
        if endpoint == "conversations.new":
            address = url_for(endpoint, temporary=1)
            yield Line(gettext("Temporary chat"), address, "temporary", gettext("incognito private secret"))


def _looks(way_back: str) -> Iterator[Line]:
    for theme, title, words in THEMES:
        if theme != preferences().theme:
            sends = {"theme": theme, "next": way_back}
            yield Line(gettext(title), url_for("preferences.create"), "theme", gettext(words), sends=sends)


def _languages(way_back: str) -> Iterator[Line]:
    for code, name in LANGUAGES.items():
        if code != str(get_locale()):
            sends = {"language": code, "next": way_back}
            yield Line(name, url_for("preferences.create"), "globe", gettext("language"), sends=sends)
