"""The documentation of the settings, made from the settings."""

from __future__ import annotations

from collections.abc import Callable

from chatsite.errors import gettext_noop
from chatsite.settings import ROOT, SETTINGS

TITLE = gettext_noop("Settings")
INTRODUCTION = gettext_noop(
    "Every setting is an environment variable, and all are optional. `chatsite settings` makes this page."
)
LISTENING = gettext_noop("`HOST` (127.0.0.1) and `PORT` (8000) set the address of the site.")
COLUMNS = (gettext_noop("Variable"), gettext_noop("Default"), gettext_noop("Description"))
NO_DEFAULT = gettext_noop("(none)")


def render_settings_page(translate: Callable[[str], str] = str) -> str:
    """Return the text of docs/settings.md; `translate` turns it into another language."""
    head = f"# {translate(TITLE)}\n\n{translate(INTRODUCTION)}\n\n{translate(LISTENING)}\n\n"
    table = f"| {' | '.join(translate(column) for column in COLUMNS)} |\n| --- | --- | --- |\n"
    rows = (
        f"| `{setting.environment_variable}` | {_portable_default(setting.default) or translate(NO_DEFAULT)}"
        f" | {translate(setting.help)} |\n"
        for setting in SETTINGS
    )
    return head + table + "".join(rows)


def _portable_default(text: str) -> str:
    """Format a default so that it is right on every machine."""
    path = text.replace(str(ROOT), ".")
    return f"`{path}`" if path else ""
