"""Stop strings: texts before which an answer ends."""

from __future__ import annotations

from collections.abc import Sequence


class StopStringFilter:
    """Lets a text through up to the first stop string, and holds back what may be the beginning of one."""

    def __init__(self, stop_strings: Sequence[str]) -> None:
        self._stop_strings = stop_strings
        self._held_text = ""
        self.is_stopped = False

    def push_text(self, text: str) -> str:
        """Return what can be shown now that `text` has come; nothing after a stop string."""
        if self.is_stopped:
            return ""
        visible_text, self._held_text, self.is_stopped = split_at_stop(self._held_text + text, self._stop_strings)
        return visible_text

    def flush_text(self) -> str:
        """Return the text that was held back, now that nothing more comes."""
        held_text, self._held_text = self._held_text, ""
        return held_text


def split_at_stop(text: str, stop_strings: Sequence[str]) -> tuple[str, str, bool]:
    """Split a text into what stands before a stop string and what may begin one; say whether one came.

    Of two stop strings at one place it does not matter which it is.
    """
    stop_positions = [position for stop in stop_strings if (position := text.find(stop)) >= 0]
    if stop_positions:
        return text[: min(stop_positions)], "", True
    max_held = max((len(stop) for stop in stop_strings), default=1) - 1
    for begin in range(max(0, len(text) - max_held), len(text)):
        if any(stop.startswith(text[begin:]) for stop in stop_strings):
            return text[:begin], text[begin:], False
    return text, "", False
