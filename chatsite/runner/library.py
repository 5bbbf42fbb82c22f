"""The runner's librarian: it tells the database the truth about this machine's models, and obeys the owner's wishes.

It is called between two ticks, does nothing long, and has a child process fetch one model at a time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from chatsite.engine import Residence, catalogue, hub, weights
from chatsite.engine.catalogue import AUTO, PREFERRED, Entry, Hub
from chatsite.engine.shelf import Shelf
from chatsite.errors import ChatsiteError, ModelUnavailableError
from chatsite.models import ModelState, Wish
from chatsite.runner.pulling import Pull, settings_of
from chatsite.services import residences
from chatsite.services.residences import Seen

log = structlog.get_logger()

LOOK_SECONDS = 0.5
DISK_SECONDS = 5.0
FIRST_PAUSE = 300.0
LONGEST_PAUSE = 6 * 3600.0
# A pull gives a sign of life so often; one that gives none for longer has died with its runner.
SIGN_SECONDS = 2.0
STALLED_SECONDS = 6.0


class Library:
    """Keeps the table of models. `config` is the app's; `shelf` holds what is in memory."""

    def __init__(self, config: Mapping[str, Any], shelf: Shelf) -> None:
        self._shelf = shelf
        self._models: Path = config["MODELS"]
        self._own: Path = config["MODELS_FILE"]
        listed = catalogue.entries(self._own)
        chosen = catalogue.resolve(config["MODEL"], self._own)
        self._entries = listed if chosen in listed else (*listed, chosen)
        self._auto: bool = config["MODEL"] == AUTO
        self._may_pull: bool = self._auto and config["AUTO_PULL"]
        self._settings = settings_of(config)
        self._pull: Pull | None = None
        self._unasked = False
        self._told: Seen | None = None
        self._resident: list[Residence] | None = None
        self._next_look = 0.0
        self._next_disk = 0.0
        self._next_try = 0.0
        self._next_sign = 0.0
        self._pause = FIRST_PAUSE

    def tend(self, ready: bool) -> None:
        """See what is to be done, at most twice a second; `ready` says that the runner has a model to answer with.

        Needs an app context.
        """
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_SECONDS
        try:
            self._look(ready)
        except ChatsiteError:
            raise
        except Exception:
            # Answers go on without a librarian.
            log.exception("library_broke")
            self._next_look = time.monotonic() + DISK_SECONDS

    def _look(self, ready: bool) -> None:
        if time.monotonic() > self._next_disk:
            self._next_disk = time.monotonic() + DISK_SECONDS
            self._look_at_disk()
        self._follow()
        for name, wish in residences.wishes().items():
            self._obey(name, wish)
        if ready:
            self._pull_unasked()
        self._tell_residences()

    def close(self) -> None:
        """End what is under way; it goes on when a runner starts again. Needs an app context."""
        if self._pull:
            self._pull.end()
        residences.reside([])

    def _look_at_disk(self) -> None:
        """Correct what the table says of weights that came or went without us."""
        broken = {each.model for each in self._shelf.residences() if each.reason}
        told = residences.states()
        for entry in self._entries:
            if entry.source and entry.name not in broken and not (self._pull and self._pull.name == entry.name):
                self._correct(entry, told.get(entry.name))
        if self._pull is None:
            # A runner died over these, and nobody else is about them.
            for name in residences.stalled(STALLED_SECONDS)[:1]:
                self._begin(name)

    def _correct(self, entry: Entry, told: ModelState | None) -> None:
        found = weights.present(entry, self._models)
        if found and told is not ModelState.READY:
            residences.record(entry.name, Seen(ModelState.READY, revision=found.revision or None))
            self._arrived(entry.name)
        elif not found and told is ModelState.READY:
            residences.record(entry.name, Seen(ModelState.ABSENT))

    def _follow(self) -> None:
        """Write down how the pull goes."""
        pull = self._pull
        if pull is None:
            return
        seen = self._seen(pull)
        if seen != self._told or time.monotonic() > self._next_sign:
            residences.record(pull.name, seen)
            self._told = seen
            self._next_sign = time.monotonic() + SIGN_SECONDS
        if pull.over.is_set():
            self._pull = None
            self._ended(pull)

    def _seen(self, pull: Pull) -> Seen:
        if pull.over.is_set():
            if pull.error is None:
                return Seen(ModelState.READY, revision=pull.revision)
            return Seen(ModelState.FAILED, reason=pull.error)
        state = ModelState.CONVERTING if pull.progress.stage == "converting" else ModelState.FETCHING
        return Seen(state, pull.progress.done, pull.progress.total, pull.speed)

    def _ended(self, pull: Pull) -> None:
        if pull.error is None:
            log.info("model_pulled", model=pull.name, revision=pull.revision)
            self._arrived(pull.name)
            return
        if not self._unasked or self._pause == FIRST_PAUSE:
            log.warning("pull_failed", model=pull.name, reason=pull.error)
        if self._unasked:
            self._next_try = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _arrived(self, name: str) -> None:
        """New conversations get the preferred model as soon as it is here."""
        if self._auto and name == PREFERRED and self._shelf.model != PREFERRED:
            try:
                self._shelf.prefer(PREFERRED)
            except ModelUnavailableError as error:
                log.warning("load_failed", model=name, reason=error.params["reason"])

    def _obey(self, name: str, wish: Wish) -> None:
        if wish is Wish.REMOVE:
            self._remove(name)
        elif self._pull is None and residences.take(name, wish):
            self._begin(name)

    def _begin(self, name: str, unasked: bool = False) -> None:
        self._shelf.forget_failure(name)
        self._unasked = unasked
        self._pull = Pull(name, self._settings)
        self._told = None
        self._follow()

    def _remove(self, name: str) -> None:
        """Delete a model as soon as nobody is answered by it; asked again and again until then."""
        if self._pull and self._pull.name == name:
            self._pull.end()
            self._pull = None
        if not self._shelf.release(name):
            return
        seen = Seen(ModelState.ABSENT)
        try:
            weights.remove(catalogue.resolve(name, self._own), self._models)
            log.info("model_removed", model=name)
        except (ModelUnavailableError, OSError) as error:
            seen = Seen(ModelState.FAILED, reason=str(getattr(error, "params", {}).get("reason", error)))
            log.warning("remove_failed", model=name, reason=seen.reason)
        residences.record(name, seen)
        residences.take(name, Wish.REMOVE)

    def _pull_unasked(self) -> None:
        """Fetch the preferred model if nobody said anything about it yet, or if the Hub could not be reached."""
        if not self._may_pull or self._pull or time.monotonic() < self._next_try:
            return
        self._next_try = time.monotonic() + self._pause
        entry = catalogue.resolve(PREFERRED)
        untouched = residences.states().get(PREFERRED) in (None, ModelState.FAILED)
        if untouched and self._can_be_had(entry) and self._shelf.has_room_for(entry.memory_int8):
            self._begin(PREFERRED, unasked=True)

    def _can_be_had(self, entry: Entry) -> bool:
        """Whether its weights are not here, and may be asked for or wait in the cache."""
        from huggingface_hub import constants

        cached = isinstance(entry.source, Hub) and hub.is_cached(entry.source)
        return not weights.present(entry, self._models) and (cached or not constants.is_offline_mode())

    def _tell_residences(self) -> None:
        found = self._shelf.residences()
        if found != self._resident:
            residences.reside(found)
            self._resident = found
