"""Keyboard shortcuts: one table for the page that lists them and for the elements that they activate."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Flask, has_request_context, request
from flask_babel import gettext
from markupsafe import Markup

from chatsite.errors import gettext_noop
from chatsite.web.core.preferences import current_preferences

MAIN_MODIFIER = "Mod"
# Key labels that differ from the names of the keys; keys of a Mac have symbols instead of words.
KEYCAPS = {
    "Mod": gettext_noop("Ctrl"),
    "Shift": gettext_noop("Shift"),
    "Enter": gettext_noop("Enter"),
    "Escape": gettext_noop("Esc"),
    "Alt": gettext_noop("Alt"),
}
KEYCAPS |= {"Home": gettext_noop("Home"), "End": gettext_noop("End"), "ArrowUp": "↑", "ArrowDown": "↓"}
MAC_KEYCAPS = KEYCAPS | {"Mod": "⌘", "Shift": "⇧", "Alt": "⌥", "Enter": "↩"}


@dataclass(frozen=True)
class Shortcut:
    """Keys and their action. `keys` has the syntax of `aria-keyshortcuts`; Mod is Control, or Command on a Mac.

    A shortcut with a `name` activates the element that a template marks with `{{ shortcut_attrs(name) }}`. The others
    describe what browsers or our scripts do without such a mark.
    """

    keys: str
    description: str
    name: str = ""


GLOBAL_SHORTCUTS = (
    Shortcut("Mod+K", gettext_noop("Search or jump to…"), "palette"),
    Shortcut("Mod+Shift+O", gettext_noop("New chat"), "new"),
    Shortcut("Mod+Shift+C", gettext_noop("Copy the last answer"), "copy"),
    Shortcut("Mod+Shift+X", gettext_noop("Copy the last code block"), "copy_code"),
    Shortcut("Mod+B", gettext_noop("Show or hide the sidebar"), "sidebar"),
    Shortcut("Mod+/", gettext_noop("Show these shortcuts"), "shortcuts"),
    Shortcut("Escape", gettext_noop("Close or cancel"), "leave"),
    Shortcut("Escape", gettext_noop("Stop the answer"), "stop"),
)
CONVERSATION_SHORTCUTS = (
    # Arrows with Alt go back and forth in browsers only sideways, and screen readers use none of these. In a field with
    # text they move the cursor on a Mac, and are left to it.
    Shortcut("Alt+ArrowUp Alt+ArrowDown", gettext_noop("Previous or next message")),
    Shortcut("Alt+, Alt+.", gettext_noop("Previous or next version of the message")),
    # No key of Chromium or Firefox; the script that shows the button for it listens.
    Shortcut("Mod+Shift+U", gettext_noop("Quote the selected part of an answer")),
    Shortcut("Mod+F", gettext_noop("Search a long chat"), "search_chat"),
    Shortcut("F2", gettext_noop("Rename the chat"), "rename"),
)
LIST_SHORTCUTS = (
    Shortcut("ArrowUp ArrowDown", gettext_noop("Previous or next item")),
    Shortcut("Home End", gettext_noop("First or last item")),
    Shortcut("Enter", gettext_noop("Open")),
)
COMPOSER_SHORTCUTS = {
    "send": (
        Shortcut("Enter", gettext_noop("Send the message")),
        Shortcut("Shift+Enter", gettext_noop("New line")),
    ),
    "newline": (
        Shortcut("Mod+Enter", gettext_noop("Send the message")),
        Shortcut("Enter", gettext_noop("New line")),
    ),
}
ANY_COMPOSER_SHORTCUTS = (
    Shortcut("ArrowUp", gettext_noop("Edit the last question (in an empty box)")),
    Shortcut("Escape", gettext_noop("From the message box back to the chat")),
)
SHORTCUTS_BY_NAME = {each.name: each for each in (*GLOBAL_SHORTCUTS, *CONVERSATION_SHORTCUTS) if each.name}


def init_app(app: Flask) -> None:
    """Register the template global `shortcut_attrs`."""
    app.jinja_env.globals["shortcut_attrs"] = shortcut_attrs


def group_shortcuts() -> list[tuple[str, tuple[Shortcut, ...]]]:
    """Return the shortcuts under their headings, for the preferences of the request."""
    return [
        (gettext("Everywhere"), GLOBAL_SHORTCUTS),
        (gettext("While writing"), COMPOSER_SHORTCUTS[current_preferences().enter] + ANY_COMPOSER_SHORTCUTS),
        (gettext("In a chat"), CONVERSATION_SHORTCUTS),
        (gettext("In lists and menus"), LIST_SHORTCUTS),
    ]


def shortcut_attrs(name: str, announced: bool = True) -> Markup:
    """Return the HTML attributes that bind a shortcut to an element. No shortcut is a key that writes a character.

    If several elements share a shortcut, the last one wins; pass `announced=False` for the others so that screen
    readers announce the shortcut once. Raises KeyError for an unknown name.
    """
    shortcut = SHORTCUTS_BY_NAME[name]
    key_names = shortcut.keys.replace(MAIN_MODIFIER, "Meta" if _is_on_mac() else "Control")
    aria_attr = Markup(' aria-keyshortcuts="{}"').format(key_names) if announced else Markup()
    return Markup(' data-keys="{}"').format(key_names) + aria_attr


def split_keycaps(name_or_keys: str) -> list[list[str]]:
    """Return the key labels of a shortcut by its name, or of keys: one list of labels for each way to press it."""
    shortcut = SHORTCUTS_BY_NAME.get(name_or_keys)
    keycaps = MAC_KEYCAPS if _is_on_mac() else KEYCAPS
    combinations = (shortcut.keys if shortcut else name_or_keys).split()
    return [
        [gettext(keycaps[key]) if key in keycaps else key for key in combination.split("+")]
        for combination in combinations
    ]


def _is_on_mac() -> bool:
    """Return whether the keyboard has a Command key: on a Mac, an iPad or an iPhone."""
    return has_request_context() and "Mac OS X" in request.user_agent.string
