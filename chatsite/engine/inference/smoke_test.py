"""The smoke test: what a model must do after loading before it may answer anybody.

Files that were mixed up load without complaint and write nonsense; here they are refused with a sentence.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from chatsite.engine.inference.scheduler import Scheduler
from chatsite.engine.prompting import PromptFormat, special_ids
from chatsite.engine.types import Delta, Event, Finish, GenerationOptions, Reasoning, Request, Turn
from chatsite.errors import ChatsiteError, ModelLoadError, load_reasons

# Vocabularies are rounded up by a few hundred at most; a tokenizer for less than half of one is another model's.
MIN_VOCABULARY_FRACTION = 0.5
TEST_TOKENS = 16
MAX_TEST_SECONDS = 2.0
TEST_TURNS = (Turn("user", "Hello!"), Turn("assistant", "Hi."), Turn("user", "Hello!"))


def require_ids_in_vocabulary(model: Any, tokenizer: Any, eos_ids: Collection[int], *, name: str) -> None:
    """Raise ModelLoadError unless the model has all ids of the tokenizer, and one of them ends an answer.

    `eos_ids` are those that the model's own files name, not the tokenizer's.
    """
    embedding_count = len(model.get_input_embeddings().weight)
    if not eos_ids or not all(0 <= eos_id < embedding_count for eos_id in eos_ids):
        _raise_unavailable(load_reasons.NoEndTokenError(name=name))
    vocabulary, special = set(tokenizer.get_vocab().values()), special_ids(tokenizer)
    if not set(eos_ids) & special:
        _raise_unavailable(load_reasons.OrdinaryEndTokenError(name=name))
    # A special token that no text can become may lie beyond, as BlenderBot's <mask> does.
    if (
        max(vocabulary - special, default=0) >= embedding_count
        or len(vocabulary) < embedding_count * MIN_VOCABULARY_FRACTION
    ):
        _raise_unavailable(load_reasons.VocabularySizeError(name=name, words=len(vocabulary), rows=embedding_count))


def require_valid_prompt(model: Any, prompt_format: PromptFormat) -> None:
    """Raise ModelLoadError if the format writes an id that the model does not have."""
    ids = prompt_format.build_prompt(
        Request(0, TEST_TURNS, GenerationOptions(max_new_tokens=1), persona=("Be kind.",)), {}
    ).ids
    if not 0 <= min(ids) <= max(ids) < len(model.get_input_embeddings().weight):
        _raise_unavailable(load_reasons.UnknownTokensError())


def measure_speed(scheduler: Scheduler) -> float:
    """Let a model write a few tokens, so that wrong shapes and missing numbers show at once.

    Returns its tokens a second with one request; 0 if it wrote too few to tell. Raises ModelLoadError if it fails.
    """
    options = GenerationOptions(max_new_tokens=TEST_TOKENS, min_new_tokens=TEST_TOKENS, temperature=0.0, beams=1)
    # One request needs no budget: what is alone is admitted whatever it takes.
    # In the background, so that a model that can think does not begin with that.
    events = list(scheduler.add_request(Request(0, TEST_TURNS[:1], options, is_background=True)))
    times = list(_iter_token_times(scheduler, events))
    finish = events[-1]
    if isinstance(finish, Finish) and finish.error_message:
        _raise_unavailable(load_reasons.SmokeTestError(cause=finish.error_message))
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0


def _iter_token_times(scheduler: Scheduler, events: list[Event]) -> list[float]:
    """Return when each token came, in seconds; a slow model need not write all of them."""
    times: list[float] = []
    while scheduler.has_work:
        is_slow = bool(times) and time.perf_counter() - times[0] > MAX_TEST_SECONDS
        new_events = list(scheduler.run_step({0} if is_slow else ()))
        # A model may think though nobody asked it to.
        texts = [event for event in new_events if isinstance(event, Delta | Reasoning)]
        times += [time.perf_counter() for event in texts if event.token_count]
        events += new_events
    return times


def _raise_unavailable(reason: ChatsiteError) -> None:
    raise ModelLoadError(reason=reason)
