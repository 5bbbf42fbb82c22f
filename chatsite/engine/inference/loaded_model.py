"""A model that is ready to answer, and how a request becomes one of its running answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from chatsite.engine.downloads.weights import Weights
from chatsite.engine.inference.detokenizer import Detokenizer, IncrementalDetokenizer, WordDetokenizer
from chatsite.engine.inference.executor import ModelExecutor
from chatsite.engine.inference.loading.checkpoint import Checkpoint, load_checkpoint
from chatsite.engine.inference.quantization.precision import create_executor, resolve_precision
from chatsite.engine.inference.requests import BeamSearchRequest, ReasoningLimits, RequestState, SampledRequest
from chatsite.engine.inference.sampling.params import SamplingParams, resolve_params
from chatsite.engine.inference.sampling.sampler import SamplingState
from chatsite.engine.inference.scheduler import Scheduler
from chatsite.engine.inference.smoke_test import measure_speed, require_ids_in_vocabulary, require_valid_prompt
from chatsite.engine.prompting import PromptFormat
from chatsite.engine.prompting.families import prompt_format_for
from chatsite.engine.types import GenerationOptions, Preset, Prompt, Request

# Families whose answers begin with a space that stands for nothing.
FAMILIES_WITH_LEADING_SPACE = {"blenderbot", "continuation"}


@dataclass(frozen=True)
class LoadedModel:
    """A checkpoint with its prompt format, its executor, and the ids that end an answer.

    `tokens_per_second` is the speed of one request at the smoke test.
    """

    checkpoint: Checkpoint
    prompt_format: PromptFormat
    executor: ModelExecutor
    context_tokens: int
    eos_ids: frozenset[int]
    precision: str = "fp32"
    tokens_per_second: float = 0.0

    @property
    def is_batched(self) -> bool:
        """Whether it works on several answers at once."""
        return self.executor.max_groups > 1

    def prepare_request(self, request: Request, is_crowded: bool = False) -> RequestState:
        """Build the prompt of a request and the state of its answer.

        If there `is_crowded`, a preset's beam search becomes sampling; beams that the request asks for stay. Raises
        PromptTooLongError, EmptyMessageError, or an error of the tokenizer's.
        """
        # Only a model of chats thinks, and of an answer that is continued it has thought already.
        may_reason = self.checkpoint.family == "chat" and not request.prefix
        end_ids = () if request.prefix or request.is_background else self.prompt_format.reasoning_end_ids()
        requested, request = request, _with_room_to_think(request, end_ids) if end_ids else request
        params, notes = self._resolve_params(request.options, is_crowded)
        reported = self._reported_options(params, requested.options) | notes
        if end_ids:
            options = requested.options
            reported |= {name: getattr(options, name) for name in ("max_new_tokens", "max_reasoning_tokens")}
        prompt = self.prompt_format.build_prompt(request, reported)
        prefix_ids = self.prompt_format.encode_prefix(request.prefix)
        sequence_group = self.executor.create_group(
            prompt.ids, prefix_ids, params.max_new_tokens, num_beams=params.beams
        )
        sampling_state = SamplingState(prompt.ids, prefix_ids, params, eos_ids=self.eos_ids)
        state_class = BeamSearchRequest if params.beams > 1 else SampledRequest
        max_tokens = len(prefix_ids) + params.max_new_tokens
        return state_class(
            request,
            prompt,
            sequence_group,
            sampling_state,
            max_tokens,
            partial(self._create_detokenizer, request, prefix_ids),
            self._limit_reasoning(requested.options, prompt, end_ids) if may_reason else None,
        )

    def _limit_reasoning(self, options: GenerationOptions, prompt: Prompt, end_ids: tuple[int, ...]) -> ReasoningLimits:
        """Return how long the model may think: in a small context half of what the prompt leaves.

        A model whose template knows no reasoning may write some all the same, within the limit of its answer.
        """
        tokens_left = self.context_tokens - len(prompt.ids) - len(end_ids)
        max_tokens = min(options.max_reasoning_tokens, max(tokens_left - options.max_new_tokens, tokens_left // 2))
        return ReasoningLimits(prompt.opens_reasoning, max_tokens, end_ids, options.max_new_tokens)

    def _resolve_params(self, options: GenerationOptions, is_crowded: bool) -> tuple[SamplingParams, dict[str, Any]]:
        """Return the sampling parameters of a request, and what its report says of how they came about."""
        resolve = partial(
            resolve_params,
            self.checkpoint.family,
            self.checkpoint.published_settings,
            max_beams=self.executor.max_sequences,
        )
        # A model that continues a script would go on with the user's next question.
        options = replace(options, stop=(*options.stop, *self.prompt_format.stop_strings))
        params = resolve(options)
        if is_crowded and params.beams > 1 and options.beams is None:
            return resolve(replace(options, preset=Preset.BALANCED)), {"fallback": "busy"}
        return params, {}

    def create_scheduler(self, cache_budget_bytes: int) -> Scheduler:
        """Create a scheduler whose keys and values take at most `cache_budget_bytes` bytes."""
        return Scheduler(self.executor, self.prepare_request, cache_budget_bytes)

    def _create_detokenizer(self, request: Request, prefix_ids: Sequence[int]) -> Detokenizer:
        detokenizer_class = WordDetokenizer if self.checkpoint.family == "blenderbot-small" else IncrementalDetokenizer
        is_start = self.checkpoint.family in FAMILIES_WITH_LEADING_SPACE and not request.prefix
        return detokenizer_class(self.checkpoint.tokenizer, prefix_ids, is_start or request.prefix.endswith(" "))

    def _reported_options(self, params: SamplingParams, options: GenerationOptions) -> dict[str, Any]:
        return {"seconds": options.seconds, **asdict(params), "precision": self.precision}


def _with_room_to_think(request: Request, end_ids: Sequence[int]) -> Request:
    """Return a request that may write its reasoning, and the end of it, besides its answer."""
    options = request.options
    max_new_tokens = options.max_new_tokens + options.max_reasoning_tokens + len(end_ids)
    return replace(request, options=replace(options, max_new_tokens=max_new_tokens))


def load_model(name: str, weights: Weights, requested_precision: str, *, family: str = "") -> LoadedModel:
    """Load weights for computing in `requested_precision` (`auto`, `fp32`, `bf16`, `int8`), and try them out.

    A `family` that is given takes precedence over what the files tell. Raises ModelLoadError if the weights cannot be
    loaded or fail the smoke test.
    """
    precision = resolve_precision(requested_precision)
    checkpoint = load_checkpoint(weights.folder, precision.dtype, family)
    model: Any = checkpoint.model
    # Before the executor joins the weights, which would otherwise be moved twice.
    model.to(precision.device)
    eos_ids = _published_eos_ids(checkpoint)
    # The cheap checks come before the executor packs all weights anew.
    require_ids_in_vocabulary(model, checkpoint.tokenizer, eos_ids, name=name)
    prompt_format = _create_prompt_format(checkpoint, name, weights.revision)
    prompt_format.require_valid_tokenizer()
    executor, precision_name = create_executor(checkpoint, precision)
    # The tokenizer's end token ends answers too, even if the model's files name another one.
    eos_id: Any = checkpoint.tokenizer.eos_token_id
    eos_ids |= {eos_id} if eos_id is not None else set()
    loaded_model = LoadedModel(checkpoint, prompt_format, executor, checkpoint.context_tokens, eos_ids, precision_name)
    require_valid_prompt(model, prompt_format)
    return replace(loaded_model, tokens_per_second=measure_speed(loaded_model.create_scheduler(0)))


def _create_prompt_format(checkpoint: Checkpoint, name: str, revision: str) -> PromptFormat:
    eos_id = checkpoint.model.config.eos_token_id
    return prompt_format_for(
        checkpoint.family,
        checkpoint.tokenizer,
        name,
        revision=revision,
        context_tokens=checkpoint.context_tokens,
        eos_id=eos_id,
    )


def _published_eos_ids(checkpoint: Checkpoint) -> frozenset[int]:
    """Return the ids that end an answer, by the generation settings or the configuration of the weights."""
    published = checkpoint.published_settings.get("eos_token_id", checkpoint.model.config.eos_token_id)
    eos_ids = published if isinstance(published, list) else [published]
    return frozenset(int(eos_id) for eos_id in eos_ids if eos_id is not None)
