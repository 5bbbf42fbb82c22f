"""What a page tells of an answer: its blocks, how it goes on, how it went."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from flask import Flask, current_app
from flask_babel import get_locale, gettext
from markupsafe import Markup

from chatsite.models import Generation, Message, Runner
from chatsite.rendering.blocks import split
from chatsite.rendering.markdown import Labels, render, render_block
from chatsite.rendering.outline import levels
from chatsite.rendering.parser import cut, tidy
from chatsite.services import changes, generations, runners
from chatsite.services.changes import Change
from chatsite.services.generations import CUT_REASONS


@dataclass(frozen=True)
class Summary:
    """How an answer went: seconds until its first token, tokens a second, tokens, and turns the model did not see.

    `cut` says that a limit ended it and not the model, `hurried` that it was not weighed because many were waiting,
    `receipt` that it can be shown what the model saw.
    """

    waited: float | None
    speed: float | None
    tokens: int
    unseen: int
    cut: bool
    hurried: bool
    receipt: bool


def init_app(app: Flask) -> None:
    """What templates need to show answers and who writes them."""
    app.jinja_env.globals.update(
        blocks=blocks,
        blocks_so_far=blocks_so_far,
        block=lambda source, finished, level: render_block(source, finished, _labels(), level),
        levels=levels,
        progress=progress,
        summary=summary,
        runner=current_runner,
        beams=generations.beams,
        can_retry=generations.can_retry,
        can_continue=generations.can_continue,
        words=lambda text: len(text.split()),
    )


def blocks(text: str) -> list[Markup]:
    """The blocks of a settled text.

    They are cut as the stream cuts them, so that the last message of a stream changes nothing that is already read.
    A text with link definitions is one block: what they define is only known when all of it is.
    """
    sources, references = cut(tidy(text))
    if references:
        return [render(text, _labels())]
    return [
        render_block(source, True, _labels(), level) for source, level in zip(sources, levels(sources), strict=True)
    ]


def blocks_so_far(message: Message, change: Change | None) -> list[Markup]:
    """The blocks of a text that is being written, as `progress` tells it; the last one is still open."""
    finished, rest = split(message.text + (change.text if change else ""))
    *before, last = levels([*finished, rest])
    whole = (render_block(source, True, _labels(), level) for source, level in zip(finished, before, strict=True))
    return [*whole, render_block(rest, False, _labels(), last)]


def progress(message: Message) -> Change | None:
    """How an answer that is not over stands now, with what a runner has written and not settled yet."""
    generation = message.generation
    if generation is None:
        return None
    return next(iter(changes.follow({generation.id: 0})), None)


def summary(generation: Generation) -> Summary:
    """What is to be said of a generation that is over."""
    first = generation.first_token_at
    receipt = generation.receipt or {}
    return Summary(
        waited=(first - generation.created_at).total_seconds() if first else None,
        speed=generation.tokens_per_second,
        tokens=generation.tokens,
        unseen=len(receipt.get("turns", [])) - int(receipt.get("kept", 0)),
        cut=generation.finish_reason in CUT_REASONS,
        hurried=(receipt.get("options") or {}).get("fallback") == "busy",
        receipt=bool(receipt.get("turns")),
    )


def current_runner() -> Runner | None:
    """The runner that matters to a visitor, or None when none is there."""
    return runners.current(current_app.config["LEASE_SECONDS"])


def _labels() -> Labels:
    return _labels_in(str(get_locale()))


@lru_cache
def _labels_in(_language: str) -> Labels:
    """Asked for with every block, so remembered by language, which is the one of the page under way."""
    return Labels(
        copy=gettext("Copy"),
        code=gettext("Code"),
        wrap=gettext("Wrap"),
        table=gettext("Table"),
        formula=gettext("Formula"),
        done=gettext("Done"),
        to_do=gettext("To do"),
    )
