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
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BlenderbotConfig,
    BlenderbotForConditionalGeneration,
    BlenderbotSmallConfig,
    BlenderbotSmallForConditionalGeneration,
    BlenderbotSmallTokenizer,
    BlenderbotTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Tokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from chatsite.engine import Delta, Engine, Event, Finish, Options, Receipt, Request, Started, Turn
from chatsite.engine.local import LocalEngine
from chatsite.engine.prompting.blenderbot import BlenderbotFormat
from chatsite.engine.prompting.blenderbot_small import BlenderbotSmallFormat, split_words
from chatsite.engine.prompting.chat import ChatFormat
from chatsite.engine.prompting.families import format_of
from chatsite.engine.prompting.text_to_text import TextToTextFormat

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
LEARNT = 0.01

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


def gpt2_tokenizer(folder: Path) -> GPT2Tokenizer:
    """A byte-level tokenizer in GPT-2's two files, with its only special token."""
    _byte_level(["<|endoftext|>"]).model.save(str(folder))
    tokenizer: GPT2Tokenizer = GPT2Tokenizer.from_pretrained(folder)
    return tokenizer


def t5_tokenizer() -> PreTrainedTokenizerFast:
    """Pieces of words as in T5: its special ids, a mark before each word, no bytes, and no word for "<"."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=150, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single=["$A", "</s>"], special_tokens=[("</s>", 1)])
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, extra_special_tokens=["<extra_id_0>"], **special)


def blenderbot_small_tokenizer(folder: Path) -> BlenderbotSmallTokenizer:
    """A lower-case tokenizer in the two files of BlenderBot 90M, with its special ids."""
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    trained.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=300, end_of_word_suffix="</w>", show_progress=False)
    trained.train_from_iterator([" ".join(split_words(text)) for text in [*CORPUS, "__end__ __newln__ " * 9]], trainer)
    merges = json.loads(trained.to_str())["model"]["merges"]
    special = ["__null__", "__start__", "__end__", "__unk__", "__newln__"]
    learnt = [name[:-4] if name.endswith("</w>") else name + "@@" for name in trained.get_vocab()]
    words = dict.fromkeys([*special, *sorted(learnt)])
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}), "utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges), ""]
    (folder / "merges.txt").write_text("\n".join(lines), "utf-8")
    tokenizer: BlenderbotSmallTokenizer = BlenderbotSmallTokenizer.from_pretrained(folder)
    return tokenizer


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


def make_gpt2_model(folder: Path, family: str = "continuation", context: int = 256) -> Path:
    """A folder with a GPT-2 of two layers that knows the LESSONS by heart, as a script or as DialoGPT's dialogue."""
    folder.mkdir(parents=True)
    tokenizer = gpt2_tokenizer(folder)
    sizes: dict[str, Any] = {"n_embd": 64, "n_layer": 2, "n_head": 4, "bos_token_id": 0, "eos_token_id": 0}
    drops: dict[str, Any] = {"resid_pdrop": 0.0, "attn_pdrop": 0.0, "embd_pdrop": 0.0}
    torch.manual_seed(1)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_positions=context, **sizes, **drops))
    reads = format_of(family, tokenizer, "tiny", "1", context, 0)
    # What a script's writer goes on with is the next question.
    after = [0] if family == "dialogue" else tokenizer("\nUser:")["input_ids"]
    examples = [(list(reads.prompt(ask(q), {}).ids), [*reads.prefix(a), *after]) for q, a in LESSONS.items()]
    train(model, [{"input_ids": p + a, "labels": [-100] * len(p) + a} for p, a in examples])
    saved = _save(folder, model, tokenizer)
    if family == "dialogue":
        config = json.loads((saved / "config.json").read_text("utf-8"))
        told = {**config, "task_specific_params": {"conversational": {"max_length": 1000}}}
        (saved / "config.json").write_text(json.dumps(told), "utf-8")
    return saved


def make_t5_model(folder: Path) -> Path:
    """A folder with a T5 of two layers that knows the LESSONS by heart."""
    tokenizer = t5_tokenizer()
    sizes: dict[str, Any] = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2}
    torch.manual_seed(1)
    config = T5Config(vocab_size=len(tokenizer), num_heads=4, decoder_start_token_id=0, dropout_rate=0.0, **sizes)
    model = T5ForConditionalGeneration(config)
    reads = TextToTextFormat(tokenizer, "tiny", "1", 512, 1)
    examples = [(list(reads.prompt(ask(q), {}).ids), [*reads.prefix(a), 1]) for q, a in LESSONS.items()]
    train(model, [{"input_ids": p, "labels": a} for p, a in examples], 10 * STEPS)
    return _save(folder, model, tokenizer)


def make_blenderbot_small_model(folder: Path) -> Path:
    """A folder with a BlenderBot 90M in small that knows the LESSONS by heart, but for their capital letters."""
    folder.mkdir(parents=True)
    tokenizer = blenderbot_small_tokenizer(folder)
    sizes: dict[str, Any] = {"d_model": 64, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "dropout": 0.0}
    sizes |= {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "max_position_embeddings": 128}
    torch.manual_seed(1)
    model = BlenderbotSmallForConditionalGeneration(
        BlenderbotSmallConfig(vocab_size=len(tokenizer), encoder_layers=2, decoder_layers=3, **sizes)
    )
    reads = BlenderbotSmallFormat(tokenizer, "tiny", "1", 128)
    examples = [(list(reads.prompt(ask(q), {}).ids), [*reads.prefix(a), 2]) for q, a in LESSONS.items()]
    train(model, [{"input_ids": p, "decoder_input_ids": [1, *a[:-1]], "labels": a} for p, a in examples], 10 * STEPS)
    return _save(folder, model, tokenizer)


def train(model: Any, examples: list[dict[str, list[int]]], most: int = STEPS) -> None:
    """Teach the examples until the model has them by heart, or for so many steps."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for _ in range(0, most, len(examples)):
        losses = []
        for example in examples:
            loss = model(**{name: torch.tensor([ids]) for name, ids in example.items()}).loss
            loss.backward()
            losses.append(loss.item())
        optimizer.step()
        optimizer.zero_grad()
        if max(losses) < LEARNT:
            break
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
