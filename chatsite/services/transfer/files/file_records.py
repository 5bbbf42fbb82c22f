"""Records of an uploaded file: reads each file in it as JSON or Markdown, and says once what cannot be read.

Where a file has a record for each message, those of one conversation become one record (`record_groups`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from chatsite.errors import (
    ArchiveBombError,
    ArchivePageError,
    FilesWithoutMessageError,
    MoreUnknownRecordsError,
    NoConversationsInFileError,
    NotesWithoutRolesError,
    NothingFoundError,
    NotJsonError,
    RecordDamagedError,
    RecordTooLargeError,
    TakeoutPageError,
    UnknownFormatError,
    UnreadableError,
    gettext_noop,
)
from chatsite.services.transfer.files import archived_files, archives, record_groups
from chatsite.services.transfer.files.archived_details import ArchivedDetails, shorten_list
from chatsite.services.transfer.files.archived_files import ArchivedFiles
from chatsite.services.transfer.files.archives import ArchiveMember, Upload
from chatsite.services.transfer.files.json_records import MAX_RECORD_BYTES, RecordReader
from chatsite.services.transfer.formats import detect, markdown_notes, products
from chatsite.services.transfer.records import Record, RecordKind

# After so many records of an unknown kind, a file counts as unknown, or the others are only counted.
MAX_UNKNOWN_RECORDS = 20
FILES_TITLE = gettext_noop("Pictures and files")
# The length of an empty list or object with a line end.
MAX_EMPTY_BYTES = 4


def iter_records(upload: Upload) -> Iterator[Record]:
    """Yield the records of an upload, in the same order each time; their `end_offset` counts bytes of the upload.

    Raises UnreadableError if there is not a single one.
    """
    refusals: list[tuple[ArchiveMember, UnreadableError]] = []
    is_anything_found = False
    other_notes = 0
    files_beside: list[ArchivedFiles] = []
    details = ArchivedDetails()
    for member in archives.iter_members(upload):
        taken_before = details.taken_count
        try:
            for record in _iter_member_records(member, upload.on_read, details):
                if member.beside not in files_beside:
                    files_beside.append(member.beside)
                is_anything_found = True
                member.beside.name_files_of(record)
                details.complete(record)
                offset = member.start + member.share * min(record.end_offset / max(member.size_bytes, 1), 1)
                yield replace(record, end_offset=int(upload.size_bytes * offset))
        except ArchiveBombError:
            raise
        except NotesWithoutRolesError as error:
            other_notes += 1
            refusals.append((member, error))
        except UnreadableError as error:
            if member.is_only_file:
                raise
            refusals.append((member, error))
            if isinstance(error, NoConversationsInFileError | NotJsonError) and details.taken_count == taken_before:
                _note_other_file(member, details)
    if not is_anything_found:
        raise _find_main_reason(refusals, other_notes)
    yield from details.iter_personas()
    yield from _refusal_records(refusals, other_notes, upload.size_bytes)
    for title, reason in details.iter_left_out():
        yield Record("", {}, upload.size_bytes, reason, title=title)
    if unused := [name for files in files_beside for name in files.list_unused()]:
        unused_error = FilesWithoutMessageError(count=len(unused), names=shorten_list(unused))
        yield Record("", {}, upload.size_bytes, unused_error, title=FILES_TITLE)


def _note_other_file(member: ArchiveMember, details: ArchivedDetails) -> None:
    """Note that a file has no conversations, unless nothing in it is lost."""
    name = member.name.rpartition("/")[2]
    if name != archived_files.NAMES_FILE and member.size_bytes > MAX_EMPTY_BYTES:
        details.add_other_part(name)


def _find_main_reason(refusals: list[tuple[ArchiveMember, UnreadableError]], other_notes: int) -> UnreadableError:
    """Return why nothing of an upload can be read: what is known of one of its files, if anything is."""
    vague = (NothingFoundError, NotJsonError, UnknownFormatError, NotesWithoutRolesError)
    if errors := [error for _, error in refusals if not isinstance(error, vague)]:
        return errors[0]
    if other_notes:
        return NotesWithoutRolesError(count=other_notes)
    return NothingFoundError()


def _refusal_records(
    refusals: list[tuple[ArchiveMember, UnreadableError]], other_notes: int, size_bytes: int
) -> Iterator[Record]:
    """Yield a record for each file of an archive that should be readable and is not, as far as they are not many.

    Files that never have conversations are passed over.
    """
    expected = (NoConversationsInFileError, ArchivePageError, TakeoutPageError, NotesWithoutRolesError, NotJsonError)
    unexpected = [each for each in refusals if not isinstance(each[1], expected)]
    for member, error in unexpected[:MAX_UNKNOWN_RECORDS]:
        yield Record("", {}, size_bytes, error, title=member.name[-120:])
    if len(unexpected) > MAX_UNKNOWN_RECORDS:
        yield Record("", {}, size_bytes, MoreUnknownRecordsError(count=len(unexpected) - MAX_UNKNOWN_RECORDS))
    if other_notes:
        yield Record("", {}, size_bytes, NotesWithoutRolesError(count=other_notes), title="Markdown")


def _iter_member_records(
    member: ArchiveMember, on_read: Callable[[], None], details: ArchivedDetails
) -> Iterator[Record]:
    """Yield the records of one file, and give `details` what else it has. Raises UnreadableError if none is known."""
    first_bytes = member.read(products.PROBE_BYTES)
    on_read()
    if refusal := products.find_refusal(member.name, first_bytes):
        raise refusal
    read = _reader(first_bytes, member.read, on_read)
    if _is_json(first_bytes):
        title = _file_title(member.name)
        reader = RecordReader(read)
        records = record_groups.group_messages(details.take_from(reader.iter_records()), title)
        yield from _limit_unknown(records, member.name, first_bytes)
        for name in reader.list_passed_over():
            details.add_other_part(name)
    elif member.name.lower().endswith(markdown_notes.MARKDOWN_SUFFIXES):
        yield _read_note(member, read)
    else:
        raise NotJsonError


def _is_json(first_bytes: bytes) -> bool:
    return first_bytes.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in {b"{", b"["}


def _read_note(member: ArchiveMember, read: Callable[[int], bytes]) -> Record:
    """Return a Markdown file as a record. Raises NotesWithoutRolesError or RecordTooLargeError."""
    data = b"".join(iter(lambda: read(MAX_RECORD_BYTES), b"")) if member.size_bytes <= MAX_RECORD_BYTES else None
    if data is None:
        raise RecordTooLargeError
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    if not markdown_notes.has_roles(text):
        raise NotesWithoutRolesError(count=1)
    value = {"text": text, "title": _file_title(member.name)}
    return Record("", value, member.size_bytes, kind=RecordKind.NOTE)


def _limit_unknown(records: Iterator[Record], path: str, first_bytes: bytes) -> Iterator[Record]:
    """Yield records, those of an unknown kind only if there are others, and only the first ones of them.

    Raises UnreadableError if only unknown ones come, or none and the file is one that never has conversations.
    """
    held: list[Record] = []
    unknown_count = 0
    is_any_known = False
    last_offset = 0
    for record in records:
        last_offset = record.end_offset
        is_unknown = not record.error and not record.array_name and detect.find_parser(record) is None
        unknown_count += is_unknown
        if is_any_known or not (is_unknown or isinstance(record.error, RecordDamagedError | RecordTooLargeError)):
            is_any_known = True
            yield from held
            held = []
            if not is_unknown or unknown_count <= MAX_UNKNOWN_RECORDS:
                yield record
        else:
            held.append(record)
            if len(held) > MAX_UNKNOWN_RECORDS:
                break
    if held and not is_any_known:
        yield from _refuse(held, path, first_bytes)
    elif not is_any_known and (refusal := products.find_other_file(path) or products.find_unsupported(first_bytes)):
        raise refusal
    elif unknown_count > MAX_UNKNOWN_RECORDS:
        count = unknown_count - MAX_UNKNOWN_RECORDS
        yield Record("", {}, last_offset, MoreUnknownRecordsError(count=count))


def _refuse(held: list[Record], path: str, first_bytes: bytes) -> list[Record]:
    """Return the damaged ones of the first records of a file, none of which could be read.

    Raises UnreadableError with the reason if there are no damaged ones, or if the reason is better known.
    """
    damaged = [record for record in held if record.error]
    refusal = products.find_unsupported(first_bytes)
    if refusal is None and damaged:
        refusal = products.find_template(first_bytes)
    if refusal:
        raise refusal
    if not damaged:
        raise products.find_other_file(path) or UnknownFormatError()
    return damaged


def _file_title(path: str) -> str:
    name = path.rpartition("/")[2]
    return name.rpartition(".")[0] or name


def _reader(first_bytes: bytes, read: Callable[[int], bytes], on_read: Callable[[], None]) -> Callable[[int], bytes]:
    """Return a reader of what was read already, and then of the rest."""
    pending = [first_bytes] if first_bytes else []

    def read_next(max_bytes: int) -> bytes:
        on_read()
        return pending.pop() if pending else read(max_bytes)

    return read_next
