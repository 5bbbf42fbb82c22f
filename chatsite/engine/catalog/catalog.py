"""The catalog: which models exist, and the facts that a model's card shows.

It knows names and facts, not files: the web process reads it, so it imports neither torch nor transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chatsite.engine.catalog.builtin_models import BUILTIN_ENTRIES
from chatsite.engine.catalog.custom_models import load_custom_models
from chatsite.engine.catalog.endpoints import Endpoint, find_entry
from chatsite.engine.catalog.entry import (
    CatalogEntry,
    EndpointSource,
    FolderSource,
    HubSource,
    ModelGroup,
    PyPISource,
    Score,
)
from chatsite.errors import ModelLoadError, catalog_reasons, gettext_noop

__all__ = [
    "AUTO_MODEL",
    "BUILTIN_ENTRIES",
    "EMBEDDED_MODEL",
    "PREFERRED_MODEL",
    "SCRIPTED_MODEL",
    "CatalogEntry",
    "EndpointSource",
    "FolderSource",
    "HubSource",
    "ModelGroup",
    "PyPISource",
    "Score",
    "list_entries",
    "resolve_entry",
]

# The setting that leaves the choice to what is here: the preferred model, or else the embedded one.
AUTO_MODEL = "auto"
PREFERRED_MODEL = "blenderbot-400m-distill"
EMBEDDED_MODEL = "smollm2-135m-instruct"
SCRIPTED_MODEL = "scripted"


def list_entries(custom_models_file: Path | None = None) -> tuple[CatalogEntry, ...]:
    """Return the builtin models and those that the file `custom_models_file` describes.

    Raises ModelLoadError if the file cannot be read or is not valid.
    """
    return (
        *BUILTIN_ENTRIES,
        *load_custom_models(custom_models_file, frozenset(entry.name for entry in BUILTIN_ENTRIES) | {AUTO_MODEL}),
    )


def resolve_entry(
    name: str, custom_models_file: Path | None = None, endpoints: Sequence[Endpoint] = ()
) -> CatalogEntry:
    """Return the entry of a name: of the catalog, the file of custom models, an endpoint, the Hub, or a folder.

    A model of one of `endpoints` is written `endpoint/model`, a repository of the Hub `owner/name`, a folder by its
    path. `auto` is the embedded model, which answers on every machine. Raises ModelLoadError if the name is none of
    these.
    """
    all_entries = list_entries(custom_models_file)
    for entry in all_entries:
        if name.lower() == entry.name.lower() or (isinstance(entry.source, HubSource) and name == entry.source.repo):
            return entry
    if name == AUTO_MODEL:
        return resolve_entry(EMBEDDED_MODEL)
    remote_entry = find_entry(name, endpoints)
    if remote_entry:
        return remote_entry
    if name and Path(name).is_dir():
        return _unlisted_entry(Path(name).resolve().name, FolderSource(Path(name).resolve()))
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return _unlisted_entry(name, HubSource(name))
    known_names = ", ".join(entry.name for entry in all_entries)
    raise ModelLoadError(reason=catalog_reasons.UnknownModelNameError(name=name, known=known_names))


def _unlisted_entry(name: str, source: HubSource | FolderSource) -> CatalogEntry:
    return CatalogEntry(
        name=name,
        title=name,
        purpose=gettext_noop("A model added by the administrator."),
        license_name=gettext_noop("unknown"),
        parameter_count=0,
        training_data=gettext_noop("unknown"),
        languages=(),
        context_tokens=0,
        family="",
        limitations=gettext_noop("Its quality is unknown."),
        source=source,
    )
