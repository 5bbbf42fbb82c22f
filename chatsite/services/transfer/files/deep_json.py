"""Parser of JSON of any depth, for records that are nested too deeply for the recursion of `json`."""

from __future__ import annotations

import json
import re
from typing import Any

_TOKEN = re.compile(r'\s*+(?:([{}\[\],:])|("(?:[^"\\]++|\\.)*+")|([^\s,:{}\[\]"]++))', re.DOTALL)
_OPEN = {"{": dict, "[": list}
_CLOSE = {"}": dict, "]": list}


def parse_object(text: str) -> dict[str, Any]:
    """Parse a JSON object. Raises ValueError if it is damaged, or something else."""
    parser = _Parser()
    position = 0
    while match := _TOKEN.match(text, position):
        position = match.end()
        if match[1]:
            parser.add_mark(match[1])
        else:
            parser.add_value(json.loads(match[2] or match[3], parse_constant=_reject_constant))
    if text[position:].strip() or parser.open or not isinstance(parser.root, dict):
        raise ValueError
    return parser.root


class _Parser:
    """State of the parser: the arrays and objects that are open, and what may come next."""

    def __init__(self) -> None:
        self.root: Any = None
        self.open: list[dict[str, Any] | list[Any]] = []
        self._keys: list[str | None] = []
        # What comes next: "value", "key", ":" after a key, or "," after a value.
        self._expected = "value"
        self._may_close = False

    def add_mark(self, mark: str) -> None:
        """Take a bracket, a comma or a colon. Raises ValueError if it cannot be here."""
        if mark in _OPEN:
            container = _OPEN[mark]()
            self.add_value(container)
            self.open.append(container)
            self._keys.append(None)
            self._expected, self._may_close = "key" if mark == "{" else "value", True
        elif mark in _CLOSE:
            if not self.open or not isinstance(self.open[-1], _CLOSE[mark]) or not self._may_close:
                raise ValueError
            self.open.pop()
            self._keys.pop()
            self._expected, self._may_close = ",", True
        elif mark != self._expected or not self.open:
            raise ValueError
        else:
            self._expected = "key" if mark == "," and isinstance(self.open[-1], dict) else "value"
            self._may_close = False

    def add_value(self, value: Any) -> None:
        """Take a key, or a value with all that it contains. Raises ValueError if it cannot be here."""
        if self._expected == "key" and isinstance(value, str):
            self._keys[-1], self._expected, self._may_close = value, ":", False
            return
        if self._expected != "value":
            raise ValueError
        if not self.open:
            self.root = value
        elif isinstance(self.open[-1], list):
            self.open[-1].append(value)
        else:
            self.open[-1][str(self._keys[-1])] = value
        self._expected, self._may_close = ",", bool(self.open)


def _reject_constant(constant: str) -> None:
    raise ValueError(constant)
