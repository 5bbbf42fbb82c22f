"""A loaded model that answers one request at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch

from chatsite.engine import Delta, Event, Finish, FinishReason, Options, Request, Started, Turn
from chatsite.engine.decoding.characters import Characters
from chatsite.engine.decoding.checkpoint import Checkpoint, load
from chatsite.engine.decoding.choosing import Choice, choose, settle
from chatsite.engine.decoding.reading import CausalReader, EncoderDecoderReader, Reader
from chatsite.engine.prompting import Format
from chatsite.engine.prompting.blenderbot import BlenderbotFormat
from chatsite.engine.prompting.chat import ChatFormat
from chatsite.engine.weights import Weights
from chatsite.errors import ModelUnavailableError


@dataclass(frozen=True)
class Speaker:
    """A checkpoint, the way to talk with it, its number of positions and the ids that end an answer."""

    checkpoint: Checkpoint
    format: Format
    context: int
    ends: frozenset[int]

    def answer(self, request: Request, cancelled: Callable[[], bool]) -> Iterator[Event]:
        """Started, a Delta for every token, and Finish. Asks `cancelled` before each step.

        Raises what goes wrong: PromptTooLongError, EmptyMessageError, or an error of the model's.
        """
        deadline = time.monotonic() + request.options.seconds
        choice = settle(self.checkpoint.family, self.checkpoint.published, request.options)
        prompt = self.format.prompt(request, _options(choice, request.options))
        yield Started(request.id, prompt.receipt)
        prefix = self.format.prefix(request.prefix)
        reader, characters = self._reader(prompt.ids, prefix), self._characters(request)
        written, most = list(prefix), len(prefix) + request.options.max_new_tokens
        while True:
            reason = _halt(cancelled(), deadline, len(written) >= most or reader.room < 1)
            logits = None if reason else reader.advance()
            if logits is not None:
                token = choose(logits, prompt.ids, written, choice, self.ends)
                reason = FinishReason.END if token in self.ends else None
            if reason:
                yield Finish(request.id, reason)
                return
            if logits is not None:
                reader.append(token)
                written.append(token)
                yield Delta(request.id, characters.push(token), 1)

    def _reader(self, prompt: tuple[int, ...], prefix: list[int]) -> Reader:
        kind = EncoderDecoderReader if self.checkpoint.family == "blenderbot" else CausalReader
        return kind(self.checkpoint.model, self.context, prompt, prefix)

    def _characters(self, request: Request) -> Characters:
        begins = self.checkpoint.family == "blenderbot" and not request.prefix
        return Characters(self.checkpoint.tokenizer, skip_space=begins or request.prefix.endswith(" "))


def _halt(cancelled: bool, deadline: float, full: bool) -> FinishReason | None:
    if cancelled:
        return FinishReason.CANCELLED
    if full:
        return FinishReason.LENGTH
    return FinishReason.DEADLINE if time.monotonic() >= deadline else None


def _options(choice: Choice, options: Options) -> dict[str, Any]:
    return {"max_new_tokens": options.max_new_tokens, "seconds": options.seconds, **asdict(choice)}


def open_speaker(name: str, weights: Weights, dtype: str) -> Speaker:
    """Load the weights for computing in `dtype` (`float32`, `bfloat16`) and try them out.

    Raises ModelUnavailableError when they cannot be loaded or do not do what they must.
    """
    checkpoint = load(weights.folder, getattr(torch, dtype))
    config: Any = checkpoint.model.config
    context = int(config.max_position_embeddings)
    found: ChatFormat | BlenderbotFormat
    if checkpoint.family == "blenderbot":
        found = BlenderbotFormat(checkpoint.tokenizer, name, weights.revision, context, config.eos_token_id)
    else:
        found = ChatFormat(checkpoint.tokenizer, name, weights.revision, context)
    found.check()
    speaker = Speaker(checkpoint, found, context, _ends(checkpoint))
    _try_out(speaker)
    return speaker


def _ends(checkpoint: Checkpoint) -> frozenset[int]:
    """The ids that end an answer, after the weights' generation settings and the tokenizer."""
    published = checkpoint.published.get("eos_token_id", checkpoint.model.config.eos_token_id)
    listed = published if isinstance(published, list) else [published]
    return frozenset(int(i) for i in [*listed, checkpoint.tokenizer.eos_token_id] if i is not None)


def _try_out(speaker: Speaker) -> None:
    """Let the model write one token: wrong shapes and missing numbers show before a visitor comes."""
    probe = Request(0, (Turn("user", "Hello!"),), Options(max_new_tokens=1, temperature=0.0))
    try:
        for _ in speaker.answer(probe, lambda: False):
            pass
    except Exception as error:
        raise ModelUnavailableError(reason=f"it cannot answer ({type(error).__name__}: {error})") from error
