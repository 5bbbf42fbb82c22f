"""Archives: find the files with conversations in an uploaded file, which is one itself or a zip archive of some.

The names in an archive are only compared with patterns. Of what is in it nothing is written to the disk, but for an
archive inside the archive: its directory is at its end, so it is unpacked into a file without a name.
"""

from __future__ import annotations

import contextlib
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import IO

from chatsite.errors import (
    ArchiveBombError,
    ArchiveDamagedError,
    ArchiveLockedError,
    ArchiveTooDeepError,
    NothingFoundError,
    UnreadableError,
)
from chatsite.services.transfer.files import archived_files
from chatsite.services.transfer.files.archived_files import ArchivedFiles
from chatsite.services.transfer.formats.products import PROBE_BYTES

MAX_MEMBERS = 10_000
MAX_DIRECTORY_BYTES = 8 * 1024 * 1024
# JSON of conversations shrinks to about a tenth; a file that shrinks to a two-hundredth is a zip bomb.
MAX_COMPRESSION_RATIO = 200
MIN_SUSPICIOUS_BYTES = 10_000_000
# What says more about the conversations, in the exports of ChatGPT and Claude. It is read before them.
DETAILS_FILE = re.compile(
    r"(?:.*/)?(?:message_feedback\.json|projects\.json|projects/[^/]*\.json)", re.IGNORECASE | re.DOTALL
)
# The files with conversations in the exports of ChatGPT, Claude, DeepSeek and Grok, and in the archive of OpenAI's
# privacy portal, which has archives of conversations among archives of other things. They come first of the others.
CONVERSATIONS_FILE = re.compile(
    r"(?:.*/)?(?:conversations(?:[-_ ]?\d{1,6})?|prod-grok-backend)\.json", re.IGNORECASE | re.DOTALL
)
CONVERSATIONS_ARCHIVE = re.compile(r"(?:.*/)?conversations[^/]*\.zip", re.IGNORECASE | re.DOTALL)
# Hidden folders are those of a program, such as the settings of Obsidian.
READABLE_FILE = re.compile(r"(?!__MACOSX/|(?:.*/)?\.).*\.(?:jsonl?|md|markdown|txt|zip)", re.IGNORECASE | re.DOTALL)
# The beginning of a web page is read to say what to do instead.
WEB_PAGE = re.compile(r"(?!__MACOSX/|(?:.*/)?\.).*\.html", re.IGNORECASE | re.DOTALL)
READING_ORDER = (DETAILS_FILE, CONVERSATIONS_FILE, CONVERSATIONS_ARCHIVE, READABLE_FILE, WEB_PAGE)
COPY_BYTES = 1024 * 1024


_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_BYTES = 20
_ZIP_ERRORS = (zipfile.BadZipFile, NotImplementedError, zlib.error, OSError, EOFError, ValueError, RuntimeError)


@dataclass(frozen=True)
class Upload:
    """An uploaded file. It may unpack to `max_unpacked_bytes` bytes; archives in it are unpacked in `scratch_dir`.

    `on_read` is called after each piece that is read, of which there may be many before there is a record.
    """

    file: IO[bytes]
    name: str
    size_bytes: int
    max_unpacked_bytes: int
    scratch_dir: str | None = None
    on_read: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class ArchiveMember:
    """A file of `size_bytes` bytes in an upload, or the upload itself: `read` returns its next bytes.

    `start` and `share` are its place and its size in the upload as parts of 1; `is_only_file` says that there can be
    no others. `beside` are the files of its archive that are not read.
    """

    name: str
    size_bytes: int
    read: Callable[[int], bytes]
    start: float = 0.0
    share: float = 1.0
    is_only_file: bool = False
    beside: ArchivedFiles = field(default_factory=ArchivedFiles)


def iter_members(upload: Upload) -> Iterator[ArchiveMember]:
    """Yield the files of an upload that may have conversations, also those of archives in an archive.

    Raises NothingFoundError, ArchiveBombError, ArchiveLockedError or ArchiveDamagedError, also while a member is read.
    """
    if not _is_zip(upload.file):
        upload.file.seek(0)
        yield ArchiveMember(upload.name, upload.size_bytes, upload.file.read, is_only_file=True)
        return
    limits = _UnpackLimits(upload.max_unpacked_bytes)
    for member in _iter_zip(upload.file, upload.size_bytes, limits):
        if not member.name.lower().endswith(".zip"):
            yield member
            continue
        with tempfile.TemporaryFile(dir=upload.scratch_dir) as inner:
            yield from _iter_inner_zip(inner, member, limits, on_read=upload.on_read)


def is_readable(name: str) -> bool:
    """Return whether a file of this path in an archive is read."""
    return any(pattern.fullmatch(name) for pattern in READING_ORDER)


def _is_zip(file: IO[bytes]) -> bool:
    file.seek(0)
    return file.read(4) in {b"PK\x03\x04", b"PK\x05\x06"}


def _iter_inner_zip(
    file: IO[bytes], outer: ArchiveMember, limits: _UnpackLimits, *, on_read: Callable[[], None]
) -> Iterator[ArchiveMember]:
    """Yield the files of the archive that the member `outer` is; none if it has no files of a known kind.

    It is copied into `file` first. One that cannot be unpacked is yielded as a file that cannot be read, so that what
    lies beside it still can.
    """
    try:
        while data := outer.read(COPY_BYTES):
            file.write(data)
            on_read()
        if not _is_zip(file):
            raise ArchiveDamagedError
        for member in _iter_zip(file, outer.size_bytes, limits):
            placed = replace(member, start=outer.start + outer.share * member.start, share=outer.share * member.share)
            is_archive = member.name.lower().endswith(".zip")
            yield replace(placed, read=_failing_reader(ArchiveTooDeepError())) if is_archive else placed
    except NothingFoundError:
        return
    except (ArchiveDamagedError, ArchiveLockedError) as error:
        yield replace(outer, read=_failing_reader(error))


def _failing_reader(error: UnreadableError) -> Callable[[int], bytes]:
    """Return the reader of a member that cannot be read, so that the report names it and says why."""

    def read(max_bytes: int) -> bytes:
        raise error

    return read


def _iter_zip(file: IO[bytes], size_bytes: int, limits: _UnpackLimits) -> Iterator[ArchiveMember]:
    _check_directory_size(file, size_bytes)
    try:
        with zipfile.ZipFile(file) as archive:
            members = _select_members(archive)
            limits.add(members)
            beside = _list_files_beside(archive, members)
            bytes_before, total_bytes = 0, max(sum(map(_size_to_read, members)), 1)
            for member in members:
                start, share = bytes_before / total_bytes, _size_to_read(member) / total_bytes
                with contextlib.ExitStack() as stack:
                    read = _open_member(archive, member, stack)
                    yield ArchiveMember(_member_path(member), member.file_size, read, start, share, beside=beside)
                bytes_before += _size_to_read(member)
    except _ZIP_ERRORS as error:
        raise (ArchiveLockedError() if "encrypted" in str(error) else ArchiveDamagedError()) from error


def _open_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, stack: contextlib.ExitStack
) -> Callable[[int], bytes]:
    """Return the reader of a member, which `stack` closes. It fails for one that cannot be opened; the others can."""
    try:
        stream = stack.enter_context(archive.open(member))
    except _ZIP_ERRORS:
        return _failing_reader(ArchiveDamagedError())
    return _LimitedReader(stream, member).read


def _select_members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the members of a readable kind: those with conversations first, each kind in its natural order.

    Raises NothingFoundError.
    """
    rest = [member for member in archive.infolist() if not member.is_dir()]
    selected: list[zipfile.ZipInfo] = []
    for pattern in READING_ORDER:
        matching = [member for member in rest if pattern.fullmatch(_member_path(member))]
        selected += sorted(matching, key=_member_sort_key)
        rest = [member for member in rest if not pattern.fullmatch(_member_path(member))]
    if not selected:
        raise NothingFoundError
    return selected


def _list_files_beside(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> ArchivedFiles:
    """Return the files of an archive that are not read, with their names if one of `members` is a list of them."""
    selected = {member.filename for member in members}
    paths = [_member_path(member) for member in archive.infolist() if member.filename not in selected]
    names: dict[str, str] = {}
    for member in members:
        is_list = _member_path(member).rpartition("/")[2] == archived_files.NAMES_FILE
        if is_list and member.file_size <= archived_files.MAX_NAMES_BYTES:
            with contextlib.suppress(*_ZIP_ERRORS), archive.open(member) as stream:
                names |= archived_files.parse_names(stream.read(archived_files.MAX_NAMES_BYTES))
    return ArchivedFiles([path for path in paths if not path.endswith("/")], names)


def _size_to_read(member: zipfile.ZipInfo) -> int:
    """Return how many bytes of a member are read at most. The page in an archive repeats all of its conversations."""
    is_page = WEB_PAGE.fullmatch(_member_path(member))
    return min(member.file_size, PROBE_BYTES) if is_page else member.file_size


def _member_path(member: zipfile.ZipInfo) -> str:
    """Return the path of a member with slashes; some programs on Windows write backslashes."""
    return member.filename.replace("\\", "/")


def _member_sort_key(member: zipfile.ZipInfo) -> tuple[int, list[tuple[int, str]]]:
    """Return a sort key by depth of the folder, then by name with numbers compared as numbers."""
    path = _member_path(member)
    parts = re.split(r"(\d{1,9})", path)
    return path.count("/"), [(int(part) if part.isdecimal() else -1, part) for part in parts]


class _UnpackLimits:
    """What may be unpacked of an upload, together from all of its archives."""

    def __init__(self, max_bytes: int) -> None:
        self._free_bytes = max_bytes
        self._free_members = MAX_MEMBERS

    def add(self, members: list[zipfile.ZipInfo]) -> None:
        """Count members that are going to be unpacked. Raises ArchiveBombError or ArchiveLockedError."""
        self._free_bytes -= sum(map(_size_to_read, members))
        self._free_members -= len(members)
        if self._free_bytes < 0 or self._free_members < 0 or any(map(_is_suspicious, members)):
            raise ArchiveBombError
        if any(member.flag_bits & 1 for member in members):
            raise ArchiveLockedError


def _is_suspicious(member: zipfile.ZipInfo) -> bool:
    return member.file_size > MIN_SUSPICIOUS_BYTES and member.file_size > MAX_COMPRESSION_RATIO * member.compress_size


class _LimitedReader:
    """Reader of an archive member that stops at the size that the archive states."""

    def __init__(self, stream: IO[bytes], member: zipfile.ZipInfo) -> None:
        self._stream = stream
        self._remaining_bytes = member.file_size

    def read(self, max_bytes: int) -> bytes:
        """Return the next bytes, at most `max_bytes`.

        Raises ArchiveBombError beyond the stated size, and ArchiveDamagedError if they cannot be unpacked.
        """
        try:
            data = self._stream.read(max_bytes)
        except _ZIP_ERRORS as error:
            raise ArchiveDamagedError from error
        self._remaining_bytes -= len(data)
        if self._remaining_bytes < 0:
            raise ArchiveBombError
        return data


def _check_directory_size(file: IO[bytes], size_bytes: int) -> None:
    """Check the size of an archive's directory before zipfile reads all of it into memory.

    Raises ArchiveDamagedError if there is none, or ArchiveBombError if it is larger than MAX_DIRECTORY_BYTES.
    """
    tail_start = max(size_bytes - 66_000, 0)
    file.seek(tail_start)
    tail = file.read(66_000)
    record_start = tail.rfind(b"PK\x05\x06")
    if record_start < 0 or len(tail) - record_start < _END.size:
        raise ArchiveDamagedError
    length = _END.unpack_from(tail, record_start)[5]
    zip64_start = record_start - _LOCATOR_BYTES - _END64.size
    if zip64_start >= 0 and tail[record_start - _LOCATOR_BYTES :].startswith(b"PK\x06\x07"):
        length = _END64.unpack_from(tail, zip64_start)[8]
    if length > MAX_DIRECTORY_BYTES:
        raise ArchiveBombError
