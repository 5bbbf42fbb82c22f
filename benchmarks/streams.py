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

from benchmarks import seeding
from benchmarks.client import Client, port
from benchmarks.figures import Table, ms, p50, p99, ratio
from tests.site import ROOT, Site, running_site, until

SETTINGS: Any = {
    "RUNNER": "external",
    "WORKERS": "2",
    "THREADS": "800",
    "STREAMS_PER_USER": "1000",
    "QUEUE_PER_USER": "1000",
    "QUEUE_TOTAL": "100000",
    "ANSWER_SECONDS": "3600",
    "LOG_LEVEL": "warning",
}
STAMPS_PER_SECOND = 5
SETUP_SECONDS = 20
GENERATIONS = 100
BETWEEN_PROBES = 0.05
MIB = 2**20


@dataclass
class Load:
    """A number of open streams, and what was measured while they were open."""

    streams: int
    seconds: float
    reading: dict[str, Any]
    probes: list[float]
    cpu: list[float]
    runner_cpu: float
    rss: int
    pss: int


def measure(levels: list[int], seconds: float) -> list[Table]:
    """Measure for so many seconds at each number of streams."""
    with tempfile.TemporaryDirectory() as name, _site(Path(name)) as (site, runner):
        idle = max(_memory(worker) for worker in site.workers())
        loads = [_load(site, runner, level, seconds) for level in levels]
    return [_lag_table(loads), _cost_table(loads), _memory_table(idle, loads)]


@contextmanager
def _site(folder: Path) -> Iterator[tuple[Site, psutil.Process]]:
    """A site whose runner makes time stamps, in a process of its own."""
    with running_site(folder, wait_until_ready=False, **SETTINGS) as site:
        until(lambda: _answers(site), what="The start of the site")
        runner = _start_runner(site)
        try:
            until(site.ready, what="The start of the runner")
            # One page each warms both workers, as any visitor before the streams would have.
            for _ in range(8):
                _probe(site)
            yield site, psutil.Process(runner.pid)
        finally:
            runner.terminate()
            runner.wait(10)


def _answers(site: Site) -> bool:
    try:
        return _probe(site) > 0
    except OSError:
        return False


def _start_runner(site: Site) -> subprocess.Popen[bytes]:
    environ = {f"CHATSITE_{name}": value for name, value in SETTINGS.items()}
    environ |= {"CHATSITE_INSTANCE": str(site.instance), "CHATSITE_MODEL": "scripted"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CHATSITE_")}
    command = [sys.executable, "-m", "benchmarks.stamps"]
    return subprocess.Popen(command, cwd=ROOT, env=inherited | environ, stdout=subprocess.DEVNULL)


def _load(site: Site, runner: psutil.Process, streams: int, seconds: float) -> Load:
    """Have answers written, open the streams, measure, and let all of it end."""
    plan = site.instance / f"plan-{streams}.json"
    plan.write_text(json.dumps({"port": port(site), "streams": _ask(site, streams, seconds), "seconds": seconds}))
    command = [sys.executable, "-m", "benchmarks.readers", str(plan)]
    readers = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert readers.stderr is not None
    if "measuring" not in readers.stderr.readline():
        raise RuntimeError("The readers did not come so far as to measure.")
    load = _watch(site, runner, streams, seconds)
    load.reading = json.loads(readers.communicate(timeout=120)[0])
    with seeding.entered(site.instance):
        seeding.stop_all()
        until(seeding.is_calm, what="The end of the answers")
    return load


def _ask(site: Site, streams: int, seconds: float) -> list[list[str]]:
    """Ask for as many answers as are needed; returns path and token of each stream."""
    text = f"/stamps {STAMPS_PER_SECOND} {seconds + SETUP_SECONDS}"
    with seeding.entered(site.instance):
        tokens = seeding.newcomers(min(streams, GENERATIONS))
        asked = [[f"/messages/{seeding.question(token, text)}/stream", token] for token in tokens]
    return [asked[number % len(asked)] for number in range(streams)]


def _watch(site: Site, runner: psutil.Process, streams: int, seconds: float) -> Load:
    """Probe the site and watch its processes while the readers measure."""
    workers = site.workers()
    before = [_cpu(process) for process in [*workers, runner]]
    started = time.monotonic()
    probes = _probe_for(site, seconds - 1)
    memory = max(_memory(worker) for worker in workers)
    passed = time.monotonic() - started
    after = [_cpu(process) for process in [*workers, runner]]
    *cpu, runner_cpu = [(now - was) / passed for was, now in zip(before, after, strict=True)]
    return Load(streams, seconds, {}, probes, cpu, runner_cpu, *memory)


def _probe_for(site: Site, seconds: float) -> list[float]:
    """Seconds that each of many probes took."""
    probes: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        probes.append(_probe(site))
        time.sleep(BETWEEN_PROBES)
    return probes


def _probe(site: Site) -> float:
    """Seconds that /healthz took on a connection of its own."""
    started = time.perf_counter()
    client = Client(port(site))
    client.get("/healthz")
    client.close()
    return time.perf_counter() - started


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _memory(process: psutil.Process) -> tuple[int, int]:
    """RSS and PSS in bytes."""
    found = process.memory_full_info()
    return found.rss, found.pss


def _lag_table(loads: list[Load]) -> Table:
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
        lags, first, cut = load.reading["lags"], load.reading["first_bytes"], load.reading["cut"] / load.streams
        table.add(load.streams, ms(p50(lags)), ms(p99(lags)), ms(p50(first)), ms(p99(first)), len(lags), f"{cut:.1%}")
    low, high = loads[0], loads[-1]
    times = ratio(p99(high.reading["lags"]), p99(low.reading["lags"]))
    table.notes.append(
        f"Lag p99 at {high.streams} streams to lag p99 at {low.streams}: {times}. Every answer grows by a paragraph "
        f"{STAMPS_PER_SECOND} times a second; up to {GENERATIONS} answers are written at once, by one runner."
    )
    return table


def _cost_table(loads: list[Load]) -> Table:
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
        workers = ", ".join(f"{share:.0%}" for share in load.cpu)
        rate = f"{load.reading['bytes'] / load.seconds / load.streams / 1024:.1f}"
        table.add(load.streams, ms(p50(load.probes)), ms(p99(load.probes)), workers, f"{load.runner_cpu:.0%}", rate)
    return table


def _memory_table(idle: tuple[int, int], loads: list[Load]) -> Table:
    table = Table("Memory of the larger web worker", ["open streams", "RSS MiB", "PSS MiB"])
    table.add(0, f"{idle[0] / MIB:.0f}", f"{idle[1] / MIB:.0f}")
    for load in loads:
        table.add(load.streams, f"{load.rss / MIB:.0f}", f"{load.pss / MIB:.0f}")
    return table
