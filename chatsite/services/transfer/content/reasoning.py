"""What a model thought before an answer of a file: it is kept with the answer, and never becomes part of its text."""

from __future__ import annotations

from collections.abc import Sequence

from chatsite.services.transfer.coercion import MAX_MESSAGE_CHARS, strip_invalid_chars
from chatsite.services.transfer.message_ordering import ImportedReasoning
from chatsite.services.transfer.omissions import Omissions, OmittedKind, shorten


def keep_reasoning(
    parts: Sequence[object], omitted: Omissions, *, has_answer: bool, seconds: float | None = None
) -> ImportedReasoning | None:
    """Return the reasoning of an answer, of which a file has these parts; `seconds` is how long it took.

    Counts in `omitted` what is no text or has no answer to be kept with, and the characters beyond those that a message
    may have.
    """
    texts = [strip_invalid_chars(part).strip() for part in parts if isinstance(part, str)]
    kept = [text for text in texts if text] if has_answer else []
    omitted[OmittedKind.THOUGHTS] += len(parts) - len(kept)
    text = shorten("\n\n".join(kept), MAX_MESSAGE_CHARS, omitted, kind=OmittedKind.REASONING)
    return ImportedReasoning(text, seconds=seconds) if kept else None
