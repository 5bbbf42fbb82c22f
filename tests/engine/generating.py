"""Small models with random weights, answered by `generate` and by us."""

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

from chatsite.engine import Event, Options, Prompt, Receipt, Request, Turn
from chatsite.engine.decoding.answers import Answer, Drawn, Searched
from chatsite.engine.decoding.batching import Batch
from chatsite.engine.decoding.blenderbot import LeanBlenderbot
from chatsite.engine.decoding.choosing import Text
from chatsite.engine.decoding.llama import LeanLlama
from chatsite.engine.decoding.presets import Choice
from chatsite.engine.decoding.stepping import Stepper
from tests.engine import support

PLENTY = 1 << 50
WORDS = 90
END = 2


class Numbers:
    """Characters of a model without a tokenizer: each id is a word."""

    def push(self, token: int) -> str:
        """The word of an id."""
        return f"{token} "


class AnswerOnly(LogitsProcessor):
    """One of `generate`'s processors, shown the answer without what stands before it, as ours are."""

    def __init__(self, inner: LogitsProcessor, begin: int) -> None:
        self._inner = inner
        self._begin = begin

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The inner one's scores."""
        found: torch.Tensor = self._inner(input_ids[:, self._begin :], scores)
        return found


@dataclass
class Bench:
    """A model, our way through it, and how many ids stand before an answer in what `generate` gives."""

    model: Any
    stepper: Stepper
    encodes: bool

    def theirs(self, prompt: list[int], choice: Choice, prefix: Sequence[int] = (), **more: Any) -> list[int]:
        """The ids that `generate` writes, with the end token if it is one."""
        begin = 1 if self.encodes else len(prompt)
        before = begin + len(prefix)
        processors = []
        if choice.repetition_penalty != 1.0:
            processors.append(AnswerOnly(RepetitionPenaltyLogitsProcessor(choice.repetition_penalty), begin))
        if choice.no_repeat_ngram:
            processors.append(AnswerOnly(NoRepeatNGramLogitsProcessor(choice.no_repeat_ngram), begin))
        ids = torch.tensor([prompt if self.encodes else [*prompt, *prefix]])
        start = {"decoder_input_ids": torch.tensor([[1, *prefix]])} if self.encodes and prefix else {}
        written: torch.Tensor = self.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            **start,
            do_sample=False,
            early_stopping=False,
            num_beams=choice.beams,
            max_new_tokens=choice.max_new_tokens,
            min_new_tokens=choice.min_new_tokens,
            length_penalty=choice.length_penalty,
            no_repeat_ngram_size=0,
            encoder_no_repeat_ngram_size=choice.encoder_no_repeat_ngram,
            forced_eos_token_id=END if choice.forced_end else None,
            eos_token_id=END,
            pad_token_id=0,
            logits_processor=LogitsProcessorList(processors),
            **more,
        )
        ids_after: list[int] = written[0, before:].tolist()
        return ids_after

    def answer(self, number: int, prompt: list[int], choice: Choice, prefix: Sequence[int] = ()) -> Answer:
        """The same as an answer of ours."""
        asked = Prompt(tuple(prompt), Receipt("tiny", "1", "chat", 64, len(prompt), ()))
        row = self.stepper.open(prompt, prefix, choice.max_new_tokens, choice.beams)
        text = Text(prompt, prefix, choice, frozenset({END}))
        kind = Searched if choice.beams > 1 else Drawn
        most = len(prefix) + choice.max_new_tokens
        return kind(request(number), asked, row, text, most, Numbers)

    def batch(self, answers: dict[int, Answer]) -> Batch:
        """A batch that takes requests by their numbers."""
        return Batch(self.stepper, lambda request, many: answers[request.id], PLENTY)

    def ours(self, prompt: list[int], choice: Choice, prefix: Sequence[int] = ()) -> list[Event]:
        """All that we say of it, alone."""
        batch = self.batch({1: self.answer(1, prompt, choice, prefix)})
        events = [*batch.take(request(1))]
        while batch.busy:
            events += batch.advance(())
        return events


def request(number: int) -> Request:
    """A request that is nothing but its number."""
    return Request(number, (Turn("user", "Hi"),), Options())


def words(count: int, chance: random.Random) -> list[int]:
    """Random ids, few enough different ones for runs to repeat."""
    return [chance.randrange(3, 40) for _ in range(count)]


def restless(model: Any, seed: int, unrest: float = 0.25) -> Any:
    """A model with random weights that are large enough for it to prefer something, and to end now and then."""
    chance = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        weight.data += torch.randn(weight.shape, generator=chance) * unrest
    return model.eval()


def make_blenderbot(seed: int) -> Bench:
    """A BlenderBot with random weights that never says its start token, as the real one never does."""
    model: Any = restless(BlenderbotForConditionalGeneration(support.small_blenderbot(WORDS)), seed)
    model.final_logits_bias[0, 1] = -1e4
    model.final_logits_bias[0, END] = 1.5
    return Bench(model, LeanBlenderbot(model), True)


def make_llama(seed: int) -> Bench:
    """A Llama with random weights."""
    sizes: dict[str, Any] = {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 6, "num_key_value_heads": 2, "max_position_embeddings": 128}
    model: Any = restless(LlamaForCausalLM(LlamaConfig(vocab_size=WORDS, **sizes)), seed)
    return Bench(model, LeanLlama(model), False)


MAKERS: dict[str, Callable[[int], Bench]] = {"blenderbot": make_blenderbot, "llama": make_llama}


class Stopping(StoppingCriteria):
    """Ends what contains one of the stops, in the words of Numbers."""

    def __init__(self, begin: int, stops: Sequence[str]) -> None:
        self._begin = begin
        self._stops = stops

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Whether each row is over."""
        texts = ["".join(f"{token} " for token in ids[self._begin :]) for ids in input_ids.tolist()]
        return torch.tensor([any(stop in text for stop in self._stops) for text in texts])
