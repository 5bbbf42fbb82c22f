"""The work of importing: reads the files that wait one after the other, and stores what is in them bit by bit."""

from __future__ import annotations

import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

import structlog
from sqlalchemy.exc import IntegrityError

from chatsite.database import write
from chatsite.errors import ChatsiteError, DatabaseBusyError, sentence
from chatsite.models import Outcome
from chatsite.services import import_claims, imports
from chatsite.services.import_claims import Claimed, LostError
from chatsite.services.transfer import archives, formats, own, storing
from chatsite.services.transfer.splitting import Record, Splitter
from chatsite.services.transfer.storing import Arrival
from chatsite.services.transfer.trees import Found
from chatsite.services.transfer.values import UNTITLED, UnreadableError, line, moment

log = structlog.get_logger()

LEASE_SECONDS = 20.0
# A write holds the database for about so long, and then leaves it to others for a part of that.
WRITE_SECONDS = 0.06
PAUSE = 0.25
FIRST, LEAST, MOST = 200, 100, 4000
TELL_SECONDS = 0.5
# What a zip archive holds may be larger than the archive, but not without bounds.
TIMES = 20
BUSY_TRIES = 60

COLLIDED = sentence("Something of it met with something that was stored at the same moment. Import the file once more.")
BROKE = sentence("Something broke on our side while this file was read. It was noted.")


def work(config: Mapping[str, Any], stop: threading.Event, owner: str = "") -> None:
    """Import every file that waits, until none does or `stop` is set. Needs an app context."""
    owner = owner or secrets.token_hex(8)
    while not stop.is_set() and (claimed := _patiently(lambda: import_claims.claim(owner, LEASE_SECONDS))):
        _bring_in(claimed, config, stop)
    if stop.is_set():
        import_claims.release(owner)
    import_claims.tidy()


def _bring_in(claimed: Claimed, config: Mapping[str, Any], stop: threading.Event) -> None:
    """Import one file, and say how it ended."""
    error = None
    try:
        with tempfile.TemporaryFile(dir=config["INSTANCE"]) as file:
            size = sum(file.write(data) for data in imports.parts(claimed.id))
            _Import(claimed, stop).run(file, size, TIMES * 1_000_000 * config["IMPORT_MB"])
    except UnreadableError as problem:
        error = str(problem)
    except LostError:
        log.info("import_lost", id=claimed.id)
        if stop.is_set():
            return
    except ChatsiteError as problem:
        error = problem.sentence
    except Exception as problem:
        # The text of an error may hold what people wrote.
        log.error("import_broke", id=claimed.id, error=type(problem).__name__)
        error = BROKE
    _patiently(lambda: import_claims.finish(claimed, error))
    imports.forget_parts(claimed.id)


class _Import:
    """The import of one file: records are gathered until they make a write that is worth it."""

    def __init__(self, claimed: Claimed, stop: threading.Event) -> None:
        self._claimed = claimed
        self._stop = stop
        self._seq = 0
        self._others = 0
        self._read = 0
        self._pending: list[tuple[int, str, Found | str]] = []
        self._weight = 0
        self._most: float = FIRST
        self._told = time.monotonic()

    def run(self, file: IO[bytes], size: int, most: int) -> None:
        """Import a file of `size` bytes, or of `most` once it is unpacked. Raises UnreadableError and LostError."""
        self._forget_partial()
        for source in archives.sources(file, size, most):
            for record in Splitter(source.read).records():
                self._read = size * (source.before + record.end) // max(source.total, 1)
                self._take(record)
        self._flush()
        if not self._seq and not self._others:
            raise UnreadableError(archives.NOTHING)

    def _take(self, record: Record) -> None:
        if self._stop.is_set():
            raise LostError
        if record.key in _OTHERS and not record.problem:
            self._others += 1
            _in_write(lambda: _OTHERS[record.key](self._claimed.user_id, record.value))
            return
        self._seq += 1
        if self._seq <= self._claimed.done:
            return
        found, called = _understood(record)
        if isinstance(found, Found) and len(found.said) > self._most:
            self._flush()
            self._bring_in_steps(found, called)
            return
        self._pending.append((self._seq, called, found))
        self._weight += 1 + (len(found.said) if isinstance(found, Found) else 0)
        if self._weight >= self._most or time.monotonic() > self._told + TELL_SECONDS:
            self._flush()

    def _flush(self) -> None:
        """Store what is gathered in one write; where that fails, one after the other."""
        pending, self._pending, self._weight = self._pending, [], 0
        self._told = time.monotonic()
        try:
            self._timed(lambda: self._store(pending))
        except IntegrityError:
            for each in pending:
                self._store_alone(each)

    def _store_alone(self, each: tuple[int, str, Found | str]) -> None:
        try:
            self._timed(lambda: self._store([each]))
        except IntegrityError:
            self._timed(lambda: self._store([(each[0], each[1], COLLIDED)]))

    def _store(self, pending: list[tuple[int, str, Found | str]]) -> int:
        user_id = self._claimed.user_id
        found = [each for *_, each in pending if isinstance(each, Found)]
        known = storing.present(user_id, found)
        # The same one may come twice in a file; the first is taken, and the order stays.
        new: dict[str, Found] = {}
        for each in found:
            if each.origin not in known:
                new.setdefault(each.origin, each)
        ids = dict(zip(new, storing.add(user_id, list(new.values())), strict=True))
        notes = [self._outcome(seq, called, one, known, new, ids) for seq, called, one in pending]
        messages = sum(len(each.said) for each in new.values())
        self._advance(notes, messages)
        return messages + len(notes)

    def _outcome(
        self,
        seq: int,
        called: str,
        found: Found | str,
        known: Mapping[str, int],
        new: Mapping[str, Found],
        ids: Mapping[str, int],
    ) -> dict[str, Any]:
        """What became of one of those that were stored together."""
        if isinstance(found, str):
            return _note(seq, called, Outcome.SKIPPED, None, found)
        if new.get(found.origin) is found:
            return _note(seq, called, Outcome.IMPORTED, ids[found.origin])
        return _note(seq, called, Outcome.PRESENT, known.get(found.origin) or ids[found.origin])

    def _bring_in_steps(self, found: Found, called: str) -> None:
        """Store a long conversation in several writes; it is seen when all of it is there."""
        user_id = self._claimed.user_id

        def begin() -> Arrival | None:
            known = storing.present(user_id, [found])
            self._advance([_note(self._seq, called, Outcome.PRESENT, each) for each in known.values()][:1])
            return None if known else storing.begin(user_id, found, self._claimed.mark)

        def step() -> bool:
            self._advance([])
            stored: bool = arrival.step()
            return stored

        def finish() -> None:
            arrival.finish()
            self._advance([_note(self._seq, called, Outcome.IMPORTED, arrival.id)], len(found.said))

        try:
            arrival = _in_write(begin)
            while arrival and not _in_write(step):
                self._pause(WRITE_SECONDS)
            if arrival:
                _in_write(finish)
        except IntegrityError:
            self._forget_partial()
            self._timed(lambda: self._store([(self._seq, called, COLLIDED)]))

    def _advance(self, notes: list[dict[str, Any]], messages: int = 0) -> None:
        import_claims.advance(self._claimed, LEASE_SECONDS, notes, messages, self._read)

    def _forget_partial(self) -> None:
        while _in_write(lambda: storing.forget_partial(self._claimed.user_id, self._claimed.mark)):
            self._pause(WRITE_SECONDS)

    def _timed(self, store: Callable[[], int]) -> None:
        """Do a write, learn from it how much the next may hold, and let others write."""
        begun = time.monotonic()
        stored = _in_write(store)
        took = time.monotonic() - begun
        if stored > LEAST:
            self._most = min(max(stored * WRITE_SECONDS / took, self._most / 2, LEAST), self._most * 2, MOST)
        self._pause(took)

    def _pause(self, took: float) -> None:
        self._stop.wait(PAUSE * took)


def _understood(record: Record) -> tuple[Found | str, str]:
    """The conversation that a record tells of, or why it is none; and what it is called."""
    try:
        found = formats.understand(record)
    except UnreadableError as problem:
        return str(problem), formats.called(record) or UNTITLED
    except Exception as problem:
        # One conversation that nobody thought of does not keep the others out.
        log.error("record_broke", error=type(problem).__name__)
        return BROKE, formats.called(record) or UNTITLED
    return found, found.title


def _note(
    seq: int, called: str, outcome: Outcome, conversation_id: int | None, reason: str | None = None
) -> dict[str, Any]:
    return {"seq": seq, "title": called, "outcome": outcome, "conversation_id": conversation_id, "reason": reason}


def _add_tag(user_id: int, record: Mapping[str, Any]) -> None:
    called = line(record.get("name"), 40)
    if called:
        storing.add_tag(user_id, called, record.get("color"), moment(record.get("created_at")))


def _add_persona(user_id: int, record: Mapping[str, Any]) -> None:
    values = own.persona(record)
    if values:
        storing.add_persona(user_id, values, moment(record.get("created_at")))


_OTHERS = {"tags": _add_tag, "personas": _add_persona}


def _in_write(do: Callable[[], Any]) -> Any:
    def write_it() -> Any:
        with write():
            return do()

    return _patiently(write_it)


def _patiently(do: Callable[[], Any]) -> Any:
    """What comes of it, once the database is not too busy; DatabaseBusyError when it is for minutes."""
    for _ in range(BUSY_TRIES):
        try:
            return do()
        except DatabaseBusyError:
            time.sleep(1.0)
    return do()
