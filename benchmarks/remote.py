"""The site in front of a server of models, against the same server asked directly.

    python -m benchmarks.remote [--python PYTHON] [--quick] [--write]

The server is llama.cpp with the built-in model's file, on one thread. It is asked for 1 and for 16 answers at once,
directly and by visitors of the site, in turn. What reading costs is measured on the script behind the same interface,
which takes no time to think. PYTHON is an interpreter that has the openai package; without it its row is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from benchmarks.support import seed_data
from benchmarks.support.answer_watcher import WatchedAnswer, ask_and_watch
from benchmarks.support.chat_readers import ReadPlan, ReadResult
from benchmarks.support.http_client import site_port
from benchmarks.support.tables import Table, describe_machine, format_milliseconds, format_ratio, write_section
from tests.support.engine_server import EngineServer
from tests.support.llama_server import MODEL, LlamaServer, running_llama_server
from tests.support.served_site import REPOSITORY_ROOT, ServedSite, running_site

STREAM_COUNTS = (1, 16)
QUESTION = "Write a long story about a lighthouse keeper, a storm and a lost dog. This is story number"
SETTINGS: dict[str, str] = {
    "LIMIT_ADDRESSES": "0",
    "MAX_QUEUED_PER_USER": "100",
    "MAX_QUEUED": "1000",
    "MAX_ANSWER_SECONDS": "3600",
    "LOG_LEVEL": "warning",
}
# The script writes fifty times a second at most; more tokens would come several at a time.
SCRIPT_TOKENS_PER_SECOND = 48.0
SCRIPT_QUESTION = "/long 2000"


@contextmanager
def site_in_front_of(url: str, model: str, answer_tokens: int, places: int) -> Iterator[ServedSite]:
    """Run the site with one endpoint, whose model is the default."""
    with tempfile.TemporaryDirectory() as name:
        Path(name, "models.toml").write_text(f'[server]\nendpoint = "{url}"\nmax_answers = {places}\n')
        settings = {**SETTINGS, "DEFAULT_MODEL": f"server/{model}", "MAX_ANSWER_TOKENS": str(answer_tokens)}
        with running_site(Path(name), **settings) as site:  # type: ignore[arg-type]
            yield site


def read_directly(
    client: str, url: str, model: str, questions: Sequence[str], max_tokens: int, python: str
) -> ReadResult:
    """Read answers in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        plan = Path(name, "plan.json")
        plan.write_text(json.dumps(asdict(ReadPlan(client, url, model, list(questions), max_tokens))))
        command = [python, str(REPOSITORY_ROOT / "benchmarks" / "support" / "chat_readers.py"), str(plan)]
        environ = {**os.environ, "PYTHONPATH": str(REPOSITORY_ROOT)} if client == "engine" else None
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ, cwd=name)
    return ReadResult(**json.loads(done.stdout))


def read_through_site(site: ServedSite, questions: Sequence[str]) -> ReadResult:
    """Have visitors ask all at once, and read their streams; the tokens are those that the site counted."""
    runners = site.list_runners()
    before = [_processor_seconds(runner) for runner in runners]
    # Nobody asks before all have the page: its making is none of the wait for an answer.
    gate = threading.Barrier(len(questions))
    with ThreadPoolExecutor(len(questions)) as pool:
        watched = list(
            pool.map(lambda question: ask_and_watch(site_port(site), question, await_others=gate.wait), questions)
        )
    used = sum(_processor_seconds(runner) for runner in runners) - sum(before)
    return ReadResult(
        _count_tokens(site, watched),
        max(answer.seconds for answer in watched),
        [answer.first_text_seconds for answer in watched],
        used,
    )


def _processor_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _count_tokens(site: ServedSite, watched: Sequence[WatchedAnswer]) -> int:
    """Return the tokens of some answers, which must all be whole. Raises RuntimeError otherwise."""
    with seed_data.open_app(site.instance):
        counts = [seed_data.find_token_count(answer.public_id) for answer in watched]
    if not all(counts):
        raise RuntimeError("An answer is not whole.")
    return sum(counts)


def compare_streams(quick: bool) -> Table:
    """Compare the site with the server itself, for 1 and for 16 answers at once."""
    answer_tokens, rounds = (24, 1) if quick else (120, 4)
    table = Table(
        f"Through the site against the server itself: llama.cpp, {answer_tokens} tokens an answer",
        [
            "answers at once",
            "directly, tokens/s",
            "through the site, tokens/s",
            "ratio",
            "first text directly, ms",
            "through the site, ms",
            "more, ms",
        ],
    )
    places = max(STREAM_COUNTS)
    with (
        running_llama_server(places) as server,
        site_in_front_of(server.url, MODEL, answer_tokens, places) as site,
    ):
        for count in STREAM_COUNTS:
            pairs = [_measure_round(server, site, count, number, answer_tokens) for number in range(rounds + 1)]
            # The first round warms both up.
            table.add_row(count, *_compare(pairs[1:]))
    table.notes.append(
        f"Medians of {rounds} rounds, in turn and with new questions. Site, runner, server and readers share the"
        " processors."
    )
    return table


def _measure_round(
    server: LlamaServer, site: ServedSite, count: int, number: int, answer_tokens: int
) -> tuple[ReadResult, ReadResult]:
    """Ask directly and through the site; in each second round in the other order."""
    # The server keeps what it has read: nobody asks what was asked before, and all questions begin alike.
    first = 1000 * count + 100 * number
    questions = [f"{QUESTION} {first + place}." for place in range(2 * count)]

    def ask_directly() -> ReadResult:
        return read_directly("plain", server.url, MODEL, questions[:count], answer_tokens, sys.executable)

    if number % 2:
        directly = ask_directly()
        return directly, read_through_site(site, questions[count:])
    through_site = read_through_site(site, questions[count:])
    return ask_directly(), through_site


def _compare(pairs: Sequence[tuple[ReadResult, ReadResult]]) -> list[str]:
    """Return the cells of a row: speeds, their ratio, and when the first text came."""
    directly, through = (statistics.median(pair[side].tokens_per_second for pair in pairs) for side in (0, 1))
    first_directly, first_through = (
        statistics.median(first for pair in pairs for first in pair[side].first_text_seconds) for side in (0, 1)
    )
    return [
        f"{directly:.1f}",
        f"{through:.1f}",
        format_ratio(through, directly),
        format_milliseconds(first_directly),
        format_milliseconds(first_through),
        format_milliseconds(first_through - first_directly),
    ]


def compare_cost(quick: bool, python: str) -> Table:
    """Compare the processor time of those who read 16 answers: the remote engine, the openai package, nobody at all."""
    count, answer_tokens = max(STREAM_COUNTS), 100 if quick else 500
    questions = [SCRIPT_QUESTION] * count
    table = Table(
        f"What reading costs: {count} answers at once of {answer_tokens} tokens each, a piece of text for each token",
        ["who reads", "tokens/s in all", "processor ms for 1,000 tokens", "to the engine"],
    )
    server = EngineServer(SCRIPT_TOKENS_PER_SECOND)
    server.start()
    try:
        ours = read_directly("engine", server.url, "scripted", questions, answer_tokens, sys.executable)
        rows = {"the site's remote engine": ours}
        rows["the bytes alone"] = read_directly(
            "plain", server.url, "scripted", questions, answer_tokens, sys.executable
        )
        if _has_openai(python):
            rows["the openai package"] = read_directly(
                "openai", server.url, "scripted", questions, answer_tokens, python
            )
        else:
            table.notes.append(
                "The openai package is not installed: `--python PYTHON` names an interpreter that has it."
            )
        with site_in_front_of(server.url, "scripted", answer_tokens, count) as site:
            rows["the whole runner, with its database"] = read_through_site(site, questions)
    finally:
        server.kill()
    for name, result in rows.items():
        cost = _cost(result)
        table.add_row(name, f"{result.tokens_per_second:.0f}", f"{cost:.1f}", format_ratio(cost, _cost(ours)))
    return table


def _cost(result: ReadResult) -> float:
    """Return milliseconds of a processor for 1,000 tokens."""
    return result.processor_seconds * 1e6 / result.token_count


def _has_openai(python: str) -> bool:
    return subprocess.run([python, "-c", "import openai"], capture_output=True, check=False).returncode == 0


def main() -> int:
    """Measure, print, and with `--write` keep the tables in docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has the openai package")
    parser.add_argument("--quick", action="store_true", help="measure less, to see that it works")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    options: Any = parser.parse_args()
    tables = []
    for measure in (partial(compare_cost, options.quick, options.python), partial(compare_streams, options.quick)):
        table = measure()
        print(f"{table}\n", flush=True)
        tables.append(str(table))
    if options.write:
        write_section("remote", "\n\n".join([f"Measured on {describe_machine()}", *reversed(tables)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
