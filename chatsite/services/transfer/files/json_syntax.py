"""Patterns of JSON in bytes, for a file that is never parsed as a whole and may be damaged."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from chatsite.errors import NewerVersionError, NotJsonError
from chatsite.services.transfer.coercion import single_line
from chatsite.services.transfer.exports.export_json import FORMAT, VERSION

# The title of an object is looked for in so much of it.
MAX_TITLE_SEARCH_BYTES = 1024 * 1024

TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["\[\]{}]', re.DOTALL)
STRING_END = re.compile(rb'(?:[^"\\]++|\\.)*+"', re.DOTALL)
_STRING = rb'"(?:[^"\\]++|\\.){0,200}+"'
_VALUE = rb"(?:" + _STRING + rb'|[^\s",\[\]{}]{1,40})'
_RECORD_START = re.compile(rb"\{\s*(" + _STRING + rb")\s*:\s*" + _VALUE + rb"\s*,\s*(" + _STRING + rb")\s*:", re.DOTALL)
_TITLE = re.compile(rb'"(?:title|name)"\s*:\s*(' + _STRING + rb")")
_VERSION = re.compile(rb'"version"\s*:\s*(\d{1,9})')


def find_record_depth(first_bytes: bytes) -> int:
    """Return how deep the records of a file lie, by its first bytes. Raises NotJsonError or NewerVersionError."""
    if first_bytes[:1] == b"[":
        return 1
    if first_bytes[:1] != b"{":
        raise NotJsonError
    if FORMAT.encode() not in first_bytes:
        return 0
    version = _VERSION.search(first_bytes)
    if version and int(version[1]) > VERSION:
        raise NewerVersionError
    return 2


def end_before_escape(data: bytes) -> int:
    """Return the length of the data, without a final backslash that escapes the next character."""
    backslashes = len(data) - len(data.rstrip(b"\\"))
    return len(data) - backslashes % 2


def parse_object(raw: bytes) -> dict[str, Any]:
    """Parse an object. Raises ValueError if it is none, or RecursionError if it is too deep."""
    value = json.loads(raw.decode("utf-8", "replace"), parse_constant=_reject_constant)
    if not isinstance(value, dict):
        raise ValueError
    return value


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(constant)


def record_start_pattern(raw: bytes) -> re.Pattern[bytes] | None:
    """Return a pattern for the beginning of this file's records: their first two keys. None without two keys."""
    match = _RECORD_START.match(raw)
    if match is None:
        return None
    first, second = re.escape(match[1]), re.escape(match[2])
    return re.compile(rb"\{\s*" + first + rb"\s*:\s*" + _VALUE + rb"\s*,\s*" + second + rb"\s*:", re.DOTALL)


def find_title(raw: bytes) -> str | None:
    """Return the likely title of an object that cannot be parsed; None if there is none."""
    match = _TITLE.search(raw[:MAX_TITLE_SEARCH_BYTES])
    if match is None:
        return None
    try:
        return single_line(json.loads(match[1].decode("utf-8", "replace")), 120)
    except ValueError:
        return None
