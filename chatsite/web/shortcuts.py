"""Shortcuts: one table, from which their page is made and the elements that they activate are marked."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, Flask, has_request_context, render_template, request
from flask_babel import gettext
from markupsafe import Markup

from chatsite.errors import sentence
from chatsite.web.fragments import fragment, sidebar
from chatsite.web.htmx import headers
from chatsite.web.preferences import preferences

bp = Blueprint("shortcuts", __name__)

MAIN = "Mod"
# What is printed on the keys, where it is not their name; on a Mac there are signs instead of words.
CAPS = {"Mod": sentence("Ctrl"), "Shift": sentence("Shift"), "Enter": sentence("Enter"), "Escape": sentence("Esc")}
CAPS |= {"Home": sentence("Home"), "End": sentence("End"), "ArrowUp": "↑", "ArrowDown": "↓"}
MAC_CAPS = CAPS | {"Mod": "⌘", "Shift": "⇧", "Enter": "↩"}


@dataclass(frozen=True)
class Shortcut:
    """What keys do. `keys` are as `aria-keyshortcuts` names them; Mod is Control, or Command on a Mac.

    One that has a `name` activates the element that a template marks with `{{ keys(name) }}`. The others are what
    browsers and our scripts do anyway.
    """

    keys: str
    meaning: str
    name: str = ""

    @property
    def single(self) -> bool:
        """Whether it is one key that writes something: these can be switched off."""
        return len(self.keys) == 1


EVERYWHERE = (
    Shortcut("Mod+K", sentence("Find a conversation, or anything else"), "palette"),
    Shortcut("Mod+Shift+O", sentence("New conversation"), "new"),
    Shortcut("/", sentence("Search"), "search"),
    Shortcut("C", sentence("Write a message"), "write"),
    Shortcut("Y", sentence("Copy the last answer"), "copy"),
    Shortcut("?", sentence("Show these shortcuts"), "shortcuts"),
    Shortcut("Escape", sentence("Close what is open, or give up what was begun"), "leave"),
)
IN_LISTS = (
    Shortcut("ArrowUp ArrowDown", sentence("To the line above or below")),
    Shortcut("Home End", sentence("To the first line or the last one")),
    Shortcut("Enter", sentence("Open it")),
)
WRITING = {
    "send": (
        Shortcut("Enter", sentence("Send the message")),
        Shortcut("Shift+Enter", sentence("Begin a new line")),
    ),
    "newline": (
        Shortcut("Mod+Enter", sentence("Send the message")),
        Shortcut("Enter", sentence("Begin a new line")),
    ),
}
AFTER_WRITING = (Shortcut("Escape", sentence("From the message back to the text")),)
BY_NAME = {each.name: each for each in EVERYWHERE if each.name}


def init_app(app: Flask) -> None:
    """Let templates mark what has a shortcut, and show its keys."""
    app.jinja_env.globals.update(keys=keys, caps=caps, shortcut_groups=groups)


@bp.get("/shortcuts")
def show() -> str:
    """All of them: for the dialog, or as a page."""
    if headers().wants_fragment:
        return fragment("shortcuts/_table.html")
    return render_template("shortcuts/show.html", sidebar=sidebar())


def groups() -> list[tuple[str, tuple[Shortcut, ...]]]:
    """The shortcuts under their headings, as they hold for whoever asks."""
    everywhere = tuple(each for each in EVERYWHERE if not (each.single and _singles_are_off()))
    return [
        (gettext("Everywhere"), everywhere),
        (gettext("While you write"), WRITING[preferences().enter] + AFTER_WRITING),
        (gettext("In lists and menus"), IN_LISTS),
    ]


def keys(name: str, told: bool = True) -> Markup:
    """The attributes by which a shortcut finds its element; nothing where the shortcut is switched off.

    Where several have the same one the last of them is meant; those do not tell it to those who listen.
    """
    shortcut = BY_NAME[name]
    if shortcut.single and _singles_are_off():
        return Markup()
    pressed = shortcut.keys.replace(MAIN, "Meta" if _on_mac() else "Control")
    heard = Markup(' aria-keyshortcuts="{}"').format(pressed) if told else Markup()
    return Markup(' data-keys="{}"').format(pressed) + heard


def caps(name_or_keys: str) -> list[list[str]]:
    """What is printed on the keys of a shortcut, or on keys: each way to press it is a list of keys."""
    shortcut = BY_NAME.get(name_or_keys)
    if shortcut and shortcut.single and _singles_are_off():
        return []
    printed = MAC_CAPS if _on_mac() else CAPS
    pressed = (shortcut.keys if shortcut else name_or_keys).split()
    return [[gettext(printed[key]) if key in printed else key for key in each.split("+")] for each in pressed]


def _singles_are_off() -> bool:
    return preferences().keys == "off"


def _on_mac() -> bool:
    """Whether the keyboard has a Command key: that of a Mac, an iPad or an iPhone."""
    return has_request_context() and "Mac OS X" in request.user_agent.string
