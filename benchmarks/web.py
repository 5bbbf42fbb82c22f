"""`python -m benchmarks.web`: what the web part of the site takes, on real gunicorn with the scripted engine.

`--quick` measures for a shorter time, to see that it works; `--write` puts the tables into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from benchmarks import browser, pages, posts, streams
from benchmarks.figures import Table, machine, write_section


def main() -> int:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="measure for a shorter time")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    options = parser.parse_args()
    tables = []
    for table in _measure(options.quick):
        print(f"{table}\n", flush=True)
        tables.append(str(table))
    if options.write:
        write_section("web", "\n\n".join([f"Measured on {machine()}", *tables]))
    return 0


def _measure(quick: bool) -> Iterator[Table]:
    yield from pages.measure(rounds=30, many=1000, others=20) if quick else pages.measure(rounds=200)
    yield from posts.measure(seconds=3 if quick else 10)
    yield from browser.measure()
    yield from streams.measure([1, 50], seconds=3) if quick else streams.measure([1, 100, 500], seconds=20)


if __name__ == "__main__":
    sys.exit(main())
