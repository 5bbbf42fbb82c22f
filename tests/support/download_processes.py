"""Functions that tests of weights run in processes of their own. Imports little, because each process imports it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from chatsite.engine.downloads.weights import install_folder


def write_slowly(scratch: Path) -> Path:
    """Write a folder with one file, slowly enough for another process to interfere. Return the folder."""
    folder = scratch / "made"
    folder.mkdir()
    (folder / "model.safetensors").write_text("half", "utf-8")
    time.sleep(0.3)
    (folder / "model.safetensors").write_text("whole", "utf-8")
    with (scratch.parent / "makers").open("a", encoding="utf-8") as makers:
        makers.write("one\n")
    return folder


def run_install(target: Path) -> None:
    """Install a folder, as each of several processes does at the same time."""
    install_folder(target, "1", write_slowly)
    assert (target / "model.safetensors").read_text("utf-8") == "whole"


def exit_half_way(scratch: Path) -> Path:
    """Write half of a file and exit, as a killed process does."""
    (scratch / "made").mkdir()
    (scratch / "made" / "model.safetensors").write_text("half", "utf-8")
    os._exit(9)
