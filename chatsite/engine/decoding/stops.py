"""Texts that end an answer before they are written."""

from __future__ import annotations

from collections.abc import Sequence


class Stops:
    """Lets a text through up to the first of the `stops`, and holds back what may be the beginning of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self.ended = False

    def push(self, text: str) -> str:
        """What can be told now that `text` has come; nothing once a stop has."""
        if self.ended:
            return ""
        told, self._held, self.ended = split(self._held + text, self._stops)
        return told

    def rest(self) -> str:
        """What was held back, now that nothing more comes."""
        held, self._held = self._held, ""
        return held


def split(text: str, stops: Sequence[str]) -> tuple[str, str, bool]:
    """A text as what stands before the first stop, what after that may be the beginning of one, and whether one came.

    Of two stops at the same place it does not matter which it is.
    """
    found = [place for stop in stops if (place := text.find(stop)) >= 0]
    if found:
        return text[: min(found)], "", True
    most = max((len(stop) for stop in stops), default=1) - 1
    for begin in range(max(0, len(text) - most), len(text)):
        if any(stop.startswith(text[begin:]) for stop in stops):
            return text[:begin], text[begin:], False
    return text, "", False
