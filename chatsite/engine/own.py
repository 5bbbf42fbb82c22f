"""Models of the owner's own: a TOML file with one table for each.

    [my-model]
    hub = "somebody/some-model"         # or folder = "/path/to/a/folder"
    title = "My model"                  # the rest may be left out
    purpose = "Answers questions about our garden."
    licence = "Apache-2.0"

What the file does not say is unknown on the model's card. Texts are shown as they are written.
"""

from __future__ import annotations

import functools
import re
import tomllib
from pathlib import Path
from typing import Any, NoReturn

from chatsite.engine.entry import Entry, Folder, Hub
from chatsite.errors import ModelUnavailableError, sentence

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
LANGUAGE = re.compile(r"[a-z]{2,3}")
FAMILIES = ("chat", "blenderbot", "blenderbot-small", "continuation", "dialogue", "text-to-text")
TEXTS = ("title", "purpose", "licence", "terms", "training_data", "caution", "family", "revision", "hub", "folder")
NUMBERS = ("parameters", "context", "download")
KEYS = {*TEXTS, *NUMBERS, "languages"}


def read(file: Path | None, taken: frozenset[str]) -> tuple[Entry, ...]:
    """The models that a file describes; none when there is no file. It is read once by each process.

    `taken` are the names that it may not use. Raises ModelUnavailableError with what is wrong with it.
    """
    return _read(file, taken) if file else ()


@functools.lru_cache(maxsize=8)
def _read(file: Path, taken: frozenset[str]) -> tuple[Entry, ...]:
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        _refuse(file, f"it cannot be read ({error})")
    return tuple(_entry(file, name, table, taken) for name, table in tables.items())


def _entry(file: Path, name: str, table: Any, taken: frozenset[str]) -> Entry:
    if not isinstance(table, dict):
        _refuse(file, f"{name!r} stands outside of the table of a model, such as [my-model]")
    if name in taken or not NAME.fullmatch(name):
        _refuse(file, f"[{name}] is taken, or no name: it must be lower-case letters, digits, dots and hyphens")
    _check(file, name, table)
    title = table.get("title", name)
    return Entry(
        name=name,
        title=title,
        purpose=table.get("purpose", sentence("A model that this site's administrator chose.")),
        licence=table.get("licence", sentence("unknown")),
        terms=table.get("terms", ""),
        parameters=table.get("parameters", 0),
        training_data=table.get("training_data", sentence("unknown")),
        languages=tuple(table.get("languages", ())),
        context=table.get("context", 0),
        family=table.get("family", ""),
        caution=table.get("caution", sentence("Nothing is known here about its quality.")),
        source=_source(file, name, table),
        download=table.get("download", 0),
    )


def _check(file: Path, name: str, table: dict[str, Any]) -> None:
    """Refuse what no model has, and values of another kind."""
    for key, value in table.items():
        if key not in KEYS:
            _refuse(file, f"[{name}] has the key {key!r}; a model has {', '.join(sorted(KEYS))}")
        if key in TEXTS and not (isinstance(value, str) and value.strip()):
            _refuse(file, f"{key} of [{name}] must be a text")
        if key in NUMBERS and not (type(value) is int and value >= 0):
            _refuse(file, f"{key} of [{name}] must be a whole number, 0 or larger")
    languages = table.get("languages", [])
    if not isinstance(languages, list) or not all(
        isinstance(code, str) and LANGUAGE.fullmatch(code) for code in languages
    ):
        _refuse(file, f'languages of [{name}] must be a list of codes such as ["en", "es"]')
    if table.get("family", FAMILIES[0]) not in FAMILIES:
        _refuse(file, f"family of [{name}] must be one of {', '.join(FAMILIES)}")


def _source(file: Path, name: str, table: dict[str, Any]) -> Hub | Folder:
    """Where the weights are. A relative folder counts from where the file is."""
    if ("hub" in table) == ("folder" in table):
        _refuse(file, f"[{name}] needs either a folder or a hub repository")
    if "folder" in table:
        return Folder((file.parent / Path(table["folder"]).expanduser()).resolve())
    if not REPOSITORY.fullmatch(table["hub"]):
        _refuse(file, f'hub of [{name}] must be a repository such as "owner/name"')
    return Hub(table["hub"], table.get("revision", "main"))


def _refuse(file: Path, reason: str) -> NoReturn:
    raise ModelUnavailableError(reason=f"{file} is not what it should be: {reason}.")
