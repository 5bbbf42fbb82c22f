"""What a model must do before a visitor may speak with it, and how quickly it does that.

Files that were mixed up load without complaint and write nonsense; here they are refused with a sentence.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from chatsite.engine import Delta, Event, Finish, Options, Request, Turn, reasons
from chatsite.engine.decoding.batching import Batch
from chatsite.engine.prompting import special_ids
from chatsite.engine.reasons import because
from chatsite.errors import ModelUnavailableError

if TYPE_CHECKING:
    from chatsite.engine.decoding.speaker import Speaker

# Vocabularies are rounded up by a few hundred at most; a tokenizer for less than half of one is another model's.
LEAST_PART = 0.5
TOKENS = 16
SECONDS = 2.0
TALK = (Turn("user", "Hello!"), Turn("assistant", "Hi."), Turn("user", "Hello!"))


def check_ids(model: Any, tokenizer: Any, ends: Collection[int], name: str) -> None:
    """Raise ModelUnavailableError unless all ids that a text can become are the model's, and one ends an answer.

    `ends` are those that the model's own files name, not the tokenizer's.
    """
    rows = len(model.get_input_embeddings().weight)
    if not ends or not all(0 <= end < rows for end in ends):
        _refuse(because(reasons.ENDLESS, name=name))
    vocabulary, special = set(tokenizer.get_vocab().values()), special_ids(tokenizer)
    if not set(ends) & special:
        _refuse(because(reasons.ORDINARY_END, name=name))
    # A special token that no text can become may lie beyond, as BlenderBot's <mask> does.
    if max(vocabulary - special, default=0) >= rows or len(vocabulary) < rows * LEAST_PART:
        _refuse(because(reasons.OTHER_SIZE, name=name, words=len(vocabulary), rows=rows))


def check_prompt(speaker: Speaker) -> None:
    """Raise ModelUnavailableError if the format writes an id that the model does not have."""
    model: Any = speaker.checkpoint.model
    ids = speaker.format.prompt(Request(0, TALK, Options(max_new_tokens=1), persona=("Be kind.",)), {}).ids
    if not 0 <= min(ids) <= max(ids) < len(model.get_input_embeddings().weight):
        _refuse(reasons.UNKNOWN_TOKENS)


def try_out(speaker: Speaker) -> float:
    """Let the model write a few tokens: wrong shapes and missing numbers show before a visitor comes.

    Gives how many tokens a second it writes alone; 0 where it wrote too few to tell. Raises ModelUnavailableError.
    """
    options = Options(max_new_tokens=TOKENS, min_new_tokens=TOKENS, temperature=0.0, beams=1)
    batch = speaker.batch(0)
    events = list(batch.take(Request(0, TALK[:1], options)))
    times = list(_times(batch, events))
    finish = events[-1]
    if isinstance(finish, Finish) and finish.error:
        _refuse(because(reasons.MUTE, cause=finish.error))
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0


def _times(batch: Batch, events: list[Event]) -> list[float]:
    """When each token came. A slow model is not made to write all of them."""
    times: list[float] = []
    while batch.busy:
        slow = bool(times) and time.perf_counter() - times[0] > SECONDS
        news = list(batch.advance({0} if slow else ()))
        times += [time.perf_counter() for event in news if isinstance(event, Delta) and event.tokens]
        events += news
    return times


def _refuse(reason: str) -> None:
    raise ModelUnavailableError(reason=reason)
