"""How late a token reaches a browser while 1, 100 and 500 streams are open, and what that costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.support import seed_data
from benchmarks.support.http_client import Client, site_port
from benchmarks.support.tables import Table, format_milliseconds, format_ratio, p50, p99
from tests.support.served_site import REPOSITORY_ROOT, ServedSite, running_site, wait_until

SETTINGS: Any = {
    "RUNNER": "external",
    "WORKERS": "2",
    "THREADS": "800",
    "MAX_STREAMS_PER_USER": "1000",
    "MAX_QUEUED_PER_USER": "1000",
    "MAX_QUEUED": "100000",
    "LIMIT_ADDRESSES": "0",
    "MAX_ANSWER_SECONDS": "3600",
    "LOG_LEVEL": "warning",
}
STAMPS_PER_SECOND = 5
SETUP_SECONDS = 20
MAX_GENERATIONS = 100
PROBE_INTERVAL_SECONDS = 0.05
MIB = 2**20


@dataclass
class LoadResult:
    """A number of open streams, and what was measured while they were open."""

    stream_count: int
    seconds: float
    reader_results: dict[str, Any]
    probe_seconds: list[float]
    worker_cpu_shares: list[float]
    runner_cpu_share: float
    rss_bytes: int
    pss_bytes: int


def measure_streams(levels: list[int], seconds: float) -> list[Table]:
    """Measure for so many seconds at each number of streams."""
    with tempfile.TemporaryDirectory() as name, _start_site(Path(name)) as (site, runner):
        idle_memory = max(_memory_bytes(worker) for worker in site.list_workers())
        loads = [_measure_load(site, runner, level, seconds) for level in levels]
    return [_lag_table(loads), _cost_table(loads), _memory_table(idle_memory, loads)]


@contextmanager
def _start_site(folder: Path) -> Iterator[tuple[ServedSite, psutil.Process]]:
    """A site whose runner makes time stamps, in a process of its own."""
    with running_site(folder, wait_until_ready=False, **SETTINGS) as site:
        wait_until(lambda: _is_reachable(site), what="The start of the site")
        runner = _start_runner(site)
        try:
            wait_until(site.is_ready, what="The start of the runner")
            # One page each warms both workers, as any visitor before the streams would have.
            for _ in range(8):
                _probe_health(site)
            yield site, psutil.Process(runner.pid)
        finally:
            runner.terminate()
            runner.wait(10)


def _is_reachable(site: ServedSite) -> bool:
    try:
        return _probe_health(site) > 0
    except OSError:
        return False


def _start_runner(site: ServedSite) -> subprocess.Popen[bytes]:
    environ = {f"CHATSITE_{name}": value for name, value in SETTINGS.items()}
    environ |= {"CHATSITE_INSTANCE": str(site.instance), "CHATSITE_DEFAULT_MODEL": "scripted"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CHATSITE_")}
    command = [sys.executable, "-m", "benchmarks.support.timestamp_runner"]
    return subprocess.Popen(command, cwd=REPOSITORY_ROOT, env=inherited | environ, stdout=subprocess.DEVNULL)


def _measure_load(site: ServedSite, runner: psutil.Process, stream_count: int, seconds: float) -> LoadResult:
    """Have answers written, open the streams, measure, and let all of it end."""
    plan = site.instance / f"plan-{stream_count}.json"
    plan.write_text(
        json.dumps(
            {"port": site_port(site), "streams": _create_answers(site, stream_count, seconds), "seconds": seconds}
        )
    )
    command = [sys.executable, "-m", "benchmarks.support.stream_readers", str(plan)]
    readers = subprocess.Popen(command, cwd=REPOSITORY_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert readers.stderr is not None
    if "measuring" not in readers.stderr.readline():
        raise RuntimeError("The readers did not come so far as to measure.")
    load = _measure_processes(site, runner, stream_count, seconds)
    load.reader_results = json.loads(readers.communicate(timeout=120)[0])
    with seed_data.open_app(site.instance):
        seed_data.stop_all_answers()
        wait_until(seed_data.has_no_running_answers, what="The end of the answers")
    return load


def _create_answers(site: ServedSite, stream_count: int, seconds: float) -> list[list[str]]:
    """Ask for as many answers as are needed; returns path and token of each stream."""
    text = f"/stamps {STAMPS_PER_SECOND} {seconds + SETUP_SECONDS}"
    with seed_data.open_app(site.instance):
        tokens = seed_data.create_visitors(min(stream_count, MAX_GENERATIONS))
        streams = [[f"/messages/{seed_data.create_question(token, text)}/stream", token] for token in tokens]
    return [streams[number % len(streams)] for number in range(stream_count)]


def _measure_processes(site: ServedSite, runner: psutil.Process, stream_count: int, seconds: float) -> LoadResult:
    """Probe the site and watch its processes while the readers measure."""
    workers = site.list_workers()
    before = [_cpu_seconds(process) for process in [*workers, runner]]
    started = time.monotonic()
    probe_seconds = _probe_for(site, seconds - 1)
    memory = max(_memory_bytes(worker) for worker in workers)
    elapsed_seconds = time.monotonic() - started
    after = [_cpu_seconds(process) for process in [*workers, runner]]
    *cpu, runner_cpu = [(later - earlier) / elapsed_seconds for earlier, later in zip(before, after, strict=True)]
    return LoadResult(stream_count, seconds, {}, probe_seconds, cpu, runner_cpu, *memory)


def _probe_for(site: ServedSite, seconds: float) -> list[float]:
    """Seconds that each of many probes took."""
    probe_seconds: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        probe_seconds.append(_probe_health(site))
        time.sleep(PROBE_INTERVAL_SECONDS)
    return probe_seconds


def _probe_health(site: ServedSite) -> float:
    """Seconds that /healthz took on a connection of its own."""
    started = time.perf_counter()
    client = Client(site_port(site))
    client.get("/healthz")
    client.close()
    return time.perf_counter() - started


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _memory_bytes(process: psutil.Process) -> tuple[int, int]:
    """RSS and PSS in bytes."""
    memory_info = process.memory_full_info()
    return memory_info.rss, memory_info.pss


def _lag_table(loads: list[LoadResult]) -> Table:
    table = Table(
        "From the token to the browser",
        [
            "open streams",
            "lag p50 ms",
            "lag p99 ms",
            "first byte p50 ms",
            "first byte p99 ms",
            "tokens read",
            "streams cut",
        ],
    )
    for load in loads:
        lags, first, cut = (
            load.reader_results["lags"],
            load.reader_results["first_bytes"],
            load.reader_results["cut"] / load.stream_count,
        )
        table.add_row(
            load.stream_count,
            format_milliseconds(p50(lags)),
            format_milliseconds(p99(lags)),
            format_milliseconds(p50(first)),
            format_milliseconds(p99(first)),
            len(lags),
            f"{cut:.1%}",
        )
    low, high = loads[0], loads[-1]
    times = format_ratio(p99(high.reader_results["lags"]), p99(low.reader_results["lags"]))
    table.notes.append(
        f"Lag p99 at {high.stream_count} streams to lag p99 at {low.stream_count}: {times}. "
        f"Every answer grows by a paragraph {STAMPS_PER_SECOND} times a second; "
        f"up to {MAX_GENERATIONS} answers are written at once, by one runner."
    )
    return table


def _cost_table(loads: list[LoadResult]) -> Table:
    table = Table(
        "What open streams cost",
        [
            "open streams",
            "/healthz p50 ms",
            "/healthz p99 ms",
            "processor of each web worker",
            "of the runner",
            "KiB/s a stream",
        ],
    )
    for load in loads:
        workers = ", ".join(f"{share:.0%}" for share in load.worker_cpu_shares)
        rate = f"{load.reader_results['bytes'] / load.seconds / load.stream_count / 1024:.1f}"
        table.add_row(
            load.stream_count,
            format_milliseconds(p50(load.probe_seconds)),
            format_milliseconds(p99(load.probe_seconds)),
            workers,
            f"{load.runner_cpu_share:.0%}",
            rate,
        )
    return table


def _memory_table(idle: tuple[int, int], loads: list[LoadResult]) -> Table:
    table = Table("Memory of the larger web worker", ["open streams", "RSS MiB", "PSS MiB"])
    table.add_row(0, f"{idle[0] / MIB:.0f}", f"{idle[1] / MIB:.0f}")
    for load in loads:
        table.add_row(load.stream_count, f"{load.rss_bytes / MIB:.0f}", f"{load.pss_bytes / MIB:.0f}")
    return table
