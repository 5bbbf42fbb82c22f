"""Figures and how they are shown: quantiles, tables, the machine, and a section of docs/benchmarks.md."""

from __future__ import annotations

import argparse
import os
import platform
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

BENCHMARKS_PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"


@dataclass
class Table:
    """A heading and rows of text; `notes` are sentences under it."""

    title: str
    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add_row(self, *cells: object) -> None:
        """Add a row."""
        self.rows.append([str(cell) for cell in cells])

    def __str__(self) -> str:
        lines = [f"### {self.title}", "", _format_row(self.columns), _format_row(["---"] * len(self.columns))]
        lines += [_format_row(row) for row in self.rows]
        lines += ["", *self.notes] if self.notes else []
        return "\n".join(lines)


def _format_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def quantile(values: Sequence[float], fraction: float) -> float:
    """The value that `fraction` of all values do not exceed; not a number when there are none."""
    ordered = sorted(values)
    return ordered[min(int(fraction * len(ordered)), len(ordered) - 1)] if ordered else float("nan")


def p50(values: Sequence[float]) -> float:
    """The median."""
    return quantile(values, 0.5)


def p99(values: Sequence[float]) -> float:
    """What all but one in a hundred do not exceed."""
    return quantile(values, 0.99)


def format_milliseconds(seconds: float) -> str:
    """Seconds as milliseconds."""
    return f"{seconds * 1000:.1f}"


def format_ratio(numerator: float, denominator: float) -> str:
    """How many times `denominator` fits into `numerator`."""
    return f"{numerator / denominator:.2f}" if denominator else "-"


def describe_machine() -> str:
    """The machine in words that do not name it."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{os.cpu_count()} processor cores ({platform.machine()}), {memory:.0f} GiB of memory, {platform.system()}, "
        f"Python {platform.python_version()}."
    )


def write_section(name: str, body: str, document: Path = BENCHMARKS_PAGE) -> None:
    """Put `body` between the marks of the section `name`. Raises ValueError when the document has no such section."""
    begin_mark, end_mark = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = document.read_text()
    pattern = re.compile(f"({re.escape(begin_mark)}).*?({re.escape(end_mark)})", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"{document} has no section {name}.")
    document.write_text(pattern.sub(lambda match: f"{match[1]}\n{body}\n{match[2]}", text))


def run_benchmark(description: str | None, section: str, measure: Callable[[bool], Iterable[Table]]) -> int:
    """The command of a benchmark: measure, print each table as it comes, and keep them in `section` if asked to.

    `measure` is told whether to be quick.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="measure less, to see that it works")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    options = parser.parse_args()
    tables = []
    for table in measure(options.quick):
        print(f"{table}\n", flush=True)
        tables.append(str(table))
    if options.write:
        write_section(section, "\n\n".join([f"Measured on {describe_machine()}", *tables]))
    return 0
