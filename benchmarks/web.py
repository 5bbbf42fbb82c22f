"""`python -m benchmarks.web`: what the web part of the site takes, on real gunicorn with the scripted engine.

`--quick` measures for a shorter time, to see that it works; `--write` puts the tables into docs/benchmarks.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchmarks import page_latency, page_weight, post_latency, stream_latency
from benchmarks.support.tables import Table, run_benchmark


def _measure_web(quick: bool) -> Iterator[Table]:
    yield from (
        page_latency.measure_pages(rounds=30, many_conversations=1000, other_users=20)
        if quick
        else page_latency.measure_pages(rounds=200)
    )
    yield from post_latency.measure_posts(seconds=3 if quick else 10)
    yield from page_weight.measure_page_weight()
    yield from (
        stream_latency.measure_streams([1, 50], seconds=3)
        if quick
        else stream_latency.measure_streams([1, 100, 500], seconds=20)
    )


if __name__ == "__main__":
    sys.exit(run_benchmark(__doc__, "web", _measure_web))
