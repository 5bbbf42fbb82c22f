"""Assets that the sites of a test process share: to compress them takes half a second, and there are thousands."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path


@lru_cache
def _store() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="chatsite-assets-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def share_assets(instance: Path) -> None:
    """Let an instance folder that is about to be used find the assets that another one made."""
    instance.mkdir(parents=True, exist_ok=True)
    assets = instance / "assets"
    if not assets.exists():
        assets.symlink_to(_store(), target_is_directory=True)
