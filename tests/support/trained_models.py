"""Small real models that tests create and train, and helpers to read the events of an engine."""

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

from chatsite.engine.downloads.weights import MANIFEST, sha256_of_file
from chatsite.engine.local import LocalEngine
from chatsite.engine.prompting.blenderbot import BlenderbotFormat
from chatsite.engine.prompting.blenderbot_small import BlenderbotSmallFormat, split_words
from chatsite.engine.prompting.chat import ChatFormat
from chatsite.engine.prompting.families import prompt_format_for
from chatsite.engine.prompting.text_to_text import TextToTextFormat
from chatsite.engine.types import (
    Delta,
    Engine,
    Event,
    Finish,
    GenerationOptions,
    PromptReport,
    Request,
    Started,
    Turn,
)
from chatsite.services.chat.model_titles import build_turns
from tests.support.training import trained_once

CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are small.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# Questions and answers that the tiny models learn by heart.
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
# The real BlenderBot's sizes with few layers, and with all of them.
DEPTHS = [
    pytest.param({"encoder_layers": 1, "decoder_layers": 2}, id="few layers"),
    pytest.param({}, id="all layers", marks=pytest.mark.exhaustive),
]
TRAINING_STEPS = 150
TARGET_LOSS = 0.01

# Such small computations are slower with several threads, above all on a busy machine.
torch.set_num_threads(1)


def load_real_dialogues() -> list[dict[str, Any]]:
    """Return real dialogues with BlenderBot. Skips the test if the data is missing."""
    return json.loads(_test_data_path("parlai/dialogues.json").read_text("utf-8"))


def real_tokenizer_folder() -> Path:
    """Return the folder with BlenderBot's own tokenizer. Skips the test if the data is missing."""
    return _test_data_path("blenderbot-400M-distill")


def _test_data_path(name: str) -> Path:
    folder = os.environ.get("CHATSITE_TEST_DATA")
    if not folder or not (Path(folder) / name).exists():
        pytest.skip(f"NOT TESTED WITH REAL DATA: CHATSITE_TEST_DATA names no folder with {name}.")
    return Path(folder) / name


def chat_tokenizer() -> PreTrainedTokenizerFast:
    """Make a byte-level tokenizer with the special tokens and the chat template of ChatML."""
    tokenizer = _byte_level_tokenizer(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", chat_template=CHATML
    )


def blenderbot_tokenizer(folder: Path) -> BlenderbotTokenizer:
    """Make a byte-level tokenizer in the two files of BlenderBot, with its special ids."""
    tokenizer = _byte_level_tokenizer(["<pad>", "<s>", "</s>", "<unk>"])
    tokenizer.model.save(str(folder))
    return BlenderbotTokenizer.from_pretrained(folder)


def gpt2_tokenizer(folder: Path) -> GPT2Tokenizer:
    """Make a byte-level tokenizer in the two files of GPT-2, with its only special token."""
    _byte_level_tokenizer(["<|endoftext|>"]).model.save(str(folder))
    tokenizer: GPT2Tokenizer = GPT2Tokenizer.from_pretrained(folder)
    return tokenizer


def t5_tokenizer() -> PreTrainedTokenizerFast:
    """Make a T5 tokenizer with its special ids, a mark before each word, no bytes, and no token for "<"."""
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
    """Make a lower-case tokenizer in the two files of BlenderBot 90M, with its special ids."""
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    trained.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=300, end_of_word_suffix="</w>", show_progress=False)
    trained.train_from_iterator([" ".join(split_words(text)) for text in [*CORPUS, "__end__ __newln__ " * 9]], trainer)
    merges = json.loads(trained.to_str())["model"]["merges"]
    special = ["__null__", "__start__", "__end__", "__unk__", "__newln__"]
    vocabulary = [name[:-4] if name.endswith("</w>") else name + "@@" for name in trained.get_vocab()]
    words = dict.fromkeys([*special, *sorted(vocabulary)])
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}), "utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges), ""]
    (folder / "merges.txt").write_text("\n".join(lines), "utf-8")
    tokenizer: BlenderbotSmallTokenizer = BlenderbotSmallTokenizer.from_pretrained(folder)
    return tokenizer


def _byte_level_tokenizer(special_tokens: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=special_tokens, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


@trained_once
def make_chat_model(folder: Path, context: int = 256) -> Path:
    """Make a folder with a Llama of two layers that knows the LESSONS by heart."""
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
    prompt_format = ChatFormat(tokenizer, "tiny", "1", context)
    examples = [
        (list(prompt_format.build_prompt(make_request(q), {}).ids), [*prompt_format.encode_prefix(a), 2])
        for q, a in LESSONS.items()
    ]
    train_until_learned(model, [{"input_ids": p + a, "labels": [-100] * len(p) + a} for p, a in examples])
    return _save_model(folder, model, tokenizer)


@trained_once
def make_naming_model(folder: Path, question: str, answer: str, title: str) -> Path:
    """Make a folder with a Llama of two layers that knows one answer by heart, and the title of that conversation."""
    tokenizer = chat_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        bos_token_id=1,
        eos_token_id=2,
    )
    torch.manual_seed(1)
    model = LlamaForCausalLM(config)
    prompt_format = ChatFormat(tokenizer, "tiny", "1", 1024)
    requests = [make_request(question), Request(1, build_turns(question, answer), is_background=True)]
    examples = [
        (list(prompt_format.build_prompt(request, {}).ids), [*prompt_format.encode_prefix(text), 2])
        for request, text in zip(requests, (answer, title), strict=True)
    ]
    train_until_learned(model, [{"input_ids": p + a, "labels": [-100] * len(p) + a} for p, a in examples])
    return _save_model(folder, model, tokenizer)


@trained_once
def make_blenderbot_model(folder: Path, tokenizer: BlenderbotTokenizer | None = None) -> Path:
    """Make a folder with a BlenderBot of two encoder and three decoder layers that knows the LESSONS by heart."""
    folder.mkdir(parents=True)
    tokenizer = tokenizer or blenderbot_tokenizer(folder)
    torch.manual_seed(1)
    model = BlenderbotForConditionalGeneration(small_blenderbot_config(tokenizer.vocab_size))
    prompt_format = BlenderbotFormat(tokenizer, "tiny", "1", 128, 2)
    examples = [
        (list(prompt_format.build_prompt(make_request(q), {}).ids), [*prompt_format.encode_prefix(a), 2])
        for q, a in LESSONS.items()
    ]
    train_until_learned(model, [{"input_ids": p, "decoder_input_ids": [1, *a[:-1]], "labels": a} for p, a in examples])
    return _save_model(folder, model, tokenizer)


def small_blenderbot_config(vocabulary_size: int) -> BlenderbotConfig:
    """Return the configuration of a small BlenderBot. Its encoder and decoder differ in depth, like the real ones."""
    sizes: dict[str, Any] = {"d_model": 64, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "dropout": 0.0}
    sizes |= {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "max_position_embeddings": 128}
    return BlenderbotConfig(
        vocab_size=vocabulary_size, encoder_layers=2, decoder_layers=3, scale_embedding=True, **sizes
    )


@trained_once
def make_gpt2_model(folder: Path, family: str = "continuation", context: int = 256) -> Path:
    """Make a folder with a GPT-2 of two layers that knows the LESSONS by heart, as a script or a DialoGPT dialogue."""
    folder.mkdir(parents=True)
    tokenizer = gpt2_tokenizer(folder)
    sizes: dict[str, Any] = {"n_embd": 64, "n_layer": 2, "n_head": 4, "bos_token_id": 0, "eos_token_id": 0}
    dropouts: dict[str, Any] = {"resid_pdrop": 0.0, "attn_pdrop": 0.0, "embd_pdrop": 0.0}
    torch.manual_seed(1)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_positions=context, **sizes, **dropouts))
    prompt_format = prompt_format_for(family, tokenizer, "tiny", revision="1", context_tokens=context, eos_id=0)
    # A script continues with the next question.
    end_tokens = [0] if family == "dialogue" else tokenizer("\nUser:")["input_ids"]
    examples = [
        (list(prompt_format.build_prompt(make_request(q), {}).ids), [*prompt_format.encode_prefix(a), *end_tokens])
        for q, a in LESSONS.items()
    ]
    train_until_learned(model, [{"input_ids": p + a, "labels": [-100] * len(p) + a} for p, a in examples])
    saved = _save_model(folder, model, tokenizer)
    if family == "dialogue":
        config = json.loads((saved / "config.json").read_text("utf-8"))
        changed = {**config, "task_specific_params": {"conversational": {"max_length": 1000}}}
        (saved / "config.json").write_text(json.dumps(changed), "utf-8")
    return saved


@trained_once
def make_t5_model(folder: Path) -> Path:
    """Make a folder with a T5 of two layers that knows the LESSONS by heart."""
    tokenizer = t5_tokenizer()
    sizes: dict[str, Any] = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "decoder_start_token_id": 0}
    torch.manual_seed(1)
    config = T5Config(vocab_size=len(tokenizer), num_heads=4, dropout_rate=0.0, **sizes)
    model = T5ForConditionalGeneration(config)
    prompt_format = TextToTextFormat(tokenizer, "tiny", "1", 512, 1)
    examples = [
        (list(prompt_format.build_prompt(make_request(q), {}).ids), [*prompt_format.encode_prefix(a), 1])
        for q, a in LESSONS.items()
    ]
    train_until_learned(model, [{"input_ids": p, "labels": a} for p, a in examples], 10 * TRAINING_STEPS)
    return _save_model(folder, model, tokenizer)


@trained_once
def make_blenderbot_small_model(folder: Path) -> Path:
    """Make a folder with a small BlenderBot 90M that knows the LESSONS by heart, in lower case."""
    folder.mkdir(parents=True)
    tokenizer = blenderbot_small_tokenizer(folder)
    sizes: dict[str, Any] = {"d_model": 64, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "dropout": 0.0}
    sizes |= {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "max_position_embeddings": 128}
    torch.manual_seed(1)
    model = BlenderbotSmallForConditionalGeneration(
        BlenderbotSmallConfig(vocab_size=len(tokenizer), encoder_layers=2, decoder_layers=3, **sizes)
    )
    prompt_format = BlenderbotSmallFormat(tokenizer, "tiny", "1", 128)
    examples = [
        (list(prompt_format.build_prompt(make_request(q), {}).ids), [*prompt_format.encode_prefix(a), 2])
        for q, a in LESSONS.items()
    ]
    train_until_learned(
        model,
        [{"input_ids": p, "decoder_input_ids": [1, *a[:-1]], "labels": a} for p, a in examples],
        10 * TRAINING_STEPS,
    )
    return _save_model(folder, model, tokenizer)


def train_until_learned(model: Any, examples: list[dict[str, list[int]]], max_steps: int = TRAINING_STEPS) -> None:
    """Train the model until the loss of each example is below TARGET_LOSS, or for `max_steps` examples."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for _ in range(0, max_steps, len(examples)):
        losses = []
        for example in examples:
            loss = model(**{name: torch.tensor([ids]) for name, ids in example.items()}).loss
            loss.backward()
            losses.append(loss.item())
        optimizer.step()
        optimizer.zero_grad()
        if max(losses) < TARGET_LOSS:
            break
    model.eval()


def _save_model(folder: Path, model: Any, tokenizer: Any) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_request(
    *texts: str, persona: Sequence[str] = (), prefix: str = "", number: int = 1, **options: Any
) -> Request:
    """Return a request with turns of the user and the model in alternation; the last one is of the user."""
    first = len(texts) % 2
    turns = tuple(Turn("user" if i % 2 != first else "assistant", text) for i, text in enumerate(texts))
    return Request(number, turns, GenerationOptions(**options), prefix, tuple(persona))


def text_of(events: Iterable[Event]) -> str:
    """Return the text that the events add up to."""
    return "".join(event.text for event in events if isinstance(event, Delta))


def tokens_of(events: Iterable[Event]) -> int:
    """Return the number of tokens in the events."""
    return sum(event.token_count for event in events if isinstance(event, Delta))


def report_of(events: Iterable[Event]) -> PromptReport:
    """Return the prompt report of the Started event."""
    return next(event.report for event in events if isinstance(event, Started))


def finish_of(events: Sequence[Event]) -> Finish:
    """Return the only Finish, which must be the last event."""
    assert [isinstance(event, Finish) for event in events] == [False] * (len(events) - 1) + [True]
    assert isinstance(events[-1], Finish)
    return events[-1]


def collect_events(engine: Engine, *numbers: int, seconds: float = 90.0) -> dict[int, list[Event]]:
    """Return the events of the requests `numbers`, once all of them are finished, at most after `seconds`."""
    events_by_request: dict[int, list[Event]] = {number: [] for number in numbers}
    deadline = time.monotonic() + seconds
    while not all(events and isinstance(events[-1], Finish) for events in events_by_request.values()):
        assert time.monotonic() < deadline, f"not finished: {events_by_request}"
        for event in engine.poll_events(0.05):
            events_by_request[event.id if isinstance(event, Request) else event.request_id].append(event)
    return events_by_request


def before_every_step(engine: LocalEngine, action: Callable[[], object]) -> None:
    """Call `action` before each prefill chunk and each decode step of an engine."""
    assert engine._loaded_model is not None
    model_executor: Any = engine._loaded_model.executor
    for name in ("prefill_chunk", "decode_step"):
        setattr(model_executor, name, _call_before(action, getattr(model_executor, name)))


def _call_before(action: Callable[[], object], method: Callable[..., Any]) -> Callable[..., Any]:
    def call_both(*arguments: Any) -> Any:
        action()
        return method(*arguments)

    return call_both


def verify(folder: Path) -> list[str]:
    """List the installed files with a sha256 other than the one in the manifest."""
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    return [name for name, file in manifest["files"].items() if sha256_of_file(folder / name) != file["sha256"]]
