"""What a model thinks before it answers, told from the answer in the text that it writes.

Models that think put their reasoning between `<think>` and `</think>` and begin their text with it (DeepSeek-R1, 2025;
Qwen3, 2025). Some templates have written the opening tag already, so that the text begins inside. A text that does not
begin with the tag has no reasoning, whatever tags it speaks of further on.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

OPEN_TAG, CLOSE_TAG = "<think>", "</think>"
# Space at a border belongs to no text. A text that has more of it is let through, so that nothing is held for ever.
MAX_HELD_SPACE = 10_000


@dataclass(frozen=True)
class TextPiece:
    """Some text of a model, which is never empty: of its reasoning or of its answer."""

    text: str
    is_reasoning: bool


class _State(enum.Enum):
    """Where in the text a splitter is: before a tag, in the reasoning before or in its text, or after it."""

    START = enum.auto()
    OPENED = enum.auto()
    THINKING = enum.auto()
    CLOSED = enum.auto()
    ANSWERING = enum.auto()


class ReasoningSplitter:
    """Tells reasoning from the answer while the text arrives in pieces of any size.

    With `is_open` the text begins inside the reasoning; a tag that opens it once more is dropped. The tags and the
    space around them belong to neither text. What may be the beginning of a tag is held back.
    """

    def __init__(self, is_open: bool = False) -> None:
        self._state = _State.OPENED if is_open else _State.START
        self._may_open = True
        self._held_text = ""

    @property
    def is_thinking(self) -> bool:
        """Whether the text is inside the reasoning."""
        return self._state in {_State.OPENED, _State.THINKING}

    @property
    def is_answering(self) -> bool:
        """Whether the answer has begun; False while that cannot be told."""
        return self._state is _State.ANSWERING

    def push_text(self, text: str) -> list[TextPiece]:
        """Return what is known now that `text` has come, in its order."""
        self._held_text += text
        pieces: list[TextPiece] = []
        while self._advance(pieces):
            pass
        return pieces

    def flush_text(self) -> list[TextPiece]:
        """Return what was held back, now that nothing more comes."""
        held_text, self._held_text = self._held_text, ""
        # Space at the end of the reasoning says nothing.
        if self.is_thinking:
            held_text = held_text.rstrip() if self._state is _State.THINKING else held_text.strip()
        return [TextPiece(held_text, self.is_thinking)] if held_text else []

    def _advance(self, pieces: list[TextPiece]) -> bool:
        """Take a step through the held text; return whether another one may follow."""
        if self._state in {_State.START, _State.OPENED}:
            return self._pass_open_tag()
        if self._state is _State.THINKING:
            return self._take_reasoning(pieces)
        text, self._held_text = self._held_text, ""
        if self._state is _State.CLOSED:
            text = text.lstrip()
            self._state = _State.ANSWERING if text else _State.CLOSED
        if text:
            pieces.append(TextPiece(text, is_reasoning=False))
        return False

    def _pass_open_tag(self) -> bool:
        text = self._held_text.lstrip()
        if not text and len(self._held_text) > MAX_HELD_SPACE:
            text = self._held_text
        if self._may_open and len(text) < len(OPEN_TAG) and OPEN_TAG.startswith(text):
            return False
        if self._may_open and text.startswith(OPEN_TAG):
            self._state, self._may_open = _State.OPENED, False
            self._held_text = text.removeprefix(OPEN_TAG)
        elif self._state is _State.START:
            self._state = _State.ANSWERING
        elif text:
            self._state, self._held_text = _State.THINKING, text
        else:
            return False
        return True

    def _take_reasoning(self, pieces: list[TextPiece]) -> bool:
        reasoning, tag, rest = self._held_text.partition(CLOSE_TAG)
        whole_text = reasoning if tag else _without_tag_beginning(reasoning)
        visible_text = whole_text.rstrip()
        if len(whole_text) - len(visible_text) > MAX_HELD_SPACE:
            visible_text = whole_text
        if visible_text:
            pieces.append(TextPiece(visible_text, is_reasoning=True))
        if tag:
            self._state, self._held_text = _State.CLOSED, rest
        else:
            self._held_text = reasoning[len(visible_text) :]
        return bool(tag)


def split_reasoning(text: str, *, is_open: bool = False) -> tuple[str, str]:
    """Split a whole text into reasoning and answer; with `is_open` it begins inside the reasoning."""
    splitter = ReasoningSplitter(is_open)
    pieces = [*splitter.push_text(text), *splitter.flush_text()]
    reasoning = "".join(piece.text for piece in pieces if piece.is_reasoning)
    return reasoning, "".join(piece.text for piece in pieces if not piece.is_reasoning)


def begins_inside(prompt_end: str) -> bool:
    """Return whether a prompt that ends like this has opened the reasoning, so that the model goes on inside it."""
    return prompt_end.rfind(OPEN_TAG) > prompt_end.rfind(CLOSE_TAG)


def _without_tag_beginning(text: str) -> str:
    """Return a text without what may be the beginning of the closing tag, at its end."""
    for length in range(min(len(CLOSE_TAG) - 1, len(text)), 0, -1):
        if CLOSE_TAG.startswith(text[-length:]):
            return text[:-length]
    return text
