"""Models of the owner's own: a TOML file with one table for each.

    [my-model]
    hub = "somebody/some-model"         # or folder = "/path/to/a/folder"
    title = "My model"                  # the rest may be left out
    purpose = "Answers questions about our garden."
    license = "Apache-2.0"

What the file does not say is unknown on the model's card. Texts are shown as they are written. A table with the key
`endpoint` is a server of models (`endpoints.py`).
"""

from __future__ import annotations

import functools
import re
import tomllib
from pathlib import Path
from typing import Any, NoReturn

import structlog

from chatsite.engine.catalog.endpoints import is_endpoint_table
from chatsite.engine.catalog.entry import CatalogEntry, FolderSource, HubSource
from chatsite.errors import ChatsiteError, ModelLoadError, catalog_reasons, gettext_noop

MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
REPOSITORY_NAME = re.compile(r"[\w.-]+/[\w.-]+")
LANGUAGE_CODE = re.compile(r"[a-z]{2,3}")
FAMILIES = ("chat", "blenderbot", "blenderbot-small", "continuation", "dialogue", "text-to-text")
TEXT_KEYS = (
    "title",
    "purpose",
    "license",
    "terms",
    "training_data",
    "limitations",
    "family",
    "revision",
    "hub",
    "folder",
)
NUMBER_KEYS = ("parameters", "context", "download")
ALLOWED_KEYS = {*TEXT_KEYS, *NUMBER_KEYS, "languages"}
# What keys were called before version 0.2; they are read until 0.3.
FORMER_KEYS = {"licence": "license", "caution": "limitations"}

log = structlog.get_logger()


def load_custom_models(file: Path | None, reserved_names: frozenset[str]) -> tuple[CatalogEntry, ...]:
    """Return the models that a file describes; none if there is no file.

    Each process reads the file once. `reserved_names` are names that it may not use. Raises ModelLoadError with what is
    wrong in the file.
    """
    return _load_cached(file, reserved_names) if file else ()


@functools.lru_cache(maxsize=8)
def _load_cached(file: Path, reserved_names: frozenset[str]) -> tuple[CatalogEntry, ...]:
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        _raise_invalid_file(file, catalog_reasons.CustomModelsUnreadableError(cause=error))
    return tuple(
        _parse_entry(file, name, table, reserved_names=reserved_names)
        for name, table in tables.items()
        if not is_endpoint_table(table)
    )


def _parse_entry(file: Path, name: str, table: Any, *, reserved_names: frozenset[str]) -> CatalogEntry:
    if not isinstance(table, dict):
        _raise_invalid_file(file, catalog_reasons.NoModelTableError(key=repr(name)))
    if name in reserved_names or not MODEL_NAME.fullmatch(name):
        _raise_invalid_file(file, catalog_reasons.InvalidModelNameError(name=name))
    table = _rename_former_keys(file, name, table)
    _require_valid_table(file, name, table)
    title = table.get("title", name)
    return CatalogEntry(
        name=name,
        title=title,
        purpose=table.get("purpose", gettext_noop("A model added by the administrator.")),
        license_name=table.get("license", gettext_noop("unknown")),
        license_notes=table.get("terms", ""),
        parameter_count=table.get("parameters", 0),
        training_data=table.get("training_data", gettext_noop("unknown")),
        languages=tuple(table.get("languages", ())),
        context_tokens=table.get("context", 0),
        family=table.get("family", ""),
        limitations=table.get("limitations", gettext_noop("Its quality is unknown.")),
        source=_parse_source(file, name, table),
        download_bytes=table.get("download", 0),
    )


def _rename_former_keys(file: Path, name: str, table: dict[str, Any]) -> dict[str, Any]:
    """Return a table with the names that its keys have now, and log which ones are to be changed in the file."""
    former = {key: FORMER_KEYS[key] for key in table if key in FORMER_KEYS}
    for key, current in former.items():
        log.warning("models_file_has_former_key", file=str(file), model=name, key=key, write=current)
    return {former[key]: table[key] for key in former} | {key: table[key] for key in table if key not in former}


def _require_valid_table(file: Path, name: str, table: dict[str, Any]) -> None:
    """Raise ModelLoadError for keys that no model has and for values of another kind."""
    for key, value in table.items():
        if key not in ALLOWED_KEYS:
            _raise_invalid_file(
                file,
                catalog_reasons.UnknownModelKeyError(name=name, key=repr(key), keys=", ".join(sorted(ALLOWED_KEYS))),
            )
        if key in TEXT_KEYS and not (isinstance(value, str) and value.strip()):
            _raise_invalid_file(file, catalog_reasons.ModelKeyNotTextError(name=name, key=key))
        if key in NUMBER_KEYS and not (type(value) is int and value >= 0):
            _raise_invalid_file(file, catalog_reasons.ModelKeyNotNumberError(name=name, key=key))
    languages = table.get("languages", [])
    if not isinstance(languages, list) or not all(
        isinstance(code, str) and LANGUAGE_CODE.fullmatch(code) for code in languages
    ):
        _raise_invalid_file(file, catalog_reasons.InvalidModelLanguagesError(name=name))
    if table.get("family", FAMILIES[0]) not in FAMILIES:
        _raise_invalid_file(file, catalog_reasons.UnknownModelFamilyError(name=name, families=", ".join(FAMILIES)))


def _parse_source(file: Path, name: str, table: dict[str, Any]) -> HubSource | FolderSource:
    """Return where the weights are; a relative folder counts from the folder of the file."""
    if ("hub" in table) == ("folder" in table):
        _raise_invalid_file(file, catalog_reasons.NoModelSourceError(name=name))
    if "folder" in table:
        return FolderSource((file.parent / Path(table["folder"]).expanduser()).resolve())
    if not REPOSITORY_NAME.fullmatch(table["hub"]):
        _raise_invalid_file(file, catalog_reasons.InvalidRepositoryError(name=name))
    return HubSource(table["hub"], table.get("revision", "main"))


def _raise_invalid_file(file: Path, cause: ChatsiteError) -> NoReturn:
    raise ModelLoadError(reason=catalog_reasons.CustomModelsFileError(file=file, cause=cause))
