"""`python -m benchmarks.web`: what the web part of the site takes, on real gunicorn with the scripted engine.

`--quick` measures for a shorter time, to see that it works; `--write` puts the tables into docs/benchmarks.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchmarks import browser, pages, posts, streams
from benchmarks.figures import Table, run


def _measure(quick: bool) -> Iterator[Table]:
    yield from pages.measure(rounds=30, many=1000, others=20) if quick else pages.measure(rounds=200)
    yield from posts.measure(seconds=3 if quick else 10)
    yield from browser.measure()
    yield from streams.measure([1, 50], seconds=3) if quick else streams.measure([1, 100, 500], seconds=20)


if __name__ == "__main__":
    sys.exit(run(__doc__, "web", _measure))
