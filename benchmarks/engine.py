"""The engine against `generate`, as most people run it: 32-bit floats, one request after the other.

    python -m benchmarks.engine [--quick] [--write]

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
from benchmarks.figures import Table, machine, ratio, write_section
from chatsite.engine import Delta, Draft, Event, Options, Request, Turn
from chatsite.engine.catalogue import resolve
from chatsite.engine.decoding.checkpoint import Checkpoint, load, quiet
from chatsite.engine.decoding.native import use_threads
from chatsite.engine.decoding.precision import open_stepper, settle_precision
from chatsite.engine.decoding.speaker import Speaker, open_speaker
from chatsite.engine.weights import ensure

MODELS = Path(__file__).resolve().parent.parent / "instance" / "models"
EMBEDDED = "smollm2-135m-instruct"
QUESTION = "I went for a long walk in the hills yesterday and saw two foxes. Have you got any advice for photographs?"
PLENTY = 1 << 40


@dataclass(frozen=True)
class Timing:
    """Tokens written, seconds in all, and seconds to each request's first token."""

    tokens: int
    seconds: float
    firsts: tuple[float, ...] = ()

    @property
    def pace(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds

    @property
    def writing(self) -> float:
        """Tokens a second of a single request from its first token on."""
        return (self.tokens - 1) / (self.seconds - self.firsts[0])


def ours(speaker: Speaker, count: int, options: Options) -> Timing:
    """`count` requests that arrive together."""
    batch = speaker.batch(PLENTY)
    events: list[Event] = []
    firsts: dict[int, float] = {}
    tokens, start = 0, time.perf_counter()
    for number in range(count):
        turns = (Turn("user", f"{QUESTION} That was trip number {number}."),)
        events += batch.take(Request(number, turns, replace(options, seed=number)))
    while batch.busy:
        for event in batch.advance(()):
            if isinstance(event, Delta | Draft):
                firsts.setdefault(event.request_id, time.perf_counter() - start)
                tokens += event.tokens
    return Timing(tokens, time.perf_counter() - start, tuple(firsts.values()))


def naive(model: Any, prompts: Sequence[Sequence[int]], new: int, **settings: Any) -> Timing:
    """`generate`, one prompt after the other, `new` tokens each."""
    tokens, start = 0, time.perf_counter()
    for prompt in prompts:
        ids = torch.tensor([list(prompt)])
        model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, min_new_tokens=new, **settings)
        tokens += new
    return Timing(tokens, time.perf_counter() - start)


def best(measure: Callable[[], Timing], times: int) -> Timing:
    """The fastest of some tries: what disturbs a measurement only ever makes it slower."""
    return max((measure() for _ in range(times)), key=lambda timing: timing.pace)


def endless(speaker: Speaker) -> Speaker:
    """The same model, but no answer ends by itself, so that all are equally long."""
    return replace(speaker, ends=frozenset())


def bandwidth() -> float:
    """Bytes a second at which a large tensor is read."""
    big = torch.ones(1 << 27)
    begin = time.perf_counter()
    for _ in range(3):
        big.sum()
    return 3 * big.numel() * big.element_size() / (time.perf_counter() - begin)


def compare(name: str, checkpoint: Checkpoint, speaker: Speaker, step_bytes: int, args: Any) -> Table:
    """Naive against ours for 1 and 8 requests, greedy and sampled."""
    new, tries = (24, 1) if args.quick else (40, 2)
    table = Table(
        f"{name}, {new} tokens an answer, {speaker.precision}",
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
    prompts = [speaker.format.prompt(Request(0, (Turn("user", QUESTION),)), {}).ids] * (1 if args.quick else 2)
    greedy = best(lambda: naive(checkpoint.model, prompts, new, do_sample=False, num_beams=1), tries)
    drawn = best(
        lambda: naive(checkpoint.model, prompts, new, do_sample=True, num_beams=1, temperature=0.7, top_p=0.9), tries
    )
    limit = bandwidth() / step_bytes
    for how, theirs, temperature in (("greedy", greedy, 0.0), ("sampled", drawn, 0.7)):
        for count in (1, 8):
            options = Options(max_new_tokens=new, temperature=temperature, top_p=0.9)
            mine = best(partial(ours, speaker, count, options), tries + 1)
            share = f"{mine.writing / limit:.2f}" if count == 1 else "-"
            table.add(
                how, count, f"{theirs.pace:.1f}", f"{mine.pace:.1f}", ratio(mine.pace, theirs.pace),
                f"{max(mine.firsts):.2f}", share,
            )  # fmt: skip
    if checkpoint.family == "blenderbot":
        add_beams(table, checkpoint, speaker, prompts[:1], new, tries)
    return table


def add_beams(
    table: Table, checkpoint: Checkpoint, speaker: Speaker, prompts: Sequence[Sequence[int]], new: int, tries: int
) -> None:
    """Naive against ours with the published decoding: ten beams and 3-gram blocks."""
    beams = {"num_beams": 10, "no_repeat_ngram_size": 3, "encoder_no_repeat_ngram_size": 3, "length_penalty": 0.65}
    theirs = best(lambda: naive(checkpoint.model, prompts, new, do_sample=False, **beams), tries)
    for count in (1, 8):
        mine = best(partial(ours, speaker, count, Options(max_new_tokens=new, beams=10)), tries + 1)
        table.add(
            "10 beams", count, f"{theirs.pace:.1f}", f"{mine.pace:.1f}", ratio(mine.pace, theirs.pace),
            f"{max(mine.firsts):.2f}", "-",
        )  # fmt: skip


def embedded(args: Any) -> list[Table]:
    """The model that every installation has."""
    weights = ensure(resolve(EMBEDDED), MODELS, lambda progress: None)
    start = time.perf_counter()
    speaker = open_speaker(EMBEDDED, weights, args.precision)
    loading = time.perf_counter() - start
    checkpoint = load(weights.folder, torch.float32)
    parameters = sum(weight.numel() for weight in checkpoint.model.parameters())
    width = {"int8": 1, "bf16": 2}.get(speaker.precision, 4)
    table = compare("SmolLM2-135M", checkpoint, endless(speaker), parameters * width, args)
    table.notes.append(f"Loaded in {loading:.1f} s, imports not counted; {resident()} resident with both models.")
    return [table, quality("SmolLM2-135M", engine_quality.llama(checkpoint.model, checkpoint.tokenizer))]


def blenderbot(args: Any, folder: Path) -> list[Table]:
    """BlenderBot 400M with random weights."""
    from transformers import BlenderbotConfig, BlenderbotForConditionalGeneration, BlenderbotTokenizer

    torch.manual_seed(0)
    config = BlenderbotConfig.from_pretrained(folder)
    tokenizer: Any = BlenderbotTokenizer.from_pretrained(folder)
    models: list[Any] = [BlenderbotForConditionalGeneration(config).eval() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    checkpoint = Checkpoint(models[0], tokenizer, "blenderbot", {})
    speaker = assembled(Checkpoint(models[1], tokenizer, "blenderbot", {}), args.precision)
    # A step reads the decoder but for the projections of the prompt, and the matrix of the vocabulary.
    decoder = sum(weight.numel() for weight in models[0].model.decoder.layers.parameters())
    step = decoder - config.decoder_layers * 2 * config.d_model**2 + config.vocab_size * config.d_model
    width = {"int8": 1, "bf16": 2}.get(speaker.precision, 4)
    table = compare("BlenderBot-400M", checkpoint, endless(speaker), step * width, args)
    return [table, quality("BlenderBot-400M, random weights", engine_quality.blenderbot(models[0], tokenizer))]


def assembled(checkpoint: Checkpoint, precision: str) -> Speaker:
    """A speaker for a model that has no folder."""
    from chatsite.engine.prompting.blenderbot import BlenderbotFormat

    found = BlenderbotFormat(checkpoint.tokenizer, "blenderbot", "random", 128, 2)
    stepper, name = open_stepper(checkpoint, settle_precision(precision))
    return Speaker(checkpoint, found, stepper, 128, frozenset({2}), name)


def quality(name: str, found: engine_quality.Quality) -> Table:
    """What eight bits cost."""
    table = Table(
        f"{name}: eight bits against 32", ["perplexity, 32 bits", "8 bits", "change", "same token", "KL, nats"]
    )
    change = f"{(found.rounded / found.exact - 1) * 100:+.1f} %"
    cells = f"{found.exact:.2f}", f"{found.rounded:.2f}", change, f"{found.agreement * 100:.1f} %"
    table.add(*cells, f"{found.divergence:.4f}")
    return table


def resident() -> str:
    """The memory of this process."""
    return f"{psutil.Process().memory_info().rss / 1e9:.2f} GB"


def main() -> None:
    """Measure, print, and with `--write` keep the tables in docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer tokens and tries")
    parser.add_argument("--write", action="store_true", help="keep the tables in docs/benchmarks.md")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16", "int8"])
    parser.add_argument("--threads", type=int, default=0, help="processor threads; 0 means all")
    args = parser.parse_args()
    quiet()
    if args.threads:
        torch.set_num_threads(args.threads)
    use_threads(torch.get_num_threads())
    tables = embedded(args)
    data = os.environ.get("CHATSITE_TEST_DATA")
    if data and (Path(data) / "blenderbot-400M-distill").exists():
        tables += blenderbot(args, Path(data) / "blenderbot-400M-distill")
    body = "\n\n".join([machine() + f" {torch.get_num_threads()} threads.", *map(str, tables)])
    print(body)
    if args.write:
        write_section("engine", body)


if __name__ == "__main__":
    main()
