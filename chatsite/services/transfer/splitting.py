"""Cuts the JSON in a file into records without reading more of it than one record at a time.

A record is an object: an element of the array that the file is, or of an array in the object that the file is, or that
object itself. One that is damaged costs only itself: the next one is found by how the first one began. Nothing here
calls itself, so depth does no harm; and what is too large is passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from chatsite.errors import sentence
from chatsite.services.transfer.values import UnreadableError, line
from chatsite.services.transfer.writing import FORMAT, VERSION

CHUNK = 1024 * 1024
MOST_BYTES = 32 * 1024 * 1024
MOST_DEPTH = 100
# Each array and object takes some sixty bytes of memory, even where two bytes tell of it.
MOST_BRACKETS = 1_000_000
MOST_DAMAGED = 100
FIRST_BYTES = 400

DAMAGED = sentence("This part of the file is damaged.")
TOO_LARGE = sentence("It is larger than 32 MB.")
TOO_DEEP = sentence("It is nested too deeply to be a conversation.")
NO_JSON = sentence("This is neither JSON nor a zip archive.")
TOO_NEW = sentence("This export was made by a newer version of chatsite, whose format is not known here.")

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["\[\]{}]', re.DOTALL)
_STRING_END = re.compile(rb'(?:[^"\\]++|\\.)*+"', re.DOTALL)
_STRING = rb'"(?:[^"\\]++|\\.){0,200}+"'
_VALUE = rb"(?:" + _STRING + rb'|[^\s",\[\]{}]{1,40})'
_BEGINNING = re.compile(rb"\{\s*(" + _STRING + rb")\s*:\s*" + _VALUE + rb"\s*,\s*(" + _STRING + rb")\s*:", re.DOTALL)
_TITLE = re.compile(rb'"(?:title|name)"\s*:\s*(' + _STRING + rb")")
_VERSION = re.compile(rb'"version"\s*:\s*(\d{1,9})')


@dataclass(frozen=True)
class Record:
    """An object of the file, or the `problem` why it is none; `key` is the name of the array that it is in.

    `end` is how many bytes are read with it, and `title` what one with a problem seems to be called.
    """

    key: str
    value: dict[str, Any]
    end: int
    problem: str | None = None
    title: str | None = None


class Splitter:
    """The records of a file, of which `read` gives the next bytes, at most so many, and none at its end."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        # What was read and is still needed, how much was read before it, and how far it is looked at.
        self._data, self._passed, self._at = b"", 0, 0
        # How deep we are, and how deep the records lie.
        self._depth, self._level = 0, -1
        self._key = ""
        self._in_string = False
        # Where the record under way begins.
        self._start: int | None = None
        self._problem: str | None = None
        self._brackets = 0
        self._beginning: re.Pattern[bytes] | None = None
        self._damaged = 0

    def records(self) -> Iterator[Record]:
        """All of them. Raises UnreadableError when the file is no JSON at all."""
        if not self._begin():
            return
        while True:
            token = self._token()
            if token is None:
                if self._too_large():
                    yield from self._pass_over()
                elif not self._more():
                    if self._start is None:
                        return
                    self._at = len(self._data)
                    yield self._damage()
                continue
            self._at = token.end()
            if token[0][:1] == b'"':
                self._name(token[0])
            elif token[0] in b"[{":
                self._open(token)
            elif (record := self._close()) is not None:
                yield record

    def _begin(self) -> bool:
        """Look at the first bytes, which tell where the records are."""
        while len(self._data.lstrip()) < FIRST_BYTES and self._more():
            continue
        self._level = _level(self._data.removeprefix(b"\xef\xbb\xbf").lstrip()[:FIRST_BYTES])
        return bool(self._data)

    def _token(self) -> re.Match[bytes] | None:
        """The next string or bracket; None where more has to be read for it."""
        if self._in_string:
            end = _STRING_END.match(self._data, self._at)
            if end is None:
                self._at = _before_escape(self._data)
                return None
            self._at, self._in_string = end.end(), False
        token = _TOKEN.search(self._data, self._at)
        if token is None or token[0] == b'"':
            self._at = token.start() if token else len(self._data)
            return None
        return token

    def _more(self) -> bool:
        """Forget what is cut, and read on: the more, the longer the piece is that has no end yet."""
        kept = self._at if self._start is None else self._start
        left = self._data[kept:]
        chunk = self._read(max(CHUNK, len(left)))
        if chunk:
            self._data, self._passed, self._at = left + chunk, self._passed + kept, self._at - kept
            self._start = None if self._start is None else 0
        return bool(chunk)

    def _name(self, string: bytes) -> None:
        if self._depth == 1 and len(string) < FIRST_BYTES:
            self._key = string[1:-1].decode("utf-8", "replace")

    def _open(self, token: re.Match[bytes]) -> None:
        if self._depth == self._level and token[0] == b"{":
            self._start, self._problem, self._brackets = token.start(), None, 0
        self._depth += 1
        self._brackets += 1
        if self._depth > MOST_DEPTH or self._brackets > MOST_BRACKETS:
            self._problem = TOO_DEEP

    def _close(self) -> Record | None:
        self._depth = max(self._depth - 1, 0)
        if self._start is None or self._depth > self._level:
            return None
        raw = self._data[self._start : self._at]
        if self._problem:
            self._start = None
            return self._record(raw, self._problem)
        try:
            value = _parsed(raw)
        except (ValueError, RecursionError):
            return self._damage()
        self._start = None
        self._beginning = self._beginning or _beginning(raw)
        return Record(self._key, value, self._passed + self._at)

    def _too_large(self) -> bool:
        return len(self._data) - (self._at if self._start is None else self._start) > MOST_BYTES

    def _pass_over(self) -> Iterator[Record]:
        """What goes on for too long lost its end, or is too much; its brackets are followed all the same."""
        if self._start is not None:
            raw = self._data[self._start :]
            if self._following(raw):
                self._at = len(self._data)
                yield self._damage()
                return
            self._start = None
            yield self._record(raw, TOO_LARGE)
        self._in_string = self._in_string or self._at < len(self._data)
        self._at = _before_escape(self._data)

    def _damage(self) -> Record:
        """What was read of the record under way is damaged; go on where the next one seems to begin within it."""
        raw, self._start = self._data[self._start or 0 : self._at], None
        self._damaged += 1
        following = self._following(raw)
        if following:
            self._at -= len(raw) - following.start()
            self._depth, self._in_string = self._level, False
            raw = raw[: following.start()]
        return self._record(raw, DAMAGED)

    def _following(self, raw: bytes) -> re.Match[bytes] | None:
        known = self._beginning if self._damaged <= MOST_DAMAGED else None
        return known.search(raw, 1) if known else None

    def _record(self, raw: bytes, problem: str) -> Record:
        return Record(self._key, {}, self._passed + self._at, problem, _title(raw))


def _level(first: bytes) -> int:
    """How deep the records of a file lie, by its first bytes. Raises UnreadableError when they are no JSON."""
    if first[:1] == b"[":
        return 1
    if first[:1] != b"{":
        raise UnreadableError(NO_JSON)
    if FORMAT.encode() not in first:
        return 0
    version = _VERSION.search(first)
    if version and int(version[1]) > VERSION:
        raise UnreadableError(TOO_NEW)
    return 2


def _before_escape(data: bytes) -> int:
    """The end of the data, or the place before a backslash there, which belongs to what follows it."""
    backslashes = len(data) - len(data.rstrip(b"\\"))
    return len(data) - backslashes % 2


def _parsed(raw: bytes) -> dict[str, Any]:
    found = json.loads(raw.decode("utf-8", "replace"), parse_constant=_refuse)
    if not isinstance(found, dict):
        raise ValueError
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _beginning(raw: bytes) -> re.Pattern[bytes] | None:
    """How records of this file begin: the names of their first two members."""
    found = _BEGINNING.match(raw)
    if found is None:
        return None
    first, second = re.escape(found[1]), re.escape(found[2])
    return re.compile(rb"\{\s*" + first + rb"\s*:\s*" + _VALUE + rb"\s*,\s*" + second + rb"\s*:", re.DOTALL)


def _title(raw: bytes) -> str | None:
    found = _TITLE.search(raw[:CHUNK])
    if found is None:
        return None
    try:
        return line(json.loads(found[1].decode("utf-8", "replace")), 120)
    except ValueError:
        return None
