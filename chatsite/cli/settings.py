"""The page about the settings, made from the settings."""

from __future__ import annotations

from chatsite.config import ROOT, SETTINGS

HEAD = """\
# Settings

Every setting is an environment variable; nothing has to be set. This page is made by `chatsite settings`.

`HOST` (127.0.0.1) and `PORT` (8000) say where the site listens.

| Variable | Default | What it is |
| --- | --- | --- |
"""


def page() -> str:
    """The whole of docs/settings.md."""
    return HEAD + "".join(
        f"| `{setting.variable}` | {_default(setting.default)} | {setting.help} |\n" for setting in SETTINGS
    )


def _default(text: str) -> str:
    """A default as a reader understands it on any machine."""
    path = text.replace(str(ROOT), ".")
    return f"`{path}`" if path else "none"
