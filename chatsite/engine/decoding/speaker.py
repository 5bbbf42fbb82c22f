"""A loaded model, and how a request becomes an answer in its batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from chatsite.engine import Options, Preset, Request
from chatsite.engine.decoding.answers import Answer, Drawn, Searched
from chatsite.engine.decoding.batching import Batch
from chatsite.engine.decoding.characters import Characters, Stream, Words
from chatsite.engine.decoding.checkpoint import Checkpoint, load
from chatsite.engine.decoding.choosing import Text
from chatsite.engine.decoding.precision import open_stepper, settle_precision
from chatsite.engine.decoding.presets import Choice, settle
from chatsite.engine.decoding.stepping import Stepper
from chatsite.engine.decoding.trial import check_ids, check_prompt, try_out
from chatsite.engine.prompting import Format
from chatsite.engine.prompting.families import format_of
from chatsite.engine.weights import Weights

# Families whose answers begin with a space that stands for nothing.
SPACED = {"blenderbot", "continuation"}


@dataclass(frozen=True)
class Speaker:
    """A checkpoint, the way to talk with it, the way through it, and the ids that end an answer.

    `speed` is how many tokens a second it wrote alone when it was tried out.
    """

    checkpoint: Checkpoint
    format: Format
    stepper: Stepper
    context: int
    ends: frozenset[int]
    precision: str = "fp32"
    speed: float = 0.0

    @property
    def batched(self) -> bool:
        """Whether it works on several answers at once."""
        return self.stepper.limit > 1

    def prepare(self, request: Request, many: bool = False) -> Answer:
        """A request with its prompt, ready to be read. Beams that nobody asked for are left where there are `many`.

        Raises PromptTooLongError, EmptyMessageError, or an error of the tokenizer's.
        """
        choice, notes = self._settle(request.options, many)
        prompt = self.format.prompt(request, self._options(choice, request.options) | notes)
        prefix = self.format.prefix(request.prefix)
        row = self.stepper.open(prompt.ids, prefix, choice.max_new_tokens, choice.beams)
        text = Text(prompt.ids, prefix, choice, self.ends)
        kind = Searched if choice.beams > 1 else Drawn
        most = len(prefix) + choice.max_new_tokens
        return kind(request, prompt, row, text, most, partial(self._characters, request, prefix))

    def _settle(self, options: Options, many: bool) -> tuple[Choice, dict[str, Any]]:
        """The settings of a request, and what its receipt says of how they came about."""
        settled = partial(settle, self.checkpoint.family, self.checkpoint.published, breadth=self.stepper.breadth)
        options = replace(options, stop=(*options.stop, *self.format.stop))
        choice = settled(options)
        if many and choice.beams > 1 and options.beams is None:
            return settled(replace(options, preset=Preset.BALANCED)), {"fallback": "busy"}
        return choice, {}

    def batch(self, budget: int) -> Batch:
        """A batch whose keys and values take at most `budget` bytes."""
        return Batch(self.stepper, self.prepare, budget)

    def _characters(self, request: Request, before: Sequence[int]) -> Characters:
        kind = Words if self.checkpoint.family == "blenderbot-small" else Stream
        begins = self.checkpoint.family in SPACED and not request.prefix
        return kind(self.checkpoint.tokenizer, before, begins or request.prefix.endswith(" "))

    def _options(self, choice: Choice, options: Options) -> dict[str, Any]:
        return {"seconds": options.seconds, **asdict(choice), "precision": self.precision}


def open_speaker(name: str, weights: Weights, wish: str, family: str = "") -> Speaker:
    """Load the weights for computing in the precision of `wish` (`auto`, `fp32`, `bf16`, `int8`) and try them out.

    A `family` goes before what the files tell of how the model is spoken to. Raises ModelUnavailableError when they
    cannot be loaded or do not do what they must.
    """
    precision = settle_precision(wish)
    checkpoint = load(weights.folder, precision.dtype, family)
    model: Any = checkpoint.model
    model.to(precision.device)
    ends = _ends(checkpoint)
    check_ids(model, checkpoint.tokenizer, ends, name)
    found = _format(checkpoint, name, weights.revision)
    found.check()
    stepper, name_of_precision = open_stepper(checkpoint, precision)
    end: Any = checkpoint.tokenizer.eos_token_id
    ends |= {end} if end is not None else set()
    speaker = Speaker(checkpoint, found, stepper, checkpoint.context, ends, name_of_precision)
    check_prompt(speaker)
    return replace(speaker, speed=try_out(speaker))


def _format(checkpoint: Checkpoint, name: str, revision: str) -> Format:
    end = checkpoint.model.config.eos_token_id
    return format_of(checkpoint.family, checkpoint.tokenizer, name, revision, checkpoint.context, end)


def _ends(checkpoint: Checkpoint) -> frozenset[int]:
    """The ids that end an answer, after the weights' generation settings or configuration."""
    published = checkpoint.published.get("eos_token_id", checkpoint.model.config.eos_token_id)
    listed = published if isinstance(published, list) else [published]
    return frozenset(int(end) for end in listed if end is not None)
