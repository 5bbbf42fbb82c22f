"""The line below the answers of a comparison: which was done first, and how to have all of them once more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask_babel import gettext

from chatsite.i18n import format_one_decimal
from chatsite.models import Message, Status
from chatsite.web.chat.signatures import FIRST_GENERATION
from chatsite.web.models.picker import model_title

# What differs by less is done at the same time for whoever reads.
MIN_SECONDS_APART = 0.1


@dataclass(frozen=True)
class ComparisonFoot:
    """The line below the answers of a comparison, of which `first` is the first.

    `fastest` is empty if nothing can be said of it. `is_over` says that all answers have ended, so that all of them can
    be asked for again.
    """

    first: Message
    count: int
    fastest: str
    is_over: bool


def build_comparison_foot(compared: Sequence[Message]) -> ComparisonFoot | None:
    """Build the line below the answers of a comparison; None without any."""
    if not compared:
        return None
    is_over = not any(each.is_in_progress for each in compared)
    return ComparisonFoot(compared[0], len(compared), _describe_fastest(compared) if is_over else "", is_over)


def _describe_fastest(compared: Sequence[Message]) -> str:
    """Say which answer was done first, by the stored times; empty if they do not tell.

    They tell if each answer was written to its end by the generation that the question queued: then all began to wait
    at the same moment.
    """
    times = [(seconds, each) for each in compared if (seconds := _measure_seconds(each)) is not None]
    times.sort(key=lambda entry: entry[0])
    if len(times) < len(compared) or times[1][0] - times[0][0] < MIN_SECONDS_APART:
        return ""
    (best_seconds, best), *others = times
    first = gettext(
        "Done first: %(model)s, after %(seconds)s s", model=_title(best), seconds=format_one_decimal(best_seconds)
    )
    rest = [f"{_title(each)}: {format_one_decimal(seconds)} s" for seconds, each in others]
    return " · ".join([first, *rest])


def _measure_seconds(message: Message) -> float | None:
    """Return the seconds from the question to the end of an answer; None if it was written in several goes."""
    generation = message.generation
    if generation is None or generation.status is not Status.DONE or generation.finished_at is None:
        return None
    if generation.created_at - message.created_at >= FIRST_GENERATION:
        return None
    return (generation.finished_at - generation.created_at).total_seconds()


def _title(message: Message) -> str:
    return model_title((message.generation.model if message.generation else None) or "")
