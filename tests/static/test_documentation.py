"""What the repository says of itself: links, decisions, and the commands that are written in more than one place."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from chatsite.settings import ROOT

DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADER = re.compile(
    r"# (?P<title>.+)\n\n"
    r"- \*\*Status:\*\* (?P<status>accepted|proposed|superseded by \[\d{4}\]\(\d{4}-[\w-]+\.md\))\n"
    r"- \*\*Date:\*\* (?P<date>20\d\d-\d\d-\d\d)(, last changed 20\d\d-\d\d-\d\d)?\n"
    r"- \*\*Rejected:\*\* .+\.\n"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    targets = [target.partition("#")[0] for target in LINK.findall(text) if not re.match(r"[a-z]+:|#", target)]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_decisions_are_numbered_without_a_hole() -> None:
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_says_its_status_its_date_and_what_was_rejected(path: Path) -> None:
    header = HEADER.match(path.read_text())
    assert header
    row = f"| [{path.name[:4]}]({path.name}) | {header['title']} | {header['status']} | {header['date']} |"
    assert row in (path.parent / "README.md").read_text().splitlines()


def test_code_names_decisions_that_exist() -> None:
    names = {path.name for path in DECISIONS} | {"README.md"}
    for path in [*(ROOT / "chatsite").rglob("*.py"), *(ROOT / "scripts").glob("*.py"), ROOT / "pyproject.toml"]:
        assert set(re.findall(r"docs/decisions/([\w-]+\.md)", path.read_text())) <= names, path


def test_git_hooks_run_what_make_check_runs() -> None:
    makefile = (ROOT / "Makefile").read_text()
    recipes = re.findall(r"^(?:lint|typecheck):.*\n((?:\t.+\n)+)", makefile, re.MULTILINE)
    commands = [line.strip().replace("$(BIN)", ".venv/bin") for recipe in recipes for line in recipe.splitlines()]
    assert len(commands) >= 7
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    assert re.findall(r"entry: (.+)", hooks) == commands


def test_the_workflow_calls_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    runs = re.findall(r"run: (.+)", (ROOT / ".github" / "workflows" / "ci.yml").read_text())
    # What prepares the machine is no target.
    assert {run.removeprefix("make ") for run in runs if not run.startswith("sudo ")} <= targets


def test_the_site_of_the_documentation_has_no_broken_link(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    about = (tmp_path / "about.html").read_text()
    assert 'href="decisions/0016-temporary.html"' in about
    assert 'src="screenshots/light.webp"' in about
    assert 'href="contributing.html"' in about
    assert not re.search(r'<(?:script|link|img)[^>]+(?:src|href)="https?:', about), "pages load nothing from elsewhere"
