"""Announcements: sentences for screen readers while an answer is written, about its state and of its text.

Each sentence is sent once, however often the connection breaks: the number of sentences sent travels in the ids of the
events, and in the address of the stream that a page opens first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache

from flask_babel import get_locale, gettext

from chatsite.models import Message
from chatsite.rendering.blocks import BlockStream
from chatsite.rendering.markdown_parser import normalize_source
from chatsite.rendering.sentences import MAX_SPOKEN_CHARS, GrowingSentences, SpokenLabels
from chatsite.services.chat.generation_progress import GenerationSnapshot
from chatsite.web.chat.views import build_generation_status
from chatsite.web.core.preferences import current_preferences
from chatsite.web.core.templating import render_macro

# Frequent changes of a live region interrupt screen readers, so new sentences are collected for this long.
ANNOUNCEMENT_PAUSE_SECONDS = 1.0


def count_announced(message: Message, snapshot: GenerationSnapshot | None) -> int:
    """Count the sentences already in the rendered page, so that the live region does not repeat them.

    Returns 0 for provisional text, which may still become another text, and where nothing is read out.
    """
    if (snapshot and snapshot.is_provisional) or _is_silent(message):
        return 0
    text = message.text + (snapshot.text if snapshot else "")
    return len(_begin_sentences(text).list_complete(_current_labels()))


class Announcer:
    """The announcements of one answer for one page.

    `announced` is the number of sentences of the answer that the page has received.
    """

    def __init__(self, message: Message, announced: int) -> None:
        # The answers of a comparison are written at the same time, and would interrupt each other.
        self._is_one_of_many = message.in_comparison
        self._is_silent = _is_silent(message)
        self.announced = announced
        self._announced_at = time.monotonic()
        self._sentences = GrowingSentences(BlockStream())

    def track_blocks(self, blocks: BlockStream) -> None:
        """Take the sentences to announce from `blocks` from now on."""
        self._sentences = GrowingSentences(blocks)

    def announce_thinking(self) -> str:
        """Return the sentence that the model has begun to think; what it thinks is not announced."""
        return "" if self._is_one_of_many else str(gettext("The model is thinking."))

    def next_announcement(self, snapshot: GenerationSnapshot) -> str:
        """Return the text to announce now: the queue position, or the sentences completed since the last call.

        Returns an empty string within ANNOUNCEMENT_PAUSE_SECONDS of the last announcement, and for provisional text.
        """
        if time.monotonic() - self._announced_at < ANNOUNCEMENT_PAUSE_SECONDS or snapshot.is_provisional:
            return ""
        is_waiting = snapshot.queue_position is not None
        announcement = (
            render_macro("messages/_status.html", "generation_status", build_generation_status(snapshot))
            if is_waiting
            else self._take_new(self._sentences.list_complete)
        )
        if announcement:
            self._announced_at = time.monotonic()
        return announcement

    def remaining_announcement(self, text: str) -> str:
        """Return the sentences of the finished `text` that were not announced yet."""
        return self._take_new(_begin_sentences(text).list_all)

    def _take_new(self, list_sentences: Callable[[SpokenLabels], list[str]]) -> str:
        if self._is_silent:
            return ""
        spoken = list_sentences(_current_labels())
        new, self.announced = spoken[self.announced :], max(self.announced, len(spoken))
        return " ".join(new)


def _is_silent(message: Message) -> bool:
    """Return whether of an answer only its state is announced, so that nobody need look for sentences."""
    return message.in_comparison or current_preferences().voice == "states"


def _begin_sentences(text: str) -> GrowingSentences:
    """Return the sentences of what there is of an answer; what lies beyond the limit is not even cut into blocks."""
    blocks = BlockStream()
    # One character more shows that there is a rest.
    blocks.feed(normalize_source(text)[: MAX_SPOKEN_CHARS + 1])
    return GrowingSentences(blocks)


def _current_labels() -> SpokenLabels:
    return _labels_for(str(get_locale()))


@lru_cache
def _labels_for(_language: str) -> SpokenLabels:
    """Return the labels in the locale of the current request; `_language` is the key of the cache.

    The cache matters because every block asks for the labels.
    """
    return SpokenLabels(
        code=gettext("Code."),
        code_in_language=gettext("Code in %(language)s."),
        formula=gettext("Formula."),
        rest=gettext("The rest of the answer is on the page."),
    )
