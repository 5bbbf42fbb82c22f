"""Small models with random weights, run by `generate` of transformers and by our engine."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    BlenderbotForConditionalGeneration,
    LlamaConfig,
    LlamaForCausalLM,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
)
from transformers.generation.logits_process import NoRepeatNGramLogitsProcessor, RepetitionPenaltyLogitsProcessor

from chatsite.engine.inference.executor import ModelExecutor
from chatsite.engine.inference.executors.blenderbot import BlenderbotExecutor
from chatsite.engine.inference.executors.llama import LlamaExecutor
from chatsite.engine.inference.requests import BeamSearchRequest, RequestState, SampledRequest
from chatsite.engine.inference.sampling.params import SamplingParams
from chatsite.engine.inference.sampling.sampler import SamplingState
from chatsite.engine.inference.scheduler import Scheduler
from chatsite.engine.types import Event, GenerationOptions, Prompt, PromptReport, Request, Turn
from tests.support import trained_models

MEMORY_BUDGET = 1 << 50
VOCABULARY_SIZE = 90
END_TOKEN = 2


class NumberDetokenizer:
    """A detokenizer for models without a tokenizer: the text of each id is its number."""

    def push_token(self, token: int) -> str:
        """Return the text of an id."""
        return f"{token} "


class AnswerOnlyProcessor(LogitsProcessor):
    """A logits processor of transformers that sees only the answer, as our sampler does, and not the prompt."""

    def __init__(self, inner: LogitsProcessor, prompt_length: int) -> None:
        self._inner = inner
        self._prompt_length = prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the scores of the inner processor."""
        adjusted: torch.Tensor = self._inner(input_ids[:, self._prompt_length :], scores)
        return adjusted


@dataclass
class TinyModel:
    """A model of transformers, and our executor for it."""

    model: Any
    model_executor: ModelExecutor
    is_encoder_decoder: bool

    def run_generate(
        self, prompt: list[int], choice: SamplingParams, prefix: Sequence[int] = (), **more: Any
    ) -> list[int]:
        """Return the ids that `generate` writes, including the end token."""
        prompt_length = 1 if self.is_encoder_decoder else len(prompt)
        skipped_tokens = prompt_length + len(prefix)
        processors = []
        if choice.repetition_penalty != 1.0:
            processors.append(
                AnswerOnlyProcessor(RepetitionPenaltyLogitsProcessor(choice.repetition_penalty), prompt_length)
            )
        if choice.no_repeat_ngram:
            processors.append(AnswerOnlyProcessor(NoRepeatNGramLogitsProcessor(choice.no_repeat_ngram), prompt_length))
        ids = torch.tensor([prompt if self.is_encoder_decoder else [*prompt, *prefix]])
        decoder_start = (
            {"decoder_input_ids": torch.tensor([[1, *prefix]])} if self.is_encoder_decoder and prefix else {}
        )
        written: torch.Tensor = self.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            **decoder_start,
            do_sample=False,
            early_stopping=False,
            num_beams=choice.beams,
            max_new_tokens=choice.max_new_tokens,
            min_new_tokens=choice.min_new_tokens,
            length_penalty=choice.length_penalty,
            no_repeat_ngram_size=0,
            encoder_no_repeat_ngram_size=choice.encoder_no_repeat_ngram,
            forced_eos_token_id=END_TOKEN if choice.forced_eos else None,
            eos_token_id=END_TOKEN,
            pad_token_id=0,
            logits_processor=LogitsProcessorList(processors),
            **more,
        )
        new_ids: list[int] = written[0, skipped_tokens:].tolist()
        return new_ids

    def make_request_state(
        self, number: int, prompt: list[int], choice: SamplingParams, prefix: Sequence[int] = ()
    ) -> RequestState:
        """Return the request state with which our engine writes the same answer."""
        encoded = Prompt(tuple(prompt), PromptReport("tiny", "1", "chat", 64, len(prompt), ()))
        row = self.model_executor.create_group(prompt, prefix, choice.max_new_tokens, num_beams=choice.beams)
        text = SamplingState(prompt, prefix, choice, eos_ids=frozenset({END_TOKEN}))
        state_class = BeamSearchRequest if choice.beams > 1 else SampledRequest
        max_tokens = len(prefix) + choice.max_new_tokens
        return state_class(make_request(number), encoded, row, text, max_tokens, NumberDetokenizer)

    def make_scheduler(self, answers: dict[int, RequestState]) -> Scheduler:
        """Return a scheduler that admits the requests in `answers` by their ids."""
        return Scheduler(self.model_executor, lambda request, many: answers[request.id], MEMORY_BUDGET)

    def run_engine(self, prompt: list[int], choice: SamplingParams, prefix: Sequence[int] = ()) -> list[Event]:
        """Return all events of our engine for one request without others."""
        batch = self.make_scheduler({1: self.make_request_state(1, prompt, choice, prefix)})
        events = [*batch.add_request(make_request(1))]
        while batch.has_work:
            events += batch.run_step(())
        return events


def make_request(number: int) -> Request:
    """Return a request with this id and default options."""
    return Request(number, (Turn("user", "Hi"),), GenerationOptions())


def random_tokens(count: int, rng: random.Random) -> list[int]:
    """Return random ids from a small range, so that runs of tokens repeat."""
    return [rng.randrange(3, 40) for _ in range(count)]


def randomize_weights(model: Any, seed: int, scale: float = 0.25) -> Any:
    """Randomize the weights of a model so that some tokens are much likelier, and answers end now and then."""
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        weight.data += torch.randn(weight.shape, generator=generator) * scale
    return model.eval()


def make_blenderbot(seed: int) -> TinyModel:
    """Make a BlenderBot with random weights that never writes its start token, like the real one."""
    model: Any = randomize_weights(
        BlenderbotForConditionalGeneration(trained_models.small_blenderbot_config(VOCABULARY_SIZE)), seed
    )
    model.final_logits_bias[0, 1] = -1e4
    model.final_logits_bias[0, END_TOKEN] = 1.5
    return TinyModel(model, BlenderbotExecutor(model), True)


def make_llama(seed: int) -> TinyModel:
    """Make a Llama with random weights."""
    sizes: dict[str, Any] = {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 6, "num_key_value_heads": 2, "max_position_embeddings": 128}
    model: Any = randomize_weights(LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY_SIZE, **sizes)), seed)
    return TinyModel(model, LlamaExecutor(model), False)


TINY_MODEL_MAKERS: dict[str, Callable[[int], TinyModel]] = {"blenderbot": make_blenderbot, "llama": make_llama}


class StopStringCriteria(StoppingCriteria):
    """A stopping criterion that ends answers with one of the stop strings, in the text of NumberDetokenizer."""

    def __init__(self, prompt_length: int, stops: Sequence[str]) -> None:
        self._prompt_length = prompt_length
        self._stops = stops

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Return for each row whether its answer is finished."""
        texts = ["".join(f"{token} " for token in ids[self._prompt_length :]) for ids in input_ids.tolist()]
        return torch.tensor([any(stop in text for stop in self._stops) for text in texts])
