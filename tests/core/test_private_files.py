"""Nobody else on the machine can read the files of the site, whatever the umask of the account is."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

from chatsite.private_files import restrict_database
from chatsite.settings import ROOT
from tests.conftest import close_app, make_app


def readable_by_others(folder: Path) -> list[str]:
    """The files and folders that others may read or change; assets are for everybody."""
    paths = [path for path in [folder, *folder.rglob("*")] if "assets" not in path.parts]
    return [f"{stat.S_IMODE(path.stat().st_mode):o} {path.name}" for path in paths if path.stat().st_mode & 0o077]


def test_commands_create_private_files(tmp_path: Path) -> None:
    instance = tmp_path / "instance"
    command = [sys.executable, "-m", "chatsite.cli", "link"]
    environ = {**os.environ, "CHATSITE_INSTANCE": str(instance), "CHATSITE_DEFAULT_MODEL": "scripted"}
    subprocess.run(command, cwd=ROOT, env=environ, check=True, capture_output=True, umask=0o022)
    assert (instance / "terminal_link").exists()
    assert readable_by_others(instance) == []


def test_database_of_earlier_version_becomes_private(tmp_path: Path) -> None:
    close_app(make_app(tmp_path))
    for suffix in ("", "-wal"):
        (tmp_path / f"chatsite.db{suffix}").touch()
        (tmp_path / f"chatsite.db{suffix}").chmod(0o644)
    close_app(make_app(tmp_path))
    assert stat.S_IMODE((tmp_path / "chatsite.db").stat().st_mode) == 0o600
    assert not any(path.stat().st_mode & 0o077 for path in tmp_path.glob("chatsite.db*"))


def test_folder_that_somebody_made_keeps_its_mode(tmp_path: Path) -> None:
    """It may be a home, or one that several accounts share."""
    tmp_path.chmod(0o755)
    close_app(make_app(tmp_path))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_other_databases_have_no_files() -> None:
    for url in ("postgresql+psycopg://u:p@host/db", "sqlite://", "sqlite:////nowhere/at/all.db"):
        restrict_database(url)
