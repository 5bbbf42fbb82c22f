"""Small real models that the tests make and train themselves, and a way to let an engine finish."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    BlenderbotConfig,
    BlenderbotForConditionalGeneration,
    BlenderbotTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from chatsite.engine import Delta, Engine, Event, Finish, Options, Receipt, Request, Started, Turn
from chatsite.engine.local import LocalEngine
from chatsite.engine.prompting.blenderbot import BlenderbotFormat
from chatsite.engine.prompting.chat import ChatFormat

CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are small.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# What the tiny models learn by heart.
LESSONS = {
    "What is the capital of France?": "The capital of France is Paris, a large city on the river Seine.",
    "Tell me about foxes.": "A fox is a small wild animal with a red coat, and it lives in the woods.",
    "Do you like to travel?": "Yes, I love to travel by train, because I can read and look around.",
    "Say something odd.": "Naïve cafés sell 🦊 cakes and ½ a pound of tea to visitors from Zürich.",
}
CORPUS = [
    *LESSONS,
    *LESSONS.values(),
    "your persona: i like cats.",
    "You are a small assistant.\nHello world",
]
STEPS = 150

# Several threads make so small a computation slower, and much slower on a busy machine.
torch.set_num_threads(1)


def dialogues() -> list[dict[str, Any]]:
    """Real dialogues with BlenderBot; skips, saying so, where the data are not there."""
    return json.loads(_data("parlai/dialogues.json").read_text("utf-8"))


def real_tokenizer_folder() -> Path:
    """The folder with BlenderBot's own tokenizer; skips, saying so, where the data are not there."""
    return _data("blenderbot-400M-distill")


def _data(name: str) -> Path:
    folder = os.environ.get("CHATSITE_TEST_DATA")
    if not folder or not (Path(folder) / name).exists():
        pytest.skip(f"NOT TESTED WITH REAL DATA: CHATSITE_TEST_DATA names no folder with {name}.")
    return Path(folder) / name


def chat_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with the special tokens and the template of ChatML."""
    tokenizer = _byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", chat_template=CHATML
    )


def blenderbot_tokenizer(folder: Path) -> BlenderbotTokenizer:
    """A byte-level tokenizer in BlenderBot's two files, with its special ids."""
    tokenizer = _byte_level(["<pad>", "<s>", "</s>", "<unk>"])
    tokenizer.model.save(str(folder))
    return BlenderbotTokenizer.from_pretrained(folder)


def _byte_level(special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def make_chat_model(folder: Path, context: int = 256) -> Path:
    """A folder with a Llama of two layers that knows the LESSONS by heart."""
    tokenizer = chat_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        bos_token_id=1,
        eos_token_id=2,
    )
    torch.manual_seed(1)
    model = LlamaForCausalLM(config)
    reads = ChatFormat(tokenizer, "tiny", "1", context)
    examples = [(list(reads.prompt(ask(q), {}).ids), [*reads.prefix(a), 2]) for q, a in LESSONS.items()]
    train(model, [{"input_ids": p + a, "labels": [-100] * len(p) + a} for p, a in examples])
    return _save(folder, model, tokenizer)


def make_blenderbot_model(folder: Path, tokenizer: BlenderbotTokenizer | None = None) -> Path:
    """A folder with a BlenderBot of two and three layers that knows the LESSONS by heart."""
    folder.mkdir(parents=True)
    tokenizer = tokenizer or blenderbot_tokenizer(folder)
    torch.manual_seed(1)
    model = BlenderbotForConditionalGeneration(small_blenderbot(tokenizer.vocab_size))
    reads = BlenderbotFormat(tokenizer, "tiny", "1", 128, 2)
    examples = [(list(reads.prompt(ask(q), {}).ids), [*reads.prefix(a), 2]) for q, a in LESSONS.items()]
    train(model, [{"input_ids": p, "decoder_input_ids": [1, *a[:-1]], "labels": a} for p, a in examples])
    return _save(folder, model, tokenizer)


def small_blenderbot(words: int) -> BlenderbotConfig:
    """BlenderBot's architecture at a size for tests; its depths differ, as they do in the real one."""
    sizes: dict[str, Any] = {"d_model": 64, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "dropout": 0.0}
    sizes |= {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "max_position_embeddings": 128}
    return BlenderbotConfig(vocab_size=words, encoder_layers=2, decoder_layers=3, scale_embedding=True, **sizes)


def train(model: Any, examples: list[dict[str, list[int]]]) -> None:
    """Teach the examples until the model has them by heart."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for step in range(STEPS):
        example = examples[step % len(examples)]
        loss = model(**{name: torch.tensor([ids]) for name, ids in example.items()}).loss
        loss.backward()
        if step % len(examples) == len(examples) - 1:
            optimizer.step()
            optimizer.zero_grad()
    model.eval()


def _save(folder: Path, model: Any, tokenizer: Any) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def ask(*texts: str, persona: Sequence[str] = (), prefix: str = "", number: int = 1, **options: Any) -> Request:
    """A request whose texts are the visitor's and the model's by turns; the last one is the visitor's."""
    first = len(texts) % 2
    turns = tuple(Turn("user" if i % 2 != first else "assistant", text) for i, text in enumerate(texts))
    return Request(number, turns, Options(**options), prefix, tuple(persona))


def text_of(events: Iterable[Event]) -> str:
    """What was written."""
    return "".join(event.text for event in events if isinstance(event, Delta))


def tokens_of(events: Iterable[Event]) -> int:
    """How many tokens were written."""
    return sum(event.tokens for event in events if isinstance(event, Delta))


def receipt_of(events: Iterable[Event]) -> Receipt:
    """The receipt that came first."""
    return next(event.receipt for event in events if isinstance(event, Started))


def finish_of(events: Sequence[Event]) -> Finish:
    """The one Finish, which must be the last event."""
    assert [isinstance(event, Finish) for event in events] == [False] * (len(events) - 1) + [True]
    assert isinstance(events[-1], Finish)
    return events[-1]


def gather(engine: Engine, *numbers: int, seconds: float = 30.0) -> dict[int, list[Event]]:
    """The events of these requests, once all of them are finished."""
    found: dict[int, list[Event]] = {number: [] for number in numbers}
    end = time.monotonic() + seconds
    while not all(events and isinstance(events[-1], Finish) for events in found.values()):
        assert time.monotonic() < end, f"not finished: {found}"
        for event in engine.events(0.05):
            found[event.id if isinstance(event, Request) else event.request_id].append(event)
    return found


def before_every_step(engine: LocalEngine, action: Callable[[], object]) -> None:
    """Do something before the model reads a piece of a prompt, and before each step of a batch."""
    assert engine._speaker is not None
    stepper: Any = engine._speaker.stepper
    for name in ("read", "step"):
        setattr(stepper, name, _after(action, getattr(stepper, name)))


def _after(action: Callable[[], object], method: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        action()
        return method(*arguments)

    return call
