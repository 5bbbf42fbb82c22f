"""What models exist and what may be said about them: the facts behind a model's card.

It knows names and facts, not files: the web reads it, so it imports neither torch nor transformers.
"""

from __future__ import annotations

from pathlib import Path

from chatsite.engine.entry import Entry, Folder, Hub, Score, Wheel
from chatsite.engine.own import read
from chatsite.engine.published import ENTRIES
from chatsite.errors import ModelUnavailableError, sentence

__all__ = [
    "AUTO",
    "EMBEDDED",
    "ENTRIES",
    "PREFERRED",
    "SCRIPTED",
    "Entry",
    "Folder",
    "Hub",
    "Score",
    "Wheel",
    "entries",
    "resolve",
]

# The setting that leaves the choice to what is here: the preferred model, or else the embedded one.
AUTO = "auto"
PREFERRED = "blenderbot-400m-distill"
EMBEDDED = "smollm2-135m-instruct"
SCRIPTED = "scripted"


def entries(own: Path | None = None) -> tuple[Entry, ...]:
    """All models: those that are published, and those that the file `own` describes.

    Raises ModelUnavailableError for a file that cannot be read.
    """
    return (*ENTRIES, *read(own, frozenset(entry.name for entry in ENTRIES) | {AUTO}))


def resolve(name: str, own: Path | None = None) -> Entry:
    """The entry for a name of the catalogue or of the file `own`, a Hub repository (`owner/name`), or a folder's path.

    `auto` is the embedded model: it answers on every machine. Raises ModelUnavailableError for a name that is none of
    these.
    """
    listed = entries(own)
    for entry in listed:
        if name.lower() == entry.name.lower() or (isinstance(entry.source, Hub) and name == entry.source.repo):
            return entry
    if name == AUTO:
        return resolve(EMBEDDED)
    if name and Path(name).is_dir():
        return _unlisted(Path(name).resolve().name, Folder(Path(name).resolve()))
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return _unlisted(name, Hub(name))
    known = ", ".join(entry.name for entry in listed)
    raise ModelUnavailableError(reason=f"'{name}' is neither a folder nor one of {known}.")


def _unlisted(name: str, source: Hub | Folder) -> Entry:
    return Entry(
        name=name,
        title=name,
        purpose=sentence("A model that this site's administrator chose."),
        licence=sentence("unknown"),
        parameters=0,
        training_data=sentence("unknown"),
        languages=(),
        context=0,
        family="",
        caution=sentence("Nothing is known here about its quality."),
        source=source,
    )
