"""Zip archives that are sent while they are made, with no more than a piece of one file in memory."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

# The first year that an archive can hold.
MIN_YEAR = 1980
FILE_MODE = 0o644


@dataclass(frozen=True)
class ArchiveFile:
    """A file of an archive: its name, when it was changed, and its text in pieces."""

    name: str
    modified_at: datetime
    pieces: Iterable[str]


def iter_archive(files: Iterable[ArchiveFile]) -> Iterator[bytes]:
    """Yield a zip archive of files, in pieces. The same files give the same bytes."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as archive:
        for file in files:
            with archive.open(_file_info(file), "w") as target:
                for piece in file.pieces:
                    target.write(piece.encode("utf-8", "replace"))
                    yield sink.take()
    yield sink.take()


def _file_info(file: ArchiveFile) -> zipfile.ZipInfo:
    at = file.modified_at
    date_time = (at.year, at.month, at.day, at.hour, at.minute, at.second)
    info = zipfile.ZipInfo(file.name, max(date_time, (MIN_YEAR, 1, 1, 0, 0, 0)))
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = FILE_MODE << 16
    return info


class _Sink:
    """A file that cannot be read or rewound; what was written is handed over once."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes, /) -> int:
        """Take bytes; called by the archive."""
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing; called by the archive."""

    def close(self) -> None:
        """Do nothing; an archive may call it."""

    def take(self) -> bytes:
        """Return what was written since the last time."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data
