"""The text of an answer while it arrives: what a server repeats is dropped, and what no database stores is replaced."""

from __future__ import annotations

REPLACEMENT = "\ufffd"
# A shorter beginning may well come twice: lists and poems repeat themselves.
MIN_REPEATED_CHARS = 16


class TextCleaner:
    """Replaces NUL and lone surrogates; a pair that came in two pieces becomes its character."""

    def __init__(self) -> None:
        self._held = ""

    def push_text(self, text: str) -> str:
        """Return the text so far that is whole."""
        text = self._held + text
        self._held = text[-1] if text and "\ud800" <= text[-1] <= "\udbff" else ""
        return _clean(text[: len(text) - len(self._held)])

    def flush_text(self) -> str:
        """Return what was held back."""
        held, self._held = self._held, ""
        return _clean(held)


class PrefixJoiner:
    """Joins what a server writes to the beginning of the answer that it was given.

    The space at the end of the beginning is not sent, because templates trim it, so that the server writes it again. A
    server that repeats the whole beginning before it goes on gets it dropped.
    """

    def __init__(self, prefix: str) -> None:
        self.sent_prefix = prefix.rstrip()
        self._space = prefix[len(self.sent_prefix) :]
        self._held: str | None = ""

    def push_text(self, text: str) -> str:
        """Return the new text so far that is known not to be a repetition."""
        if self._held is None:
            return text
        self._held += text
        repeats = len(self.sent_prefix) >= MIN_REPEATED_CHARS
        if repeats and self.sent_prefix.startswith(self._held) and self._held != self.sent_prefix:
            return ""
        rest = self._held.removeprefix(self.sent_prefix) if repeats else self._held
        if len(rest) < len(self._space) and self._space.startswith(rest):
            return ""
        return self._release(rest)

    def flush_text(self, *, is_whole: bool) -> str:
        """Return what was held back, now that nothing more comes.

        Unless the reply `is_whole`, that is the beginning of a repetition, which says nothing.
        """
        held = self._held or ""
        if not is_whole:
            self._held = None
            return ""
        if len(self.sent_prefix) >= MIN_REPEATED_CHARS:
            held = held.removeprefix(self.sent_prefix)
        return self._release(held) if held != self._space else ""

    def _release(self, text: str) -> str:
        self._held = None
        return text.removeprefix(self._space)


def _clean(text: str) -> str:
    if "\0" in text:
        text = text.replace("\0", REPLACEMENT)
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
