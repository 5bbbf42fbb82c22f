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

from benchmarks.figures import Table, machine, write_section
from chatsite.engine.catalogue import resolve
from chatsite.engine.weights import ensure

MODELS = Path(__file__).resolve().parent.parent / "instance" / "models"
EMBEDDED = "smollm2-135m-instruct"
TRIES = 3

CHILD = """
import json, sys, time
from pathlib import Path
import psutil
from chatsite.engine import Finish, Options, Request, Turn
from chatsite.engine.local import LocalEngine

process = psutil.Process()
engine = LocalEngine(sys.argv[1], Path(sys.argv[2]))
engine.load(lambda progress: None)
ready, loaded = time.time() - process.create_time(), process.memory_info().rss
for number in range(8):
    engine.submit(Request(number, (Turn("user", "Tell me a story, please."),), Options(max_new_tokens=40)))
left = 8
while left:
    left -= sum(isinstance(event, Finish) for event in engine.events(1.0))
print(json.dumps([ready, loaded, process.memory_info().rss, process.memory_full_info().uss]))
"""


def load(model: str) -> tuple[float, ...]:
    """Seconds until ready; bytes resident then, after eight answers, and of these what no other process shares."""
    command = [sys.executable, "-W", "ignore", "-c", CHILD, model, str(MODELS)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return tuple(json.loads(said.splitlines()[-1]))


def row(table: Table, title: str, model: str) -> None:
    """The quickest of some tries, after one that fills the system's cache."""
    load(model)
    seconds, loaded, busy, own = min(load(model) for _ in range(TRIES))
    table.add(title, f"{seconds:.1f}", *(f"{size / 1e9:.2f}" for size in (loaded, busy, own)))


def random_blenderbot(described: Path, folder: Path) -> Path:
    """BlenderBot 400M with random weights, as a folder that the engine loads."""
    import torch
    from transformers import BlenderbotConfig, BlenderbotForConditionalGeneration, BlenderbotTokenizer

    torch.manual_seed(0)
    config = BlenderbotConfig.from_pretrained(described)
    BlenderbotForConditionalGeneration(config).save_pretrained(folder)
    BlenderbotTokenizer.from_pretrained(described).save_pretrained(folder)
    shutil.copy(described / "generation_config.json", folder)
    return folder


def main() -> None:
    """Measure, print, and with `--write` keep the table in docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="keep the table in docs/benchmarks.md")
    args = parser.parse_args()
    columns = ["model", "ready after, s", "resident then, GB", "after eight answers, GB", "of its own, GB"]
    table = Table("From the start of the process to the first answer", columns)
    ensure(resolve(EMBEDDED), MODELS, lambda progress: None)
    row(table, "SmolLM2-135M", EMBEDDED)
    described = Path(os.environ.get("CHATSITE_TEST_DATA", "")) / "blenderbot-400M-distill"
    if described.exists():
        with tempfile.TemporaryDirectory() as folder:
            row(table, "BlenderBot-400M, random weights", str(random_blenderbot(described, Path(folder))))
    body = f"{machine()}\n\n{table}"
    print(body)
    if args.write:
        write_section("loading", body)


if __name__ == "__main__":
    main()
