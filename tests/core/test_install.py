"""What `make run` and `make test` install: the lock files, and which build of torch, with stand-ins for the indexes."""

from __future__ import annotations

import importlib.util
import io
import os
import re
import subprocess
import sys
import threading
import time
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

import pytest

from chatsite.settings import ROOT
from scripts import install

VERSION = "2.13.0"
LOCKS = ("requirements-build.lock", "requirements.lock", "requirements-dev.lock")
PACKAGE = re.compile(r"^([a-z0-9][a-z0-9-]*)==(\S+)( ; .+)? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")


def locked(name: str) -> dict[str, str]:
    """The version of each package that a lock file names."""
    matches = (PACKAGE.match(line) for line in (ROOT / name).read_text().splitlines())
    return {match[1]: match[2] for match in matches if match}


def project() -> dict[str, list[str]]:
    """The project's pins, without and with what tests and checks need."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {
        "requirements.lock": table["dependencies"],
        "requirements-dev.lock": table["dependencies"] + table["optional-dependencies"]["dev"],
    }


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_of_a_lock_file_is_a_version_with_hashes(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()
    assert [line for line in lines if not PACKAGE.match(line) and not HASH.match(line)] == []
    followed = zip(lines, [*lines[1:], ""], strict=True)
    assert [line for line, after in followed if PACKAGE.match(line) and not HASH.match(after)] == []


@pytest.mark.parametrize("name", LOCKS)
def test_torch_and_its_cuda_packages_are_not_locked(name: str) -> None:
    assert [package for package in locked(name) if re.match("torch$|triton|nvidia|cuda", package)] == []


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_every_pin_stands_in_the_lock_file(name: str) -> None:
    lines = {f"{package}=={version}" for package, version in locked(name).items()}
    pins = {re.sub(r"\[.*?\]", "", pin).lower().replace("_", "-") for pin in project()[name]}
    assert pins - lines == {f"torch=={install.pinned_torch()}"}, "run `make lock`"


def test_both_lock_files_have_the_same_versions() -> None:
    dev = locked("requirements-dev.lock")
    assert {name: version for name, version in locked("requirements.lock").items() if dev.get(name) != version} == {}


def test_the_lock_is_made_for_the_torch_that_is_pinned() -> None:
    (torch,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["dependency-metadata"]
    assert (torch["name"], torch["version"]) == ("torch", install.pinned_torch())


def wheel(name: str, version: str, requires: tuple[str, ...] = ()) -> tuple[str, bytes]:
    """The file name and the bytes of a wheel with nothing in it."""
    info = f"{name}-{version}.dist-info"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata += [f"Requires-Dist: {each}" for each in requires]
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr(f"{info}/METADATA", "\n".join(metadata) + "\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return f"{name}-{version}-py3-none-any.whl", body.getvalue()


@dataclass
class Index:
    """A package index on this machine: its files by package, how long it thinks, and what it was asked for."""

    files: dict[str, dict[str, bytes]]
    delay_seconds: float = 0.0
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def respond(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(request.path)
        time.sleep(self.delay_seconds)
        *_, package, name = unquote(request.path).split("/")
        names = self.files.get(package)
        if names is None or (name and name not in names):
            return request.send_error(404)
        if name:
            body, kind = names[name], "application/zip"
        else:
            body, kind = "".join(f'<a href="{each}">{each}</a>' for each in names).encode(), "text/html"
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(body)


class Serve(Protocol):
    """What serves an index until the test ends: its address is in `url`."""

    def __call__(self, files: dict[str, dict[str, bytes]], delay_seconds: float = 0.0) -> Index: ...


class Server(ThreadingHTTPServer):
    """A server that says nothing when who asked is gone by the time of the answer."""

    def handle_error(self, *_: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[Server] = []

    def start(files: dict[str, dict[str, bytes]], delay_seconds: float = 0.0) -> Index:
        index = Index(files, delay_seconds)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.respond(self)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = Server(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        index.url = f"http://127.0.0.1:{server.server_port}/simple"
        return index

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def cpu_index(serve: Serve, version: str = VERSION, delay_seconds: float = 0.0) -> Index:
    """Stands in for PyTorch's own index of CPU builds."""
    return serve({"torch": dict([wheel("torch", f"{version}+cpu")])}, delay_seconds)


def default_index(serve: Serve) -> Index:
    """Stands in for PyPI, whose build of torch for Linux brings CUDA packages."""
    torch = wheel("torch", VERSION, ("nvidia-cublas==13.1.1.3",))
    return serve({"torch": dict([torch]), "nvidia-cublas": dict([wheel("nvidia_cublas", "13.1.1.3")])})


@dataclass
class Machine:
    """An environment without packages, on a machine that reaches the two indexes."""

    python: Path
    folder: Path
    default: Index
    cpu: str

    def install(self, **environment: str) -> str:
        """Install torch as `make run` does, and return what was said."""
        program = (
            "import os, pathlib; from scripts import install; install.sys.platform = 'linux'; install.install_torch("
            f"{VERSION!r}, variant=os.environ.get('TORCH', ''), cpu_index=os.environ['TORCH_CPU_INDEX'], "
            "driver=pathlib.Path(os.environ['DRIVER']), probe_seconds=float(os.environ['PROBE_SECONDS']))"
        )
        settings = {
            "PATH": str(self.folder / "bin"),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_CACHE_DIR": "1",
            "PIP_INDEX_URL": self.default.url,
            "TORCH_CPU_INDEX": self.cpu,
            "DRIVER": str(self.folder / "driver"),
            # A busy machine is no slow index.
            "PROBE_SECONDS": "50",
            "PYTHONPATH": str(ROOT),
        }
        command = [str(self.python), "-c", program]
        done = subprocess.run(
            command, env=settings | environment, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def packages(self) -> set[str]:
        """What is installed."""
        folders = self.folder.glob("venv/lib/python*/site-packages/*.dist-info")
        return {"==".join(folder.name.removesuffix(".dist-info").split("-")) for folder in folders}


@pytest.fixture
def machine(tmp_path: Path, serve: Serve) -> Machine:
    """A machine without an NVIDIA driver."""
    (tmp_path / "bin").mkdir()
    venv.create(tmp_path / "venv", with_pip=False)
    spec = importlib.util.find_spec("pip")
    assert spec is not None
    assert spec.origin is not None
    (site_packages,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (site_packages / "pip").symlink_to(Path(spec.origin).parent)
    return Machine(tmp_path / "venv" / "bin" / "python", tmp_path, default_index(serve), cpu_index(serve).url)


CPU = {f"torch=={VERSION}+cpu"}
CUDA = {f"torch=={VERSION}", "nvidia_cublas==13.1.1.3"}


def test_without_a_driver_the_cpu_build_comes_from_pytorchs_index(machine: Machine) -> None:
    assert "the CPU build, because there is no NVIDIA driver" in machine.install()
    assert machine.packages() == CPU
    assert machine.default.asked == []


def test_a_second_time_nothing_is_asked(machine: Machine) -> None:
    machine.install()
    assert machine.install(TORCH_CPU_INDEX="http://127.0.0.1:1") == ""
    assert machine.install(TORCH="cpu", TORCH_CPU_INDEX="http://127.0.0.1:1") == ""


def test_a_slow_index_is_given_up_after_three_seconds(machine: Machine, serve: Serve) -> None:
    slow = cpu_index(serve, delay_seconds=6.0)
    assert "did not answer within 3 seconds" in machine.install(
        TORCH_CPU_INDEX=slow.url, PROBE_SECONDS=str(install.PROBE_SECONDS)
    )
    assert machine.packages() == CUDA


def test_an_index_without_this_version_is_left_for_the_default_one(machine: Machine, serve: Serve) -> None:
    older = cpu_index(serve, "2.12.0")
    said = machine.install(TORCH_CPU_INDEX=older.url)
    assert said.index("the CPU build") < said.index("does not have it")
    assert machine.packages() == CUDA


def test_with_a_driver_the_default_index_is_asked(machine: Machine) -> None:
    (machine.folder / "driver").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module\n")
    assert "the CUDA build, because there is an NVIDIA driver" in machine.install(TORCH_CPU_INDEX="http://127.0.0.1:1")
    assert machine.packages() == CUDA


def test_a_variant_decides_and_can_be_changed(machine: Machine) -> None:
    assert "because TORCH=cuda" in machine.install(TORCH="cuda")
    assert machine.packages() == CUDA
    assert "because TORCH=cpu" in machine.install(TORCH="cpu")
    assert machine.packages() > CPU
    assert "because TORCH=cuda" in machine.install(TORCH="cuda")
    assert machine.packages() == CUDA


def test_a_variant_that_is_neither_is_refused() -> None:
    with pytest.raises(SystemExit, match="TORCH is 'rocm'; it can be cpu or cuda"):
        install.choose_torch(VERSION, variant="rocm", cpu_index="", has_driver=False, is_linux=True)


def test_where_there_is_one_build_no_index_is_chosen() -> None:
    build = install.choose_torch(VERSION, variant="", cpu_index="http://127.0.0.1:1", has_driver=False, is_linux=False)
    assert (build.requirement, build.index) == (f"torch=={VERSION}", None)


@pytest.mark.parametrize(
    ("answer", "found"), [("echo 'GPU 0: NVIDIA H200'", True), ("exit 9", False), ("echo none", False)]
)
def test_a_driver_is_known_by_its_tool(
    answer: str, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{answer}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert install.has_nvidia_driver(tmp_path / "none") is found


def test_a_probe_ends_in_time(serve: Serve) -> None:
    slow = cpu_index(serve, delay_seconds=20.0)
    begin = time.monotonic()
    assert not install.does_answer(slow.url, seconds=0.5)
    assert time.monotonic() - begin < slow.delay_seconds / 2
    assert install.does_answer(cpu_index(serve).url, seconds=30)


def test_the_script_runs_with_the_standard_library_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(ROOT / "scripts" / "install.py"), "--help"], capture_output=True, check=False
    )
    assert done.returncode == 0
