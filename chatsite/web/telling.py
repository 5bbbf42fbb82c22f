"""What a screen reader is told of an answer while it is written: where it stands, and its sentences.

Each is told once, however often the connection breaks: how many were heard travels in the ids of the events, and in
the address of the stream that a page opens first.
"""

from __future__ import annotations

import time
from functools import lru_cache

from flask import Flask
from flask_babel import get_locale, gettext

from chatsite.models import Message
from chatsite.rendering.aloud import Kinds, sentences
from chatsite.rendering.blocks import BlockStream
from chatsite.services.changes import Change
from chatsite.web.fragments import fragment
from chatsite.web.preferences import preferences

# Whoever listens is told at most so often: what came meanwhile is told together.
PAUSE_SECONDS = 1.0


def init_app(app: Flask) -> None:
    """What templates need to say how much of an answer a page has."""
    app.jinja_env.globals.update(heard=heard)


def heard(message: Message, change: Change | None) -> int:
    """How many sentences a page has that is rendered now; who opens it reads them there."""
    if change and change.draft:
        return 0
    blocks = BlockStream()
    blocks.feed(message.text + (change.text if change else ""))
    return len(_Sentences(blocks).so_far())


class Teller:
    """What is told of one answer to one page, which has heard so many of its sentences."""

    def __init__(self, message: Message, count: int) -> None:
        # Answers that are compared are written at the same time, and would interrupt each other.
        self._silent = message.comparing or preferences().voice == "states"
        self.count = count
        self._told_at = time.monotonic()
        self._sentences = _Sentences(BlockStream())

    def follow(self, blocks: BlockStream) -> None:
        """Tell of these blocks from here on."""
        self._sentences = _Sentences(blocks)

    def news(self, change: Change) -> str:
        """What is to be told now: how it waits, or the sentences that came since the last time; often nothing."""
        if time.monotonic() - self._told_at < PAUSE_SECONDS or change.draft:
            return ""
        waits = change.position is not None
        said = fragment("messages/_progress.html", change=change) if waits else self._next(self._sentences.so_far())
        if said:
            self._told_at = time.monotonic()
        return said

    def rest(self, text: str) -> str:
        """What was not told yet of a text that is finished."""
        blocks = BlockStream()
        blocks.feed(text)
        return self._next(_Sentences(blocks).all())

    def _next(self, known: list[str]) -> str:
        new, self.count = known[self.count :], max(self.count, len(known))
        return "" if self._silent else " ".join(new)


class _Sentences:
    """The sentences of blocks that grow; those of finished ones are found once."""

    def __init__(self, blocks: BlockStream) -> None:
        self._blocks = blocks
        self._finished: list[str] = []
        self._known = 0

    def so_far(self) -> list[str]:
        """All that are whole."""
        for source in self._blocks.finished[self._known :]:
            self._finished += sentences(source, True, _kinds())
        self._known = len(self._blocks.finished)
        return [*self._finished, *sentences(self._blocks.open, False, _kinds())]

    def all(self) -> list[str]:
        """All of them, now that nothing follows."""
        return [*self.so_far()[: len(self._finished)], *sentences(self._blocks.open, True, _kinds())]


def _kinds() -> Kinds:
    return _kinds_in(str(get_locale()))


@lru_cache
def _kinds_in(_language: str) -> Kinds:
    """Asked for with every block, so remembered by language, which is the one of the request under way."""
    return Kinds(code=gettext("Code."), code_in=gettext("Code in %(language)s."), formula=gettext("Formula."))
