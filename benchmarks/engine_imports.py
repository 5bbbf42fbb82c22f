"""What the stand-ins of `loading/lazy_imports.py` save of a start of the engine: time and memory of its imports.

    python -m benchmarks.engine_imports [--quick] [--write]

Each start is a process of its own, with and without them in turn, so that a busy machine slows both alike. Processor
seconds say more than those of the clock on a machine that does other things.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from typing import NamedTuple

from benchmarks.support.tables import Table, p50, run_benchmark

TRIES = 7
QUICK_TRIES = 2

CHILD_SCRIPT = """
import json, resource, sys, time
begin = time.perf_counter()
if sys.argv[1] == "with":
    from chatsite.engine.inference.loading.lazy_imports import import_transformers
    import_transformers()
import chatsite.engine.inference.loaded_model
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM
import transformers.models.blenderbot.modeling_blenderbot, transformers.models.llama.modeling_llama
usage = resource.getrusage(resource.RUSAGE_SELF)
wall_seconds = time.perf_counter() - begin
print(json.dumps([usage.ru_utime + usage.ru_stime, wall_seconds, usage.ru_maxrss * 1024]))
"""


class ImportCost(NamedTuple):
    """Processor seconds, seconds of the clock, and the largest memory in bytes of a process that only imports."""

    processor_seconds: float
    wall_seconds: float
    peak_bytes: float


def measure_imports(mode: str) -> ImportCost:
    """Return the cost of the imports of one start, `with` or `without` the stand-ins."""
    command = [sys.executable, "-W", "ignore", "-c", CHILD_SCRIPT, mode]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return ImportCost(*json.loads(output.splitlines()[-1]))


def measure(is_quick: bool) -> Iterable[Table]:
    """Yield the table of both ways, the median of some starts each, after one that fills the system's cache."""
    costs: dict[str, list[ImportCost]] = {"with": [], "without": []}
    for mode in costs:
        measure_imports(mode)
    for _ in range(QUICK_TRIES if is_quick else TRIES):
        for mode, measured in costs.items():
            measured.append(measure_imports(mode))
    table = Table("Imports of the engine", ["stand-ins", "processor, s", "clock, s", "peak memory, MB"])
    for mode, measured in costs.items():
        processor, wall, peak = (p50(values) for values in zip(*measured, strict=True))
        table.add_row(mode, f"{processor:.2f}", f"{wall:.2f}", f"{peak / 1e6:.0f}")
    yield table


if __name__ == "__main__":
    sys.exit(run_benchmark(__doc__, "imports", measure))
