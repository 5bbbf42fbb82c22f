"""The engine on a graphics card: the same tokens as `generate`, tokens a second for 1 and 64 streams, memory.

    python -m benchmarks.gpu [--model NAME] [--device cuda] [--quick] [--write]

It needs torch's CUDA build and a card, and says so when there is none. `--device cpu` runs the same on processors, to
see that it works; its figures say nothing about cards. Compared are greedy answers, token by token: in 32-bit floats
all must be the same; in bfloat16, which rounds to three digits, two programs may choose differently where two tokens
are nearly as likely, so the length of what is the same is told.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import psutil
import torch

from benchmarks.engine import MODELS_FOLDER, Timing, fastest_of, run_engine, without_end_token
from benchmarks.support.tables import Table, describe_machine, format_ratio, write_section
from chatsite.engine.catalog.catalog import resolve_entry
from chatsite.engine.downloads.weights import Weights, ensure_installed
from chatsite.engine.inference.loaded_model import LoadedModel, load_model
from chatsite.engine.inference.loading.checkpoint import load_checkpoint, silence_transformers
from chatsite.engine.types import Delta, GenerationOptions, Request, Turn

DEFAULT_MODEL = "smollm2-135m-instruct"
STREAM_COUNTS = (1, 64)
MEMORY_BUDGET = 1 << 40
QUESTIONS = (
    "What is the capital of France?",
    "Write a short poem about the sea.",
    "Explain to a child why the sky is blue.",
    "¿Cuáles son los planetas del sistema solar?",
    "Write a Python function that reverses a list.",
    "Give me three tips for a job interview.",
    "What happened in 1969?",
    "Tell me a story about a dragon who cannot fly.",
)


@dataclass(frozen=True)
class Parity:
    """How many of the greedy answers, and of their tokens, are those of `generate`."""

    same_answers: int
    answers: int
    same_tokens: int
    tokens: int


def find_device(wanted: str) -> str | None:
    """Return the device to measure on, or None if it is a card and torch finds none."""
    return wanted if wanted == "cpu" or torch.cuda.is_available() else None


def greedy_options(new_tokens: int) -> GenerationOptions:
    """Return options by which the likeliest token is written at each step, and nothing is penalized."""
    return GenerationOptions(
        max_new_tokens=new_tokens, seconds=3600.0, temperature=0.0, repetition_penalty=1.0, no_repeat_ngram=0, beams=1
    )


def generate_ids(model: Any, prompt: tuple[int, ...], new_tokens: int, *, min_tokens: int = 0) -> list[int]:
    """Return the ids that `generate` writes greedily after a prompt."""
    ids = torch.tensor([prompt], device=model.device)
    written = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        num_beams=1,
        repetition_penalty=1.0,
        max_new_tokens=new_tokens,
        min_new_tokens=min_tokens,
    )
    return [int(token) for token in written[0, len(prompt) :]]


def engine_texts(loaded: LoadedModel, requests: list[Request]) -> list[str]:
    """Return the answers to requests that arrive together."""
    scheduler = loaded.create_scheduler(MEMORY_BUDGET)
    texts = {request.id: "" for request in requests}
    events = [event for request in requests for event in scheduler.add_request(request)]
    while scheduler.has_work:
        events += scheduler.run_step(())
    for event in events:
        if isinstance(event, Delta):
            texts[event.request_id] += event.text
    return list(texts.values())


def measure_parity(loaded: LoadedModel, model: Any, new_tokens: int) -> Parity:
    """Compare the engine, with all questions at once, and `generate`, with one after the other."""
    tokenizer: Any = loaded.checkpoint.tokenizer
    options = greedy_options(new_tokens)
    requests = [Request(number, (Turn("user", text),), options) for number, text in enumerate(QUESTIONS)]
    same_answers = same_tokens = token_count = 0
    for request, text in zip(requests, engine_texts(loaded, requests), strict=True):
        prompt = loaded.prompt_format.build_prompt(request, {}).ids
        expected = generate_ids(model, prompt, new_tokens)
        # The engine tells texts; the tokens that they share are those whose text they begin with alike.
        shared = next(
            (
                length
                for length in range(len(expected), 0, -1)
                if text.startswith(tokenizer.decode(expected[:length], skip_special_tokens=True))
            ),
            0,
        )
        whole = tokenizer.decode(expected, skip_special_tokens=True)
        same_answers += text == whole
        same_tokens += shared
        token_count += len(expected)
    return Parity(same_answers, len(requests), same_tokens, token_count)


def used_bytes(device: str) -> int:
    """Return the most memory that was in use: of the card, or on processors that of this process now."""
    return torch.cuda.max_memory_allocated() if device == "cuda" else psutil.Process().memory_info().rss


def run_generate(model: Any, loaded: LoadedModel, new_tokens: int) -> Timing:
    """Time `generate` with one stream."""
    prompt = loaded.prompt_format.build_prompt(Request(0, (Turn("user", QUESTIONS[0]),)), {}).ids
    start = time.perf_counter()
    ids = generate_ids(model, prompt, new_tokens, min_tokens=new_tokens)
    return Timing(len(ids), time.perf_counter() - start)


def add_parity_row(
    table: Table, loaded: LoadedModel, weights: Weights, device: str, new_tokens: int, tries: int
) -> tuple[LoadedModel, Timing]:
    """Compare with `generate` in the engine's number format; return the engine's model, and the speed of `generate`."""
    dtype = torch.float32 if loaded.precision == "fp32" else torch.bfloat16
    reference: Any = load_checkpoint(weights.folder, dtype).model
    reference.to(device)
    result = measure_parity(loaded, reference, new_tokens)
    table.add_row(
        loaded.precision, f"{result.same_answers} of {result.answers}", f"{result.same_tokens} of {result.tokens}"
    )
    return loaded, fastest_of(partial(run_generate, reference, loaded, new_tokens), tries)


def measure(name: str, weights: Weights, device: str, *, new_tokens: int, tries: int) -> list[Table]:
    """Measure one model on a device: parity in both number formats, then speed and memory in bfloat16."""
    parity = Table(
        f"{name}: greedy answers, ours and those of generate", ["format", "the same answers", "the same tokens"]
    )
    speed = Table(
        f"{name}: speed in bf16, {new_tokens} tokens an answer",
        ["streams", "generate, tokens/s", "ours, tokens/s", "ratio", "last first token, s", "memory, GB"],
    )
    for precision in ("fp32", "bf16"):
        loaded, naive = add_parity_row(parity, load_model(name, weights, precision), weights, device, new_tokens, tries)
    if device == "cuda":
        # The reference is gone: what is measured now is the engine's memory alone.
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    for count in STREAM_COUNTS:
        ours = fastest_of(partial(run_engine, without_end_token(loaded), count, greedy_options(new_tokens)), tries)
        speed.add_row(
            count,
            f"{naive.tokens_per_second:.1f}",
            f"{ours.tokens_per_second:.1f}",
            format_ratio(ours.tokens_per_second, naive.tokens_per_second),
            f"{max(ours.first_token_seconds):.2f}",
            f"{used_bytes(device) / 1e9:.2f}",
        )
    return [parity, speed]


def describe_device(device: str) -> str:
    """Return the card in words, or that there is none."""
    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}."
    return "Without a graphics card, to see that it works."


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and with `--write` keep the tables in docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a name of the catalog, a Hub repository or a folder")
    parser.add_argument("--models-dir", type=Path, default=MODELS_FOLDER)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--quick", action="store_true", help="fewer tokens and tries")
    parser.add_argument("--write", action="store_true", help="keep the tables in docs/benchmarks.md")
    options = parser.parse_args(arguments)
    device = find_device(options.device)
    if device is None:
        print(
            f"There is no graphics card that torch {torch.__version__} can use: nothing was measured.", file=sys.stderr
        )
        return 1
    silence_transformers()
    weights = ensure_installed(resolve_entry(options.model), options.models_dir, lambda progress: None)
    new_tokens, tries = (8, 1) if options.quick else (128, 3)
    tables = measure(options.model, weights, device, new_tokens=new_tokens, tries=tries)
    body = "\n\n".join([f"Measured on {describe_machine()} {describe_device(device)}", *map(str, tables)])
    print(body)
    if options.write:
        write_section("gpu", body)
    return 0


if __name__ == "__main__":
    sys.exit(main())
