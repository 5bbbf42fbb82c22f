"""Train small models once per machine, and copy them for each test that needs one.

A trained model is found by a digest of everything that affects it: the code of the training and of the prompt formats,
the versions of libraries, and the arguments. It is kept in `CHATSITE_TEST_CACHE` or in the cache folder of the user.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from chatsite.engine import prompting
from tests.support.asset_cache import store

LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors")
KEPT_SECONDS = 30 * 24 * 3600


def trained_once(make: Callable[..., Path]) -> Callable[..., Path]:
    """Copy the model of `make(folder, ...)` to `folder` if it was trained before, or else train it.

    The cache key contains only texts and integers. With any other argument, such as a tokenizer, the model is trained
    anew.
    """

    @functools.wraps(make)
    def find(folder: Path, *arguments: Any, **options: Any) -> Path:
        if not all(isinstance(value, str | int) for value in (*arguments, *options.values())):
            return make(folder, *arguments, **options)
        key = hashlib.sha256(f"{_recipe()} {make.__name__} {arguments} {options}".encode()).hexdigest()[:32]
        kept = cache_folder() / f"{make.__name__}-{key}"
        # Other processes wait while the model is trained. The lock ends with its process.
        with kept.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                _forget_old(kept.parent)
                with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
                    make(Path(scratch) / "model", *arguments, **options).replace(kept)
            os.utime(kept)
        return Path(shutil.copytree(kept, folder, dirs_exist_ok=True))

    return find


@functools.cache
def cache_folder() -> Path:
    """Return the folder for trained models, which is temporary if the cache folder of the user is not writable."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("CHATSITE_TEST_CACHE") or Path(home) / "chatsite-tests")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        folder = store() / "trained"
        folder.mkdir(exist_ok=True)
    return folder


@functools.cache
def _recipe() -> str:
    """Return everything that affects the training except the arguments."""
    here = [Path(__file__).with_name(name) for name in ("trained_models.py", "thinking_models.py")]
    sources = [*here, *sorted(Path(prompting.__path__[0]).glob("*.py"))]
    digest = hashlib.sha256()
    for path in sources:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return " ".join([digest.hexdigest(), platform.machine(), *(f"{name}={version(name)}" for name in LIBRARIES)])


def _forget_old(folder: Path) -> None:
    """Remove models that no test used for KEPT_SECONDS; locks stay, because another process may hold one."""
    for path in folder.iterdir():
        if path.is_dir() and path.stat().st_mtime < time.time() - KEPT_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
