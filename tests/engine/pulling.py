"""What processes of their own do in the tests of weights; light, as each of them imports it anew."""

from __future__ import annotations

import os
import time
from pathlib import Path

from chatsite.engine.weights import install


def make(scratch: Path) -> Path:
    """A folder with one file, made slowly enough for another process to get in between."""
    folder = scratch / "made"
    folder.mkdir()
    (folder / "model.safetensors").write_text("half", "utf-8")
    time.sleep(0.3)
    (folder / "model.safetensors").write_text("whole", "utf-8")
    with (scratch.parent / "makers").open("a", encoding="utf-8") as makers:
        makers.write("one\n")
    return folder


def pull(target: Path) -> None:
    """What each of several processes does."""
    install(target, "1", make)
    assert (target / "model.safetensors").read_text("utf-8") == "whole"


def die(scratch: Path) -> Path:
    """What a process does that is killed half-way."""
    (scratch / "made").mkdir()
    (scratch / "made" / "model.safetensors").write_text("half", "utf-8")
    os._exit(9)
