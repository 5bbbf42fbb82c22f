"""Finds the JSON in a file that somebody brought: the file itself, or what a zip archive of an export has of it.

Nothing of an archive is ever written to the disk, and no name in it is used for anything but to be compared.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from chatsite.errors import sentence
from chatsite.services.transfer.values import UnreadableError

MOST_MEMBERS = 10_000
MOST_DIRECTORY = 8 * 1024 * 1024
# JSON of conversations shrinks to a tenth; what shrinks to a two-hundredth was made to burst.
MOST_RATIO = 200
HONEST_BYTES = 10_000_000
# Every export that is known holds its conversations in files of this name; the others are about something else.
CONVERSATIONS = re.compile(r"(?:.*/)?conversations(?:[-_ ]?\d{1,6})?\.json", re.IGNORECASE)
ANY_JSON = re.compile(r"(?!__MACOSX/).*\.json", re.IGNORECASE | re.DOTALL)

BROKEN = sentence("This zip archive is damaged.")
LOCKED = sentence("This zip archive is locked with a password.")
BOMB = sentence("This zip archive holds far more than its size lets one think, so it was not unpacked.")
NOTHING = sentence("No conversations were found in this file.")

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_BYTES = 20


@dataclass(frozen=True)
class Source:
    """A JSON text in a file: `read` gives its next bytes. So many of others come `before` it, of `total` in all."""

    read: Callable[[int], bytes]
    before: int
    total: int


def sources(file: IO[bytes], size: int, most: int) -> Iterator[Source]:
    """The JSON texts in a file of `size` bytes. An archive may unpack to `most` bytes.

    Raises UnreadableError, also while one of them is being read.
    """
    file.seek(0)
    if file.read(4) not in {b"PK\x03\x04", b"PK\x05\x06"}:
        file.seek(0)
        yield Source(file.read, 0, size)
        return
    _refuse_bursting(file, size)
    try:
        with zipfile.ZipFile(file) as archive:
            members = _members(archive, most)
            before, total = 0, sum(member.file_size for member in members)
            for member in members:
                with archive.open(member) as opened:
                    yield Source(_Counted(opened, member).read, before, total)
                before += member.file_size
    except (zipfile.BadZipFile, NotImplementedError, zlib.error, OSError, EOFError, ValueError, RuntimeError) as error:
        raise UnreadableError(LOCKED if "encrypted" in str(error) else BROKEN) from error


def _chosen(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    members = [member for member in archive.infolist() if not member.is_dir()]
    named = [member for member in members if CONVERSATIONS.fullmatch(member.filename)]
    return sorted(named or [each for each in members if ANY_JSON.fullmatch(each.filename)], key=_order)


def _order(member: zipfile.ZipInfo) -> tuple[int, list[tuple[int, str]]]:
    """Files of the topmost folder first, and the second before the tenth."""
    parts = re.split(r"(\d{1,9})", member.filename)
    return member.filename.count("/"), [(int(part) if part.isdecimal() else -1, part) for part in parts]


def _members(archive: zipfile.ZipFile, most: int) -> list[zipfile.ZipInfo]:
    chosen = _chosen(archive)
    if not chosen:
        raise UnreadableError(NOTHING)
    if sum(member.file_size for member in chosen) > most or len(chosen) > MOST_MEMBERS:
        raise UnreadableError(BOMB)
    for member in chosen:
        if member.file_size > HONEST_BYTES and member.file_size > MOST_RATIO * member.compress_size:
            raise UnreadableError(BOMB)
        if member.flag_bits & 1:
            raise UnreadableError(LOCKED)
    return chosen


class _Counted:
    """Reads a member of an archive no further than it says that it goes."""

    def __init__(self, opened: IO[bytes], member: zipfile.ZipInfo) -> None:
        self._opened = opened
        self._left = member.file_size

    def read(self, most: int) -> bytes:
        data = self._opened.read(most)
        self._left -= len(data)
        if self._left < 0:
            raise UnreadableError(BOMB)
        return data


def _refuse_bursting(file: IO[bytes], size: int) -> None:
    """Look at how long the list of an archive's members is before all of it is read into memory."""
    begin = max(size - 66_000, 0)
    file.seek(begin)
    tail = file.read(66_000)
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) - place < _END.size:
        raise UnreadableError(BROKEN)
    length = _END.unpack_from(tail, place)[5]
    large = place - _LOCATOR_BYTES - _END64.size
    if large >= 0 and tail[place - _LOCATOR_BYTES :].startswith(b"PK\x06\x07"):
        length = _END64.unpack_from(tail, large)[8]
    if length > MOST_DIRECTORY:
        raise UnreadableError(BOMB)
