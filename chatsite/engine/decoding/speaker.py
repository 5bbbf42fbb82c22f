"""A loaded model, and how a request becomes an answer in its batch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from chatsite.engine import Finish, Options, Request, Turn
from chatsite.engine.decoding.batching import Answer, Batch
from chatsite.engine.decoding.characters import Characters
from chatsite.engine.decoding.checkpoint import Checkpoint, load
from chatsite.engine.decoding.choosing import Choice, settle
from chatsite.engine.decoding.precision import open_stepper, settle_precision
from chatsite.engine.decoding.stepping import Stepper
from chatsite.engine.prompting import Format
from chatsite.engine.prompting.blenderbot import BlenderbotFormat
from chatsite.engine.prompting.chat import ChatFormat
from chatsite.engine.weights import Weights
from chatsite.errors import ModelUnavailableError


@dataclass(frozen=True)
class Speaker:
    """A checkpoint, the way to talk with it, the way through it, and the ids that end an answer."""

    checkpoint: Checkpoint
    format: Format
    stepper: Stepper
    context: int
    ends: frozenset[int]
    precision: str = "fp32"

    def prepare(self, request: Request) -> Answer:
        """A request with its prompt, ready to be read.

        Raises PromptTooLongError, EmptyMessageError, or an error of the tokenizer's.
        """
        choice = settle(self.checkpoint.family, self.checkpoint.published, request.options)
        prompt = self.format.prompt(request, self._options(choice, request.options))
        prefix = self.format.prefix(request.prefix)
        new = request.options.max_new_tokens
        row = self.stepper.open(prompt.ids, prefix, new)
        return Answer(request, prompt, choice, row, self._characters(request), prefix, len(prefix) + new, self.ends)

    def batch(self, budget: int) -> Batch:
        """A batch whose keys and values take at most `budget` bytes."""
        return Batch(self.stepper, self.prepare, budget)

    def _characters(self, request: Request) -> Characters:
        begins = self.checkpoint.family == "blenderbot" and not request.prefix
        return Characters(self.checkpoint.tokenizer, skip_space=begins or request.prefix.endswith(" "))

    def _options(self, choice: Choice, options: Options) -> dict[str, Any]:
        limits = {"max_new_tokens": options.max_new_tokens, "seconds": options.seconds}
        return {**limits, **asdict(choice), "precision": self.precision}


def open_speaker(name: str, weights: Weights, wish: str) -> Speaker:
    """Load the weights for computing in the precision of `wish` (`auto`, `fp32`, `bf16`, `int8`) and try them out.

    Raises ModelUnavailableError when they cannot be loaded or do not do what they must.
    """
    precision = settle_precision(wish)
    checkpoint = load(weights.folder, precision.dtype)
    model: Any = checkpoint.model
    model.to(precision.device)
    config: Any = model.config
    context = int(config.max_position_embeddings)
    found: ChatFormat | BlenderbotFormat
    if checkpoint.family == "blenderbot":
        found = BlenderbotFormat(checkpoint.tokenizer, name, weights.revision, context, config.eos_token_id)
    else:
        found = ChatFormat(checkpoint.tokenizer, name, weights.revision, context)
    found.check()
    stepper, name_of_precision = open_stepper(checkpoint, precision)
    speaker = Speaker(checkpoint, found, stepper, context, _ends(checkpoint), name_of_precision)
    _try_out(speaker)
    return speaker


def _ends(checkpoint: Checkpoint) -> frozenset[int]:
    """The ids that end an answer, after the weights' generation settings and the tokenizer."""
    published = checkpoint.published.get("eos_token_id", checkpoint.model.config.eos_token_id)
    listed = published if isinstance(published, list) else [published]
    return frozenset(int(i) for i in [*listed, checkpoint.tokenizer.eos_token_id] if i is not None)


def _try_out(speaker: Speaker) -> None:
    """Let the model write one token: wrong shapes and missing numbers show before a visitor comes."""
    batch = speaker.batch(0)
    probe = Request(0, (Turn("user", "Hello!"),), Options(max_new_tokens=2, temperature=0.0))
    events = list(batch.take(probe))
    while batch.busy:
        events += batch.advance(())
    finish = events[-1]
    if isinstance(finish, Finish) and finish.error:
        raise ModelUnavailableError(reason=f"it cannot answer ({finish.error})")
