"""Models: what can be said of each, which can answer now, and what the owner of the site wishes to be done with them.

The web wishes; a runner, which alone sees the disk, obeys and writes down how it goes. The functions for runners are in
`services.residences`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from chatsite.database import db, write
from chatsite.engine import catalogue
from chatsite.engine.catalogue import Entry
from chatsite.errors import (
    ModelBusyError,
    ModelHereError,
    ModelNeededError,
    ModelNotHereError,
    ModelUnknownError,
    NoSourceError,
)
from chatsite.models import Model, ModelState, Wish

UNDER_WAY = frozenset({ModelState.FETCHING, ModelState.CONVERTING})


@dataclass(frozen=True)
class Known:
    """What the settings say of models: `setting` is MODEL, `own` the file that describes models of the owner's."""

    setting: str = catalogue.AUTO
    own: Path | None = None


@dataclass(frozen=True)
class Card:
    """A model of the catalogue, what a runner last said of it (None: nothing), and whether it is the default."""

    entry: Entry
    row: Model | None
    default: bool = False

    @property
    def name(self) -> str:
        """Its name in the catalogue."""
        return self.entry.name

    @property
    def state(self) -> ModelState:
        """Where its weights are."""
        return self.row.state if self.row else ModelState.ABSENT

    @property
    def ready(self) -> bool:
        """Whether it can answer: its weights are here, or it needs none."""
        return self.entry.source is None or self.state is ModelState.READY

    @property
    def waiting(self) -> bool:
        """Whether a pull was wished for and has not begun."""
        return self.row is not None and self.row.wish is Wish.PULL and self.state not in UNDER_WAY

    @property
    def pulling(self) -> bool:
        """Whether its weights are on their way, or will be soon."""
        return self.waiting or self.state in UNDER_WAY

    @property
    def removing(self) -> bool:
        """Whether it is about to be removed."""
        return self.row is not None and self.row.wish is Wish.REMOVE

    @property
    def failed(self) -> bool:
        """Whether the last try to have it failed and nothing was wished since; `reason` tells why."""
        return self.state is ModelState.FAILED and not self.pulling

    @property
    def reason(self) -> str | None:
        """Why the last try failed."""
        return self.row.reason if self.row and self.failed else None

    @property
    def part(self) -> float | None:
        """How much of the weights is here, from 0 to 1; None where that is not known."""
        if self.row is None or not self.pulling or self.row.bytes_done is None or not self.row.bytes_total:
            return None
        return min(1.0, self.row.bytes_done / self.row.bytes_total)

    @property
    def seconds_left(self) -> float | None:
        """In how many seconds the weights are here at the present speed; None where that is not known."""
        if self.row is None or self.part is None or not self.row.bytes_per_second:
            return None
        return max(0.0, (self.row.bytes_total or 0) - (self.row.bytes_done or 0)) / self.row.bytes_per_second

    @property
    def can_pull(self) -> bool:
        """Whether there is something to fetch, and nobody is about it."""
        return self.entry.can_be_fetched and not self.ready and not self.pulling

    @property
    def some_is_here(self) -> bool:
        """Whether it may take room on the disk: what failed leaves what had come, and a broken model all of it."""
        return self.ready or self.pulling or self.failed

    @property
    def can_remove(self) -> bool:
        """Whether it takes room on the disk, or is about to, and can be spared."""
        return self.entry.can_be_fetched and self.some_is_here and not self.default and not self.removing


def known(config: Mapping[str, Any]) -> Known:
    """What an app's configuration says of models."""
    return Known(config["MODEL"], config["MODELS_FILE"])


def cards(site: Known) -> list[Card]:
    """All models: those of the catalogue in its order, then the owner's. The script is there only where it answers.

    Raises ModelUnavailableError for a file of own models that cannot be read.
    """
    rows = {row.name: row for row in db.session.scalars(select(Model))}
    first = default(site)
    return [Card(entry, rows.get(entry.name), entry.name == first) for entry in _entries(site)]


def get(site: Known, name: str) -> Card:
    """One model by its name in the catalogue. Raises ModelUnknownError."""
    entry = next((entry for entry in _entries(site) if entry.name == name), None)
    if entry is None:
        raise ModelUnknownError
    return Card(entry, db.session.get(Model, name), name == default(site))


def choices(site: Known) -> list[Card]:
    """The models that a conversation can be given: those that are here, and the default, which will be."""
    return [card for card in cards(site) if (card.ready and not card.removing) or card.default]


def default(site: Known) -> str:
    """The name of the model that a new conversation gets.

    `auto` is BlenderBot as soon as it is here, and the embedded model before.
    """
    if site.setting != catalogue.AUTO:
        return catalogue.resolve(site.setting, site.own).name
    row = db.session.get(Model, catalogue.PREFERRED)
    here = row is not None and row.state is ModelState.READY and row.wish is not Wish.REMOVE
    return catalogue.PREFERRED if here else catalogue.EMBEDDED


def pull(site: Known, name: str) -> None:
    """Wish that a runner fetches a model.

    Raises ModelUnknownError, ModelHereError, ModelBusyError or NoSourceError, and the errors of a write.
    """
    with write():
        card = get(site, name)
        if card.ready:
            raise ModelHereError
        if card.pulling or card.removing:
            raise ModelBusyError
        if not card.entry.can_be_fetched:
            raise NoSourceError
        _wish(name, Wish.PULL)


def remove(site: Known, name: str) -> None:
    """Wish that a runner deletes what it has of a model; a pull that is under way ends.

    Raises ModelUnknownError, ModelNotHereError, ModelBusyError, ModelNeededError or NoSourceError, and the errors of
    a write.
    """
    with write():
        card = get(site, name)
        if card.default:
            raise ModelNeededError
        if not card.entry.can_be_fetched:
            raise NoSourceError
        if card.removing:
            raise ModelBusyError
        if not card.some_is_here:
            raise ModelNotHereError
        _wish(name, Wish.REMOVE)


def free(folder: Path) -> int:
    """How many bytes the disk has room for where the weights lie in `folder`, which need not be there yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _entries(site: Known) -> list[Entry]:
    """The catalogue with the model of the setting, which need not be listed; the script only where it is set."""
    listed = [entry for entry in catalogue.entries(site.own) if entry.name != catalogue.SCRIPTED]
    if site.setting == catalogue.AUTO:
        return listed
    chosen = catalogue.resolve(site.setting, site.own)
    return listed if any(entry.name == chosen.name for entry in listed) else [*listed, chosen]


def _wish(name: str, wish: Wish) -> None:
    session = db.session()
    row = session.get(Model, name) or Model(name=name)
    row.wish = wish
    session.add(row)
