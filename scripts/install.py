"""Install what the site needs into the environment of the Python that runs this: `make run` and `make test` call it.

All but torch comes from the lock files, by exact version and hash. torch comes apart from them, since its one version
has two builds: the CPU build, which only PyTorch's own index has for Linux, and the CUDA build of the default index,
with gigabytes of packages that a machine without an NVIDIA driver has no use for. TORCH=cpu or TORCH=cuda decides;
else the machine does. Why: docs/decisions/0018-dependencies.md. This file runs before anything is installed, so it
imports the standard library only.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PROBE_SECONDS = 3.0
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True)
class TorchBuild:
    """One build of torch: what pip is asked for, from which index (None: pip's own), and what is told about it."""

    requirement: str
    index: str | None
    reason: str
    fallback: TorchBuild | None = None


def pinned_torch(pyproject: Path = ROOT / "pyproject.toml") -> str:
    """Return the version of torch that the project pins."""
    dependencies = tomllib.loads(pyproject.read_text("utf-8"))["project"]["dependencies"]
    return next(str(pin).removeprefix("torch==") for pin in dependencies if pin.startswith("torch=="))


def has_nvidia_driver(driver: Path = NVIDIA_DRIVER) -> bool:
    """Return whether there is an NVIDIA driver: its kernel module, or a tool of it that works (as under WSL)."""
    if driver.exists():
        return True
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return False
    try:
        done = subprocess.run([tool, "--list-gpus"], capture_output=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and b"GPU" in done.stdout


def does_answer(index: str, seconds: float = PROBE_SECONDS) -> bool:
    """Return whether the index has a page for torch within so many seconds, name lookup and handshake included."""
    # A timeout of urllib's holds for each wait alone, so a slow server could take many of them.
    answered, finished = threading.Event(), threading.Event()

    def probe() -> None:
        try:
            request = urllib.request.Request(f"{index.rstrip('/')}/torch/", method="HEAD")  # noqa: S310
            with urllib.request.urlopen(request, timeout=seconds):  # noqa: S310
                answered.set()
        except (OSError, ValueError):
            pass
        finally:
            finished.set()

    threading.Thread(target=probe, daemon=True).start()
    finished.wait(seconds)
    return answered.is_set()


def choose_torch(  # noqa: PLR0913 Its callers are tests; all but one are named.
    version: str,
    *,
    variant: str,
    cpu_index: str,
    has_driver: bool,
    is_linux: bool,
    probe_seconds: float = PROBE_SECONDS,
) -> TorchBuild:
    """Decide which build of torch to install.

    `variant` is "cpu", "cuda" or "" for what suits the machine. Outside of Linux there is one build, on the default
    index.
    """
    default = f"torch=={version}"
    if variant not in ("", "cpu", "cuda"):
        raise SystemExit(f"TORCH is {variant!r}; it can be cpu or cuda, or be left out.")
    if not is_linux:
        return TorchBuild(default, None, "this system has one build of it")
    if variant == "cuda":
        # Three equals signs: a build that is marked (2.13.0+cpu) is another one.
        return TorchBuild(f"torch==={version}", None, "the CUDA build, because TORCH=cuda")
    if variant == "cpu":
        return TorchBuild(f"torch==={version}+cpu", cpu_index, "the CPU build, because TORCH=cpu")
    if has_driver:
        return TorchBuild(
            default, None, "the CUDA build, because there is an NVIDIA driver (TORCH=cpu takes the CPU build)"
        )
    if does_answer(cpu_index, probe_seconds):
        fallback = TorchBuild(default, None, f"what pip's own index offers, because {cpu_index} does not have it")
        reason = "the CPU build, because there is no NVIDIA driver (TORCH=cuda takes the CUDA build)"
        return TorchBuild(f"torch==={version}+cpu", cpu_index, reason, fallback)
    reason = f"what pip's own index offers, because {cpu_index} did not answer within {probe_seconds:g} seconds"
    return TorchBuild(default, None, reason)


def is_installed(build: TorchBuild, installed: str | None) -> bool:
    """Return whether the version that is installed is this build; `torch==2.13.0` is true of 2.13.0+cpu too."""
    if installed is None:
        return False
    asked = re.sub("^torch=+", "", build.requirement)
    return installed == asked or ("===" not in build.requirement and installed.split("+")[0] == asked)


def installed_torch() -> str | None:
    """Return the version of torch in this environment, or None."""
    importlib.invalidate_caches()
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return None


def run_pip(arguments: Sequence[str]) -> int:
    """Run this environment's pip and return its exit status."""
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode  # noqa: S603


def install_locked(*locks: str) -> None:
    """Install what the lock files name: nothing else, and only files with the hashes that stand there."""
    for lock in locks:
        if status := run_pip(["--require-hashes", "--no-deps", "-r", str(ROOT / lock)]):
            raise SystemExit(status)


def install_torch(
    version: str,
    *,
    variant: str,
    cpu_index: str,
    driver: Path = NVIDIA_DRIVER,
    probe_seconds: float = PROBE_SECONDS,
) -> None:
    """Install torch and say which build; leave one of that version that is there unless another is asked for."""
    installed = installed_torch()
    if not variant and is_installed(TorchBuild(f"torch=={version}", None, ""), installed):
        return
    build: TorchBuild | None = choose_torch(
        version,
        variant=variant,
        cpu_index=cpu_index,
        has_driver=not variant and has_nvidia_driver(driver),
        is_linux=sys.platform == "linux",
        probe_seconds=probe_seconds,
    )
    status = 0
    while build is not None:
        if is_installed(build, installed):
            return
        print(f"torch {version}: {build.reason}.", flush=True)
        # All that the CPU build needs is locked, and has to come from nowhere else. The CUDA build brings packages of
        # its own, which it pins.
        source = ["--no-deps", "--index-url", build.index] if build.index else []
        status = run_pip([*source, build.requirement])
        if status == 0:
            return
        build = build.fallback
    raise SystemExit(status)


def main() -> None:
    """Install the dependencies, torch and the project itself."""
    parser = argparse.ArgumentParser(description="Install what the site needs, from the lock files.")
    parser.add_argument("--dev", action="store_true", help="also what tests and checks need")
    wants_dev = parser.parse_args().dev
    install_locked("requirements-build.lock", "requirements-dev.lock" if wants_dev else "requirements.lock")
    install_torch(
        pinned_torch(),
        variant=os.environ.get("TORCH", ""),
        cpu_index=os.environ.get("TORCH_CPU_INDEX", CPU_INDEX),
    )
    # The build backend is here by now, from the lock, so pip need not fetch one for itself.
    if status := run_pip(["--no-deps", "--no-build-isolation", "-e", str(ROOT)]):
        raise SystemExit(status)


if __name__ == "__main__":
    main()
