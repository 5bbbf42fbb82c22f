"""Reader that cuts the JSON of a file into records, with no more than one record in memory.

A record is an object: an element of the top-level array, or of a list of conversations in the top-level object, or the
top-level object itself. A damaged record does not affect others: the next one is found by the keys with which the first
one began. Nothing here is recursive, so depth does no harm, and records that are too large are skipped.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from chatsite.errors import RecordDamagedError, RecordTooDeepError, RecordTooLargeError, UnreadableError
from chatsite.services.transfer.files import deep_json, json_syntax
from chatsite.services.transfer.formats import message_lists
from chatsite.services.transfer.records import Record

CHUNK_BYTES = 1024 * 1024
MAX_RECORD_BYTES = 32 * 1024 * 1024
MAX_DEPTH = 100
# An answer of LibreChat lies in the object of its question, two levels deeper.
MAX_NESTED_DEPTH = 20_000
NESTED_MESSAGE = re.compile(rb'"(?:conversationId|messageId)"')
# Each array and object takes some sixty bytes of memory, even if it is two bytes of the file.
MAX_BRACKETS = 1_000_000
MAX_RESYNCS = 100
MAX_OTHER_LISTS = 20
PROBE_BYTES = 400
# Names of a list of conversations in the top-level object, in exports of Grok, Qwen and Chatbot UI, and of converters.
LIST_NAMES = {"conversations", "chats", "data", "items", "history"}


class RecordReader:
    """Reader of the records of a file. `read` returns at most so many next bytes, and none at the end of the file."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        # The bytes that are still needed, how many were dropped before them, and the scan position in them.
        self._data, self._dropped_bytes, self._position = b"", 0, 0
        # The present depth, and the depth of the records.
        self._depth, self._record_depth = 0, -1
        # The last key or text of the top-level object, and the bracket that was opened after it.
        self._array_name, self._outer_bracket = "", b""
        self._is_native = False
        self._in_string = False
        # The beginning of the current record in `_data`.
        self._record_start: int | None = None
        # The beginning of the first element of a list that may be one of conversations.
        self._element_start: int | None = None
        self._bracket_count, self._deepest = 0, 0
        self._record_pattern: re.Pattern[bytes] | None = None
        self._damaged_count = 0
        # How many objects of other lists of the top-level object were passed over, by the name of the list.
        self._passed_over: Counter[str] = Counter()

    def iter_records(self) -> Iterator[Record]:
        """Yield all records.

        Raises NotJsonError if the file is no JSON, or NewerVersionError for an export of a newer version of this site.
        """
        if not self._probe_format():
            return
        while True:
            token = self._next_token()
            if token is None:
                if self._is_record_too_large():
                    yield from self._skip_large_record()
                elif not self._read_more():
                    if self._record_start is None:
                        return
                    self._position = len(self._data)
                    yield self._damaged_record()
                continue
            self._position = token.end()
            if token[0][:1] == b'"':
                self._remember_array_name(token[0])
            elif token[0] in b"[{":
                self._open_bracket(token)
            elif (record := self._close_bracket()) is not None:
                yield record

    def _probe_format(self) -> bool:
        """Determine from the first bytes how deep the records lie. Returns whether the file has any bytes."""
        while len(self._data.lstrip()) < PROBE_BYTES and self._read_more():
            continue
        first_bytes = self._data.removeprefix(b"\xef\xbb\xbf").lstrip()[:PROBE_BYTES]
        self._record_depth = json_syntax.find_record_depth(first_bytes)
        self._is_native = self._record_depth == 2
        return bool(self._data)

    def _next_token(self) -> re.Match[bytes] | None:
        """Return the next string or bracket; None if more bytes have to be read for it."""
        if self._in_string:
            end = json_syntax.STRING_END.match(self._data, self._position)
            if end is None:
                self._position = json_syntax.end_before_escape(self._data)
                return None
            self._position, self._in_string = end.end(), False
        token = json_syntax.TOKEN.search(self._data, self._position)
        if token is None or token[0] == b'"':
            self._position = token.start() if token else len(self._data)
            return None
        return token

    def _read_more(self) -> bool:
        """Drop the bytes before the current record and read more; returns whether there were any.

        The longer the unfinished record, the more is read at once, so that long records are not scanned again and
        again.
        """
        keep_from = self._position if self._record_start is None else self._record_start
        unread = self._data[keep_from:]
        chunk = self._read(max(CHUNK_BYTES, len(unread)))
        if chunk:
            self._data, self._dropped_bytes, self._position = (
                unread + chunk,
                self._dropped_bytes + keep_from,
                self._position - keep_from,
            )
            self._record_start = None if self._record_start is None else 0
            if self._element_start is not None:
                self._element_start -= keep_from
        return bool(chunk)

    def _remember_array_name(self, string: bytes) -> None:
        if self._depth == 1 and len(string) < PROBE_BYTES:
            self._array_name = string[1:-1].decode("utf-8", "replace")

    def _open_bracket(self, token: re.Match[bytes]) -> None:
        """Enter an array or object; one at the depth of the records starts a record."""
        if self._depth == 1:
            self._outer_bracket = token[0]
        if token[0] == b"{" and self._starts_record():
            self._record_start, self._bracket_count, self._deepest = token.start(), 0, 0
        elif token[0] == b"{" and self._record_depth == 0 and self._record_start is not None and self._is_in_list():
            self._element_start = token.start()
        elif token[0] == b"{" and self._depth == 2 and self._outer_bracket == b"[":
            self._note_other_list()
        self._depth += 1
        self._bracket_count += 1
        self._deepest = max(self._deepest, self._depth)

    def _note_other_list(self) -> None:
        if self._array_name in self._passed_over or len(self._passed_over) < MAX_OTHER_LISTS:
            self._passed_over[self._array_name] += 1

    def list_passed_over(self) -> list[str]:
        """Return the lists of a file that stand beside its list of conversations, each with its length.

        Call it when all records are read. Lists of a conversation are a matter of its parser.
        """
        is_wrapped = self._record_depth == 2 and not self._is_native
        return [f"{name} ({count})" for name, count in self._passed_over.items()] if is_wrapped else []

    def _starts_record(self) -> bool:
        """Return whether the object that begins here is a record."""
        if self._depth != self._record_depth:
            return False
        return self._record_depth < 2 or self._is_native or self._is_in_list()

    def _is_in_list(self) -> bool:
        """Return whether what begins here is an element of an array of the top-level object that has a known name."""
        return self._depth == 2 and self._outer_bracket == b"[" and self._array_name in LIST_NAMES

    def _close_bracket(self) -> Record | None:
        """Leave an array or object. Returns the record that ends here, or None."""
        self._depth = max(self._depth - 1, 0)
        if self._depth == 2 and self._element_start is not None:
            self._enter_list(self._element_start)
        if self._record_start is None or self._depth > self._record_depth:
            return None
        raw = self._data[self._record_start : self._position]
        try:
            value = self._parse_record(raw)
        except RecordTooDeepError as error:
            self._record_start = None
            return self._failed_record(raw, error)
        except (ValueError, RecursionError):
            return self._damaged_record()
        self._record_start = None
        self._record_pattern = self._record_pattern or json_syntax.record_start_pattern(raw)
        return Record(self._array_name if self._is_native else "", value, self._dropped_bytes + self._position)

    def _enter_list(self, element_start: int) -> None:
        """Make the elements of a list the records, once the first one is known to be more than a message."""
        self._element_start = None
        if _is_message(self._data[element_start : self._position]):
            # The list belongs to the conversation that the top-level object is, so its next elements are not looked at.
            self._outer_bracket = b""
        else:
            self._record_depth, self._record_start = 2, element_start

    def _parse_record(self, raw: bytes) -> dict[str, Any]:
        """Parse a record. Raises RecordTooDeepError, or ValueError if it is damaged."""
        if self._bracket_count > MAX_BRACKETS or self._deepest > MAX_NESTED_DEPTH:
            raise RecordTooDeepError
        if self._deepest <= MAX_DEPTH:
            return json_syntax.parse_object(raw)
        if not NESTED_MESSAGE.search(raw[:PROBE_BYTES]):
            raise RecordTooDeepError
        return deep_json.parse_object(raw.decode("utf-8", "replace"))

    def _is_record_too_large(self) -> bool:
        return (
            len(self._data) - (self._position if self._record_start is None else self._record_start) > MAX_RECORD_BYTES
        )

    def _skip_large_record(self) -> Iterator[Record]:
        """Give up a record that is too large: its end is missing, or it is longer than MAX_RECORD_BYTES.

        Its brackets are still counted, in order to find where it ends.
        """
        if self._record_start is not None:
            raw = self._data[self._record_start :]
            if self._find_next_record(raw):
                self._position = len(self._data)
                yield self._damaged_record()
                return
            self._record_start = self._element_start = None
            yield self._failed_record(raw, RecordTooLargeError())
        self._in_string = self._in_string or self._position < len(self._data)
        self._position = json_syntax.end_before_escape(self._data)

    def _damaged_record(self) -> Record:
        """Return the current record as damaged, and continue where the next one seems to begin within it."""
        raw = self._data[self._record_start or 0 : self._position]
        self._record_start = self._element_start = None
        self._damaged_count += 1
        next_record = self._find_next_record(raw)
        if next_record:
            self._position -= len(raw) - next_record.start()
            self._depth, self._in_string = self._record_depth, False
            raw = raw[: next_record.start()]
        return self._failed_record(raw, RecordDamagedError())

    def _find_next_record(self, raw: bytes) -> re.Match[bytes] | None:
        pattern = self._record_pattern if self._damaged_count <= MAX_RESYNCS else None
        return pattern.search(raw, 1) if pattern else None

    def _failed_record(self, raw: bytes, error: UnreadableError) -> Record:
        return Record("", {}, self._dropped_bytes + self._position, error, json_syntax.find_title(raw))


def _is_message(raw: bytes) -> bool:
    try:
        return message_lists.is_message(json_syntax.parse_object(raw))
    except (ValueError, RecursionError):
        return False
