"""Views of reasoning: what a model thinks before it answers, folded, with its duration and length."""

from __future__ import annotations

from dataclasses import dataclass

from flask_babel import gettext

from chatsite.database import utcnow
from chatsite.i18n import format_count, format_seconds
from chatsite.models import Message, MessageReasoning
from chatsite.services.chat.generation_progress import GenerationSnapshot


@dataclass(frozen=True)
class ReasoningView:
    """The reasoning of an answer. `summary` is what is seen of it while it is folded."""

    text: str
    summary: str
    is_thinking: bool = False


def build_reasoning(
    message: Message, stored: MessageReasoning | None, snapshot: GenerationSnapshot | None = None
) -> ReasoningView | None:
    """Build the reasoning of an answer: that of its `snapshot` while it is in progress, or the stored one, or None."""
    if message.is_in_progress and snapshot and snapshot.reasoning:
        return build_growing_reasoning(snapshot)
    if stored is None:
        return None
    return ReasoningView(stored.text, _summarize(stored.seconds, stored.token_count))


def build_growing_reasoning(snapshot: GenerationSnapshot) -> ReasoningView:
    """Build the reasoning of an answer in progress, which the model may have ended."""
    tokens = snapshot.reasoning_tokens
    if not snapshot.is_thinking:
        return ReasoningView(snapshot.reasoning, _summarize(snapshot.reasoning_seconds, tokens))
    started_at = snapshot.first_token_at
    seconds = (utcnow() - started_at).total_seconds() if started_at else 0.0
    texts = {"duration": format_seconds(seconds), "tokens": format_count(tokens)}
    return ReasoningView(
        snapshot.reasoning, gettext("Thinking… %(duration)s · %(tokens)s tokens", **texts), is_thinking=True
    )


@dataclass(frozen=True)
class ReasoningUpdate:
    """What a page is to be told of the reasoning: `added_text`, or with `is_whole` all that there is, or is no more."""

    reasoning: ReasoningView | None
    added_text: str = ""
    is_whole: bool = False


class ReasoningStream:
    """The state of the reasoning of one answer in one browser, which has `known_chars` characters of it."""

    def __init__(self) -> None:
        self.known_chars = 0
        self._is_outdated = self._is_thinking = False

    def restart(self) -> None:
        """Note that what the page has was thought in vain."""
        self.known_chars, self._is_outdated = 0, True

    def next_update(self, snapshot: GenerationSnapshot, *, is_due: bool) -> ReasoningUpdate | None:
        """Return what is new, or None. With `is_due` the duration is new too."""
        text, known_chars = snapshot.reasoning, self.known_chars
        is_whole = self._is_outdated or (text != "" and not 0 < known_chars <= len(text))
        has_switched = snapshot.is_thinking is not self._is_thinking
        if not (is_whole or len(text) > known_chars or (text and (has_switched or (is_due and snapshot.is_thinking)))):
            return None
        self.known_chars, self._is_outdated, self._is_thinking = len(text), False, snapshot.is_thinking
        reasoning = build_growing_reasoning(snapshot) if text else None
        return ReasoningUpdate(reasoning, "" if is_whole else text[known_chars:], is_whole)


def _summarize(seconds: float | None, tokens: int | None) -> str:
    if seconds is None:
        # Of an imported answer nobody may know how long it took.
        return str(gettext("Reasoning"))
    duration = format_seconds(seconds)
    if tokens:
        count = format_count(tokens)
        return str(gettext("Thought for %(duration)s · %(tokens)s tokens", duration=duration, tokens=count))
    return str(gettext("Thought for %(duration)s", duration=duration))
