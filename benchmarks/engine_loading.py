"""How long a model takes from the start of its process until it can answer, and the memory it then has.

    python -m benchmarks.engine_loading [--write]

Each model is loaded by the engine in a fresh process from converted weights that the system has in its cache.
BlenderBot has its real configuration and random weights, if CHATSITE_TEST_DATA names a folder that has it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.support.tables import Table, describe_machine, write_section
from chatsite.engine.catalog.catalog import resolve_entry
from chatsite.engine.downloads.weights import ensure_installed

MODELS_FOLDER = Path(__file__).resolve().parent.parent / "instance" / "models"
EMBEDDED_MODEL = "smollm2-135m-instruct"
TRIES = 3

CHILD_SCRIPT = """
import json, sys, time
from pathlib import Path
import psutil
from chatsite.engine.types import Finish, GenerationOptions, Request, Turn
from chatsite.engine.local import LocalEngine

process = psutil.Process()
engine = LocalEngine(sys.argv[1], Path(sys.argv[2]))
engine.load(lambda progress: None)
ready, loaded = time.time() - process.create_time(), process.memory_info().rss
for number in range(8):
    engine.submit(Request(number, (Turn("user", "Tell me a story, please."),), GenerationOptions(max_new_tokens=40)))
left = 8
while left:
    left -= sum(isinstance(event, Finish) for event in engine.poll_events(1.0))
print(json.dumps([ready, loaded, process.memory_info().rss, process.memory_full_info().uss]))
"""


def measure_load(model: str) -> tuple[float, ...]:
    """Seconds until ready; bytes resident then, after eight answers, and of these what no other process shares."""
    command = [sys.executable, "-W", "ignore", "-c", CHILD_SCRIPT, model, str(MODELS_FOLDER)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return tuple(json.loads(output.splitlines()[-1]))


def add_row(table: Table, title: str, model: str) -> None:
    """The quickest of some tries, after one that fills the system's cache."""
    measure_load(model)
    seconds, loaded_bytes, busy_bytes, unshared_bytes = min(measure_load(model) for _ in range(TRIES))
    table.add_row(
        title, f"{seconds:.1f}", *(f"{size / 1e9:.2f}" for size in (loaded_bytes, busy_bytes, unshared_bytes))
    )


def make_random_blenderbot(source: Path, folder: Path) -> Path:
    """BlenderBot 400M with random weights, as a folder that the engine loads."""
    import torch
    from transformers import BlenderbotConfig, BlenderbotForConditionalGeneration, BlenderbotTokenizer

    torch.manual_seed(0)
    config = BlenderbotConfig.from_pretrained(source)
    BlenderbotForConditionalGeneration(config).save_pretrained(folder)
    BlenderbotTokenizer.from_pretrained(source).save_pretrained(folder)
    shutil.copy(source / "generation_config.json", folder)
    return folder


def main() -> None:
    """Measure, print, and with `--write` keep the table in docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="keep the table in docs/benchmarks.md")
    args = parser.parse_args()
    columns = ["model", "ready after, s", "resident then, GB", "after eight answers, GB", "of its own, GB"]
    table = Table("From the start of the process to the first answer", columns)
    ensure_installed(resolve_entry(EMBEDDED_MODEL), MODELS_FOLDER, lambda progress: None)
    add_row(table, "SmolLM2-135M", EMBEDDED_MODEL)
    source = Path(os.environ.get("CHATSITE_TEST_DATA", "")) / "blenderbot-400M-distill"
    if source.exists():
        with tempfile.TemporaryDirectory() as folder:
            add_row(table, "BlenderBot-400M, random weights", str(make_random_blenderbot(source, Path(folder))))
    body = f"{describe_machine()}\n\n{table}"
    print(body)
    if args.write:
        write_section("loading", body)


if __name__ == "__main__":
    main()
