"""Make a release: the version, the changelog, a commit and a tag. `make release VERSION=0.2.0` calls it.

Nothing is pushed. How a release is made, step by step: docs/releasing.md.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
README_VERSION = re.compile(r"\*\*(Version|Versión) \d+\.\d+\.\d+\*\*")
PROJECT_VERSION = re.compile(r'^version = "([^"]+)"$', re.MULTILINE)
UNRELEASED = "## [Unreleased]"
READMES = ("README.md", "README.es.md")
FILES = ("CHANGELOG.md", "pyproject.toml", *READMES)


class ReleaseError(Exception):
    """Why no release can be made as things are."""


def git(root: Path, *arguments: str) -> str:
    """Run git in the repository and return what it says. Raises ReleaseError with git's own words."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)  # noqa: S603, S607
    if done.returncode:
        raise ReleaseError(done.stderr.strip() or f"git {arguments[0]} failed.")
    return done.stdout.strip()


def parse_version(version: str) -> tuple[int, ...]:
    """Return the three numbers of a version. Raises ReleaseError."""
    if not VERSION.fullmatch(version):
        raise ReleaseError(f"{version!r} is no version: it has to be three numbers, like 0.2.0.")
    return tuple(int(part) for part in version.split("."))


def check_repository(root: Path, version: str) -> None:
    """Check that this version can be released from what is checked out. Raises ReleaseError."""
    numbers = parse_version(version)
    if git(root, "status", "--porcelain"):
        raise ReleaseError("There are changes that are not committed.")
    tags = git(root, "tag", "--list", "v*").splitlines()
    released = [parse_version(tag.removeprefix("v")) for tag in tags if VERSION.fullmatch(tag.removeprefix("v"))]
    if released and numbers <= max(released):
        newest = ".".join(map(str, max(released)))
        raise ReleaseError(f"{version} is not newer than {newest}, which is released.")


def release_changelog(changelog: str, version: str, date: str) -> str:
    """Return the changelog with what stood under Unreleased under the version instead.

    A section of this version that is there already is kept as it is, as long as nothing stands under Unreleased.
    Raises ReleaseError.
    """
    if UNRELEASED not in changelog:
        raise ReleaseError(f"CHANGELOG.md has no line {UNRELEASED!r}.")
    before, after = changelog.split(UNRELEASED, 1)
    changes, mark, older = after.partition("\n## [")
    has_section = f"\n## [{version}]" in after
    if has_section and changes.strip():
        raise ReleaseError(f"CHANGELOG.md has a section {version}, and changes that are not in it.")
    if has_section:
        return changelog
    if not changes.strip():
        raise ReleaseError("Nothing stands under Unreleased in CHANGELOG.md.")
    return f"{before}{UNRELEASED}\n\n## [{version}] - {date}\n\n{changes.strip()}\n{mark}{older}"


def release_project(pyproject: str, version: str) -> str:
    """Return `pyproject.toml` with this version."""
    return PROJECT_VERSION.sub(f'version = "{version}"', pyproject, count=1)


def release_readme(readme: str, version: str) -> str:
    """Return a README with this version."""
    return README_VERSION.sub(rf"**\1 {version}**", readme, count=1)


def make_release(version: str, *, root: Path = ROOT, is_dry_run: bool = False, date: str = "") -> list[str]:
    """Release the checked-out commit, or only list the steps. Return the steps."""
    check_repository(root, version)
    texts = {name: (root / name).read_text("utf-8") for name in FILES}
    changed = {
        "CHANGELOG.md": release_changelog(texts["CHANGELOG.md"], version, date or f"{datetime.now(UTC):%Y-%m-%d}"),
        "pyproject.toml": release_project(texts["pyproject.toml"], version),
        **{name: release_readme(texts[name], version) for name in READMES},
    }
    names = [name for name, text in changed.items() if text != texts[name]]
    steps = [f"write {name}" for name in names]
    if names:
        steps.append(f"commit “Release {version}”")
    steps.append(f"tag v{version}")
    if is_dry_run:
        return steps
    for name in names:
        (root / name).write_text(changed[name], "utf-8")
    if names:
        git(root, "commit", "--quiet", "--message", f"Release {version}", "--", *names)
    git(root, "tag", "--annotate", f"v{version}", "--message", f"chatsite {version}")
    return steps


def main() -> None:
    """Read the command line, make the release and say what was done."""
    parser = argparse.ArgumentParser(description="Make a release of what is checked out.")
    parser.add_argument("version", help="three numbers, like 0.2.0")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    arguments = parser.parse_args()
    try:
        steps = make_release(arguments.version, is_dry_run=arguments.dry_run)
    except ReleaseError as error:
        raise SystemExit(f"No release: {error}") from None
    print("\n".join(steps))
    if not arguments.dry_run:
        print("Publish it with: git push --follow-tags")


if __name__ == "__main__":
    main()
