"""The engine against `generate`, as most people run it: 32-bit floats, one request after the other.

    python -m benchmarks.engine [--quick] [--write] [--without-native]

Both sides run in this process, one after the other, on the same threads; every pair of figures comes from one run,
and only their ratios mean anything elsewhere. BlenderBot has its real configuration and random weights (the speed is
that of the real ones), if CHATSITE_TEST_DATA names a folder with blenderbot-400M-distill/.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

# What the engine sets before it loads torch; here torch comes first.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import psutil
import torch

from benchmarks import engine_quality
from benchmarks.support.tables import Table, describe_machine, format_ratio, write_section
from chatsite.engine.catalog.catalog import resolve_entry
from chatsite.engine.downloads.weights import ensure_installed
from chatsite.engine.inference import native
from chatsite.engine.inference.loaded_model import LoadedModel, load_model
from chatsite.engine.inference.loading.checkpoint import Checkpoint, load_checkpoint, silence_transformers
from chatsite.engine.inference.quantization.precision import create_executor, resolve_precision
from chatsite.engine.types import Delta, Event, GenerationOptions, ProvisionalText, Reasoning, Request, Turn

MODELS_FOLDER = Path(__file__).resolve().parent.parent / "instance" / "models"
EMBEDDED_MODEL = "smollm2-135m-instruct"
QUESTION = "I went for a long walk in the hills yesterday and saw two foxes. Have you got any advice for photographs?"
MEMORY_BUDGET = 1 << 40


@dataclass(frozen=True)
class Timing:
    """Tokens written, seconds in all, and seconds to each request's first token."""

    token_count: int
    seconds: float
    first_token_seconds: tuple[float, ...] = ()

    @property
    def tokens_per_second(self) -> float:
        """Tokens a second."""
        return self.token_count / self.seconds

    @property
    def decode_tokens_per_second(self) -> float:
        """Tokens a second of a single request from its first token on."""
        return (self.token_count - 1) / (self.seconds - self.first_token_seconds[0])


def run_engine(model: LoadedModel, request_count: int, options: GenerationOptions) -> Timing:
    """`request_count` requests that arrive together."""
    batch = model.create_scheduler(MEMORY_BUDGET)
    events: list[Event] = []
    first_token_seconds: dict[int, float] = {}
    token_count, start = 0, time.perf_counter()
    for number in range(request_count):
        turns = (Turn("user", f"{QUESTION} That was trip number {number}."),)
        events += batch.add_request(Request(number, turns, replace(options, seed=number)))
    while batch.has_work:
        for event in batch.run_step(()):
            if isinstance(event, Delta | Reasoning | ProvisionalText):
                first_token_seconds.setdefault(event.request_id, time.perf_counter() - start)
                token_count += event.token_count
    return Timing(token_count, time.perf_counter() - start, tuple(first_token_seconds.values()))


def run_generate(model: Any, prompts: Sequence[Sequence[int]], new_tokens: int, **settings: Any) -> Timing:
    """`generate`, one prompt after the other, `new_tokens` tokens each."""
    token_count, start = 0, time.perf_counter()
    for prompt in prompts:
        ids = torch.tensor([list(prompt)])
        model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=new_tokens, min_new_tokens=new_tokens, **settings
        )
        token_count += new_tokens
    return Timing(token_count, time.perf_counter() - start)


def fastest_of(measure: Callable[[], Timing], tries: int) -> Timing:
    """The fastest of some tries: what disturbs a measurement only ever makes it slower."""
    return max((measure() for _ in range(tries)), key=lambda timing: timing.tokens_per_second)


def without_end_token(model: LoadedModel) -> LoadedModel:
    """The same model, but no answer ends by itself, so that all are equally long."""
    return replace(model, eos_ids=frozenset())


def memory_bandwidth() -> float:
    """Bytes a second at which a large tensor is read."""
    tensor = torch.ones(1 << 27)
    start = time.perf_counter()
    for _ in range(3):
        tensor.sum()
    return 3 * tensor.numel() * tensor.element_size() / (time.perf_counter() - start)


def compare_with_generate(name: str, checkpoint: Checkpoint, loaded: LoadedModel, step_bytes: int, args: Any) -> Table:
    """Naive against ours for 1 and 8 requests, greedy and sampled."""
    new_tokens, tries = (24, 1) if args.quick else (40, 2)
    table = Table(
        f"{name}, {new_tokens} tokens an answer, {loaded.precision}",
        [
            "how",
            "requests",
            "generate, tokens/s",
            "ours, tokens/s",
            "ratio",
            "last first token, s",
            "of the memory's pace",
        ],
    )
    prompts = [loaded.prompt_format.build_prompt(Request(0, (Turn("user", QUESTION),)), {}).ids] * (
        1 if args.quick else 2
    )
    greedy = fastest_of(
        lambda: run_generate(checkpoint.model, prompts, new_tokens, do_sample=False, num_beams=1), tries
    )
    sampled = fastest_of(
        lambda: run_generate(
            checkpoint.model, prompts, new_tokens, do_sample=True, num_beams=1, temperature=0.7, top_p=0.9
        ),
        tries,
    )
    max_tokens_per_second = memory_bandwidth() / step_bytes
    for method, generate_timing, temperature in (("greedy", greedy, 0.0), ("sampled", sampled, 0.7)):
        for count in (1, 8):
            options = GenerationOptions(max_new_tokens=new_tokens, temperature=temperature, top_p=0.9)
            engine_timing = fastest_of(partial(run_engine, loaded, count, options), tries + 1)
            bandwidth_share = (
                f"{engine_timing.decode_tokens_per_second / max_tokens_per_second:.2f}" if count == 1 else "-"
            )
            table.add_row(method, count, *_timing_cells(generate_timing, engine_timing), bandwidth_share)
    if checkpoint.family == "blenderbot":
        add_beam_search_rows(table, checkpoint, loaded, prompts[:1], new_tokens, tries)
    return table


def _timing_cells(generate_timing: Timing, engine_timing: Timing) -> tuple[str, ...]:
    """Return the cells of a row: tokens a second of `generate` and of the engine, their ratio, the first token."""
    naive, ours = generate_timing.tokens_per_second, engine_timing.tokens_per_second
    first_token_seconds = max(engine_timing.first_token_seconds)
    return f"{naive:.1f}", f"{ours:.1f}", format_ratio(ours, naive), f"{first_token_seconds:.2f}"


def add_beam_search_rows(
    table: Table,
    checkpoint: Checkpoint,
    loaded: LoadedModel,
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    tries: int,
) -> None:
    """Naive against ours with the published decoding: ten beams and 3-gram blocks."""
    beams = {"num_beams": 10, "no_repeat_ngram_size": 3, "encoder_no_repeat_ngram_size": 3, "length_penalty": 0.65}
    generate_timing = fastest_of(
        lambda: run_generate(checkpoint.model, prompts, new_tokens, do_sample=False, **beams), tries
    )
    for count in (1, 8):
        engine_timing = fastest_of(
            partial(run_engine, loaded, count, GenerationOptions(max_new_tokens=new_tokens, beams=10)), tries + 1
        )
        table.add_row("10 beams", count, *_timing_cells(generate_timing, engine_timing), "-")


def measure_embedded_model(args: Any) -> list[Table]:
    """The model that every installation has."""
    weights = ensure_installed(resolve_entry(EMBEDDED_MODEL), MODELS_FOLDER, lambda progress: None)
    start = time.perf_counter()
    loaded = load_model(EMBEDDED_MODEL, weights, args.precision)
    load_seconds = time.perf_counter() - start
    checkpoint = load_checkpoint(weights.folder, torch.float32)
    parameter_count = sum(weight.numel() for weight in checkpoint.model.parameters())
    bytes_per_weight = {"int8": 1, "bf16": 2}.get(loaded.precision, 4)
    table = compare_with_generate(
        "SmolLM2-135M", checkpoint, without_end_token(loaded), parameter_count * bytes_per_weight, args
    )
    table.notes.append(
        f"Loaded in {load_seconds:.1f} s, imports not counted; {resident_memory_text()} resident with both models."
    )
    return [
        table,
        make_quality_table("SmolLM2-135M", engine_quality.measure_llama(checkpoint.model, checkpoint.tokenizer)),
    ]


def measure_blenderbot(args: Any, folder: Path) -> list[Table]:
    """BlenderBot 400M with random weights."""
    from transformers import BlenderbotConfig, BlenderbotForConditionalGeneration, BlenderbotTokenizer

    torch.manual_seed(0)
    config = BlenderbotConfig.from_pretrained(folder)
    tokenizer: Any = BlenderbotTokenizer.from_pretrained(folder)
    models: list[Any] = [BlenderbotForConditionalGeneration(config) for _ in range(2)]
    for model in models:
        model.eval()
    models[1].load_state_dict(models[0].state_dict())
    checkpoint = Checkpoint(models[0], tokenizer, "blenderbot", {})
    loaded = load_from_checkpoint(Checkpoint(models[1], tokenizer, "blenderbot", {}), args.precision)
    # A step reads the decoder but for the projections of the prompt, and the matrix of the vocabulary.
    decoder_weights = sum(weight.numel() for weight in models[0].model.decoder.layers.parameters())
    step_weights = decoder_weights - config.decoder_layers * 2 * config.d_model**2 + config.vocab_size * config.d_model
    bytes_per_weight = {"int8": 1, "bf16": 2}.get(loaded.precision, 4)
    table = compare_with_generate(
        "BlenderBot-400M", checkpoint, without_end_token(loaded), step_weights * bytes_per_weight, args
    )
    return [
        table,
        make_quality_table("BlenderBot-400M, random weights", engine_quality.measure_blenderbot(models[0], tokenizer)),
    ]


def load_from_checkpoint(checkpoint: Checkpoint, precision: str) -> LoadedModel:
    """A speaker for a model that has no folder."""
    from chatsite.engine.prompting.blenderbot import BlenderbotFormat

    prompt_format = BlenderbotFormat(checkpoint.tokenizer, "blenderbot", "random", 128, 2)
    executor, name = create_executor(checkpoint, resolve_precision(precision))
    return LoadedModel(checkpoint, prompt_format, executor, 128, frozenset({2}), name)


def make_quality_table(name: str, result: engine_quality.Quality) -> Table:
    """What eight bits cost."""
    table = Table(
        f"{name}: eight bits against 32", ["perplexity, 32 bits", "8 bits", "change", "same token", "KL, nats"]
    )
    change = f"{(result.perplexity_int8 / result.perplexity_fp32 - 1) * 100:+.1f} %"
    cells = f"{result.perplexity_fp32:.2f}", f"{result.perplexity_int8:.2f}", change, f"{result.agreement * 100:.1f} %"
    table.add_row(*cells, f"{result.divergence:.4f}")
    return table


def resident_memory_text() -> str:
    """The memory of this process."""
    return f"{psutil.Process().memory_info().rss / 1e9:.2f} GB"


def main() -> None:
    """Measure, print, and with `--write` keep the tables in docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer tokens and tries")
    parser.add_argument("--write", action="store_true", help="keep the tables in docs/benchmarks.md")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16", "int8"])
    parser.add_argument("--threads", type=int, default=0, help="processor threads; 0 means all")
    parser.add_argument("--without-native", action="store_true", help="torch's products in place of the compiled ones")
    args = parser.parse_args()
    silence_transformers()
    if args.without_native:
        native.LIBRARY_FILE = Path("absent")
    if args.threads:
        torch.set_num_threads(args.threads)
    native.set_num_threads(torch.get_num_threads())
    tables = measure_embedded_model(args)
    data = os.environ.get("CHATSITE_TEST_DATA")
    if data and (Path(data) / "blenderbot-400M-distill").exists():
        tables += measure_blenderbot(args, Path(data) / "blenderbot-400M-distill")
    body = "\n\n".join([describe_machine() + f" {torch.get_num_threads()} threads.", *map(str, tables)])
    print(body)
    if args.write:
        write_section("engine", body)


if __name__ == "__main__":
    main()
