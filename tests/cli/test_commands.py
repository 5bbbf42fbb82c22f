"""The small commands, and what the repository says about itself."""

from __future__ import annotations

import contextlib
import re
import stat
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from pysqlite3 import dbapi2 as sqlite

from chatsite.cli.settings import page
from chatsite.cli.starting import is_up_to_date, newest_migration
from chatsite.config import ROOT
from tests.cli.conftest import Environment, Run


def test_the_page_about_settings_is_up_to_date() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == page(), "run `chatsite settings > docs/settings.md`"


def test_settings_prints_that_page(run: Run) -> None:
    assert run("settings").stdout == page()


def test_every_pin_stands_in_the_constraints_too() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = project["dependencies"] + [pin for pins in project["optional-dependencies"].values() for pin in pins]
    constraints = {line.lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert [pin for pin in pins if re.sub(r"\[.*?\]", "", pin).lower() not in constraints] == []


@pytest.mark.parametrize("command", ["--help", "settings", "setup", "migrate"])
def test_commands_that_write_no_answers_leave_torch_alone(command: str, environment: Environment) -> None:
    program = "import sys; from chatsite.cli import commands; commands(sys.argv[1:], standalone_mode=False); "
    program += "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program, command], env=environment, timeout=30, check=False)
    assert done.returncode == 0


def test_two_migrations_at_once_are_one_after_the_other(run: Run) -> None:
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: run("migrate"), range(3)))
    assert [one.returncode for one in done] == [0, 0, 0], [one.stderr for one in done]
    assert run("reindex").returncode == 0
    told = run("doctor").stdout
    assert "MEND  no runner" in told
    assert "ok    search index complete" in told


def test_the_quick_look_at_migrations_knows_the_newest_one() -> None:
    assert newest_migration() == ScriptDirectory(str(ROOT / "migrations")).get_current_head()


@pytest.mark.parametrize("spoil", ["DELETE FROM alembic_version", "DROP TABLE alembic_version"])
def test_a_database_that_lacks_migrations_is_not_up_to_date(run: Run, tmp_path: Path, spoil: str) -> None:
    url = f"sqlite:///{tmp_path / 'instance' / 'chatsite.db'}"
    assert not is_up_to_date(url)
    run("migrate")
    assert is_up_to_date(url)
    with contextlib.closing(sqlite.connect(url.removeprefix("sqlite:///"))) as connection:
        connection.execute(spoil)
        connection.commit()
    assert not is_up_to_date(url)


def test_the_doctor_says_what_ails(run: Run) -> None:
    done = run("doctor")
    assert done.returncode == 1
    assert "run `chatsite migrate`" in done.stdout
    assert "MEND  runner unknown: the database cannot be read" in done.stdout


def test_a_backup_is_a_whole_copy_and_replaces_nothing(run: Run, tmp_path: Path) -> None:
    run("chat", said="/say Kept")
    copy = tmp_path / "copy.db"
    assert run("backup", str(copy)).returncode == 0
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with contextlib.closing(sqlite.connect(str(copy))) as connection:
        assert connection.execute("SELECT text FROM message ORDER BY id").fetchall() == [("/say Kept",), ("Kept",)]
    again = run("backup", str(copy))
    assert again.returncode == 1
    assert again.stderr.startswith("There is no backup: ")
    assert {path.name for path in tmp_path.iterdir()} == {"instance", "copy.db"}


def test_a_setup_with_nothing_to_do_says_nothing(run: Run) -> None:
    done = run("setup")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_model_that_does_not_exist_stops_the_setup(run: Run) -> None:
    done = run("setup", CHATSITE_MODEL="nothing")
    assert done.returncode == 2
    assert done.stderr.startswith("CHATSITE_MODEL='nothing' cannot be used: ")
