"""Several models in memory, as far as a budget goes: what is asked for is loaded, what was least used leaves.

A request for a model that is not in memory waits while that is loaded in a thread of its own, and the others go on.
Where there is no room until somebody's answer is finished, all later requests wait too: each model has its turn.
"""

from __future__ import annotations

import gc
import queue
import threading
from collections.abc import Callable, Iterator, Sequence

from chatsite.engine import Engine, Event, Finish, FinishReason, Report, Request, Residence, memory, reasons
from chatsite.engine.entry import Entry
from chatsite.engine.member import Member, Outbox
from chatsite.engine.reasons import because
from chatsite.errors import ChatsiteError, ModelUnavailableError

Build = Callable[[Entry, Outbox], Engine]


class Shelf:
    """An engine made of engines.

    `preferred` are the models for requests that name none: the first of them that can be loaded answers. `find` gives
    the entry of a name, `build` the engine of an entry, which puts its events into the outbox, and `estimate` about how
    many bytes it will take; `find` and `estimate` raise ModelUnavailableError for what cannot be had here. `budget` is
    how many bytes all may take.
    """

    def __init__(
        self,
        preferred: Sequence[Entry],
        find: Callable[[str], Entry],
        build: Build,
        estimate: Callable[[Entry], int],
        budget: int,
    ) -> None:
        self._preferred = tuple(preferred)
        self._default = self._preferred[0].name
        self._find = find
        self._build = build
        self._estimate = estimate
        self._budget = budget
        self._outbox: Outbox = queue.SimpleQueue()
        self._members: dict[str, Member] = {}
        self._failures: dict[str, str] = {}
        self._leaving: set[str] = set()
        self._closed = False
        self._lock = threading.RLock()

    @property
    def model(self) -> str:
        """The name of the model that answers requests which name none."""
        return self._default

    @property
    def capacity(self) -> int:
        """How many requests can be taken; one that waits for its model takes no place from the others."""
        with self._lock:
            members = list(self._members.values())
            places = sum(member.engine.capacity for member in members if member.loaded)
            return max(1, places) + sum(len(member.waiting) for member in members if not member.loaded)

    def load(self, report: Report) -> None:
        """Load the first of the preferred models that can be had, fetching it if need be.

        Raises ModelUnavailableError when none can be had.
        """
        failures = []
        for entry in self._preferred:
            member = Member(entry, self._build(entry, self._outbox), loading=True)
            with self._lock:
                self._members[entry.name] = member
            try:
                self._load(member, report)
            except ChatsiteError as error:
                failures.append(error)
            else:
                self._default = entry.name
                return
        raise failures[-1]

    def submit(self, request: Request) -> None:
        """Hand a request to its model; when that cannot be had, it ends with an error."""
        with self._lock:
            try:
                self._open(request.model or self._default).waiting.append(request)
            except ChatsiteError as error:
                self._outbox.put(Finish(request.id, FinishReason.ERROR, str(error)))
            self._tend()

    def cancel(self, request_id: int) -> None:
        """Stop a request, whether it waits or is being answered."""
        with self._lock:
            for member in self._members.values():
                member.cancel(request_id, self._outbox)

    def events(self, wait: float) -> list[Event]:
        """What happened since the last call."""
        found = list(self._arrived(wait))
        over = [event.request_id for event in found if isinstance(event, Finish)]
        if over:
            with self._lock:
                for member in self._members.values():
                    member.settle(over)
                self._tend()
        return found

    def _arrived(self, wait: float) -> Iterator[Event]:
        try:
            yield self._outbox.get(timeout=wait)
            while True:
                yield self._outbox.get_nowait()
        except queue.Empty:
            return

    def close(self) -> None:
        """End all models."""
        with self._lock:
            self._closed = True
            loaded = [member for member in self._members.values() if member.loaded]
        for member in loaded:
            member.engine.close()

    def residence(self) -> Residence:
        """The model that answers requests which name none."""
        return next(
            each for each in [*self.residences(), Residence(self._default, False)] if each.model == self._default
        )

    def residences(self) -> list[Residence]:
        """The models in memory and on their way there, and those that could not be loaded."""
        with self._lock:
            failed = [Residence(name, loaded=False, reason=reason) for name, reason in self._failures.items()]
            return [*(member.residence() for member in self._members.values()), *failed]

    def prefer(self, name: str) -> None:
        """Answer requests that name no model with this one from now on, and load it.

        Raises ModelUnavailableError when it cannot be had here.
        """
        with self._lock:
            self._open(name)
            self._default = name
            self._tend()

    def has_room_for(self, size: int) -> bool:
        """Whether a model of so many bytes could be loaded at all."""
        return size <= self._budget

    def forget_failure(self, name: str) -> None:
        """Say no more that a model could not be loaded: something was done about it."""
        with self._lock:
            self._failures.pop(name, None)

    def release(self, name: str) -> bool:
        """Take no more requests for a model and unload it when its answers are finished; returns whether it is gone."""
        with self._lock:
            self._leaving.add(name)
            member = self._members.get(name)
            if member:
                member.refuse(str(_leaves(member.entry)), self._outbox)
                if member.busy:
                    return False
                self._drop(member)
            self._leaving.discard(name)
            self._failures.pop(name, None)
            return True

    def _open(self, name: str) -> Member:
        """The member of a name, taken on now if need be. Raises ModelUnavailableError for what cannot be had here."""
        found = self._members.get(name)
        if found and name not in self._leaving:
            return found
        entry = self._find(name)
        if name in self._leaving:
            raise _leaves(entry)
        estimate = self._estimate(entry)
        if estimate > self._budget:
            raise _too_large(entry, estimate, self._budget)
        self._failures.pop(name, None)
        self._members[name] = Member(entry, self._build(entry, self._outbox), estimate)
        return self._members[name]

    def _tend(self) -> None:
        """Load what is asked for where there is room, and give the engines what waits for them."""
        members = list(self._members.values())
        wanted = next((member for member in members if not (member.loaded or member.loading)), None)
        crowded = False
        if wanted and not self._closed and not any(member.loading for member in members):
            crowded = not self._make_room(wanted)
            if not crowded:
                wanted.loading = True
                threading.Thread(target=self._load_aside, args=(wanted,), name="shelf-load", daemon=True).start()
        for member in self._members.values():
            if member.loaded and not crowded:
                member.hand_over()

    def _make_room(self, wanted: Member) -> bool:
        """Have the least recently used models leave until there is room for another; returns whether there is now."""
        while sum(member.size for member in self._members.values()) + wanted.estimate > self._budget:
            spare = [member for member in self._members.values() if member.loaded and not member.running]
            if not spare:
                return False
            self._drop(min(spare, key=lambda member: member.used))
        return True

    def _drop(self, member: Member) -> None:
        """Unload a model that is not at work; it comes again for those who wait for it."""
        del self._members[member.entry.name]
        if member.loaded:
            member.engine.close()
            # Modules of torch refer to one another in circles.
            gc.collect()
            memory.trim()
        if member.waiting:
            again = Member(member.entry, self._build(member.entry, self._outbox), member.size, waiting=member.waiting)
            self._members[member.entry.name] = again

    def _load_aside(self, member: Member) -> None:
        """What the thread does that loads a model while others answer."""
        try:
            self._load(member, lambda progress: None)
        except ChatsiteError as error:
            with self._lock:
                member.refuse(str(error), self._outbox)
        with self._lock:
            self._tend()

    def _load(self, member: Member, report: Report) -> None:
        """Load a model. Raises ModelUnavailableError, and notes why, when that fails for whatever reason."""
        try:
            member.engine.load(report)
        except Exception as error:
            found = error if isinstance(error, ChatsiteError) else ModelUnavailableError(reason=_described(error))
            with self._lock:
                self._lose(member, str(found.params.get("reason", found)))
            raise found from error
        with self._lock:
            member.loading, member.loaded = False, True
            # Now, before somebody else takes its place.
            member.hand_over()
            if self._closed:
                member.engine.close()

    def _lose(self, member: Member, reason: str) -> None:
        """Forget a model that could not be loaded; another one takes its place as the default."""
        member.loading = False
        self._members.pop(member.entry.name, None)
        self._failures[member.entry.name] = reason
        others = [name for name, other in self._members.items() if other.loaded]
        if self._default == member.entry.name and others:
            self._default = others[0]


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _leaves(entry: Entry) -> ModelUnavailableError:
    return ModelUnavailableError(reason=because(reasons.LEAVING, name=entry.title))


def _too_large(entry: Entry, size: int, budget: int) -> ModelUnavailableError:
    needs, may = f"{size / 1e9:.1f} GB", f"{budget / 1e9:.1f} GB"
    return ModelUnavailableError(reason=because(reasons.TOO_LARGE, name=entry.title, needed=needs, most=may))
