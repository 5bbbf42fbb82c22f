"""What a model thought before an answer of a file: it is kept with the answer, and never becomes part of its text."""

from __future__ import annotations

from collections.abc import Sequence

from chatsite.services.transfer.coercion import MAX_MESSAGE_CHARS, strip_invalid_chars
from chatsite.services.transfer.message_ordering import ImportedReasoning
from chatsite.services.transfer.omissions import Omissions, OmittedKind


def keep_reasoning(
    parts: Sequence[object], omitted: Omissions, *, has_answer: bool, seconds: float | None = None
) -> ImportedReasoning | None:
    """Return the reasoning of an answer, of which a file has these parts; `seconds` is how long it took.

    What is no text, or has no answer to be kept with, is counted as left out. More than a message may have is cut off.
    """
    texts = [strip_invalid_chars(part).strip() for part in parts if isinstance(part, str)]
    kept = [text for text in texts if text] if has_answer else []
    omitted[OmittedKind.THOUGHTS] += len(parts) - len(kept)
    return ImportedReasoning("\n\n".join(kept)[:MAX_MESSAGE_CHARS], seconds=seconds) if kept else None
