"""The release script, in repositories of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chatsite.settings import ROOT
from scripts import release
from scripts.release import ReleaseError, make_release

CHANGELOG = """# Changelog

## [Unreleased]

### Added

- A thing.

## [0.1.0] - 2026-01-01

- The first one.
"""
RELEASED = """# Changelog

## [Unreleased]

## [0.2.0] - 2026-02-03

### Added

- A thing.

## [0.1.0] - 2026-01-01

- The first one.
"""


def git(root: Path, *arguments: str) -> str:
    return release.git(root, "-c", "user.name=Tester", "-c", "user.email=tester@example.org", *arguments)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose version 0.1.0 is released."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Tester")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "tester@example.org")
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "thing"\nversion = "0.1.0"\n')
    (tmp_path / "README.md").write_text("# Thing\n\n**Version 0.1.0** · [Changes](CHANGELOG.md)\n")
    (tmp_path / "README.es.md").write_text("# Cosa\n\n**Versión 0.1.0** · [Cambios](CHANGELOG.md)\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "Begin")
    git(tmp_path, "tag", "v0.1.0")
    return tmp_path


def test_a_release_is_a_commit_and_a_tag(repository: Path) -> None:
    steps = make_release("0.2.0", root=repository, date="2026-02-03")
    written = ["CHANGELOG.md", "pyproject.toml", "README.md", "README.es.md"]
    assert steps == [*(f"write {name}" for name in written), "commit “Release 0.2.0”", "tag v0.2.0"]
    assert (repository / "CHANGELOG.md").read_text() == RELEASED
    assert 'version = "0.2.0"' in (repository / "pyproject.toml").read_text()
    assert "**Version 0.2.0** ·" in (repository / "README.md").read_text()
    assert "**Versión 0.2.0** ·" in (repository / "README.es.md").read_text()
    assert git(repository, "status", "--porcelain") == ""
    assert git(repository, "describe") == "v0.2.0"
    assert git(repository, "log", "-1", "--format=%s") == "Release 0.2.0"


def test_a_dry_run_changes_nothing(repository: Path) -> None:
    assert make_release("0.2.0", root=repository, is_dry_run=True)[-1] == "tag v0.2.0"
    assert (repository / "CHANGELOG.md").read_text() == CHANGELOG
    assert git(repository, "tag") == "v0.1.0"
    assert git(repository, "rev-list", "--count", "HEAD") == "1"


def test_changes_that_are_not_committed_stop_a_release(repository: Path) -> None:
    (repository / "new").touch()
    with pytest.raises(ReleaseError, match="not committed"):
        make_release("0.2.0", root=repository)


@pytest.mark.parametrize("version", ["0.1.0", "0.0.9"])
def test_a_version_has_to_be_newer_than_the_last_one(repository: Path, version: str) -> None:
    with pytest.raises(ReleaseError, match=r"not newer than 0\.1\.0"):
        make_release(version, root=repository)


@pytest.mark.parametrize("version", ["1", "v0.2.0", "0.2", "0.2.0rc1", "00.2.0"])
def test_a_version_is_three_numbers(repository: Path, version: str) -> None:
    with pytest.raises(ReleaseError, match="three numbers"):
        make_release(version, root=repository)


def test_a_release_without_changes_is_refused(repository: Path) -> None:
    with pytest.raises(ReleaseError, match="Nothing stands under Unreleased"):
        release.release_changelog("## [Unreleased]\n\n## [0.1.0] - 2026-01-01\n", "0.2.0", "2026-02-03")


def test_a_section_that_is_written_already_is_only_tagged(repository: Path) -> None:
    git(repository, "tag", "--delete", "v0.1.0")
    with pytest.raises(ReleaseError, match="changes that are not in it"):
        make_release("0.1.0", root=repository)
    (repository / "CHANGELOG.md").write_text("## [Unreleased]\n\n## [0.1.0] - 2026-01-01\n\n- The first one.\n")
    git(repository, "commit", "--quiet", "--all", "--message", "Write the changelog")
    assert make_release("0.1.0", root=repository) == ["tag v0.1.0"]


def test_this_changelog_can_be_released() -> None:
    assert release.UNRELEASED in (ROOT / "CHANGELOG.md").read_text()
    versions = release.PROJECT_VERSION.findall((ROOT / "pyproject.toml").read_text())
    assert len(versions) == 1
    for name in release.READMES:
        found = release.README_VERSION.search((ROOT / name).read_text())
        assert found
        assert versions[0] in found[0], name


def test_the_command_says_why_not() -> None:
    command = [sys.executable, "-m", "scripts.release", "next", "--dry-run"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "No release: 'next' is no version: it has to be three numbers, like 0.2.0.\n"
