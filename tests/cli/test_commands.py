"""The small commands, and what the repository says about itself."""

from __future__ import annotations

import contextlib
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from pysqlite3 import dbapi2 as sqlite

from chatsite.cli.revisions import latest_revision, read_revision
from chatsite.cli.settings import render_settings_page
from chatsite.settings import ROOT
from tests.cli.conftest import Environment, RunCommand


def test_settings_documentation_is_up_to_date() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == render_settings_page(), (
        "run `chatsite settings > docs/settings.md`"
    )


def test_settings_command_prints_documentation(run_command: RunCommand) -> None:
    assert run_command("settings").stdout == render_settings_page()


@pytest.mark.parametrize("command", ["--help", "settings", "setup", "migrate"])
def test_commands_without_inference_do_not_import_torch(command: str, environment: Environment) -> None:
    program = "import sys; from chatsite.cli.main import commands; commands(sys.argv[1:], standalone_mode=False); "
    program += "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program, command], env=environment, timeout=60, check=False)
    assert done.returncode == 0


def test_concurrent_migrations_are_serialized(run_command: RunCommand) -> None:
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: run_command("migrate"), range(3)))
    assert [one.returncode for one in done] == [0, 0, 0], [one.stderr for one in done]
    assert run_command("reindex").returncode == 0
    told = run_command("doctor").stdout
    assert "FAIL  no runner" in told
    assert "ok    search index complete" in told


def test_latest_migration_matches_alembic_head() -> None:
    assert latest_revision() == ScriptDirectory(str(ROOT / "migrations")).get_current_head()


@pytest.mark.parametrize("spoil", ["DELETE FROM alembic_version", "DROP TABLE alembic_version"])
def test_unmigrated_database_is_not_up_to_date(run_command: RunCommand, tmp_path: Path, spoil: str) -> None:
    file = tmp_path / "instance" / "chatsite.db"
    assert read_revision(file) is None
    run_command("migrate")
    assert read_revision(file) == latest_revision()
    with contextlib.closing(sqlite.connect(str(file))) as connection:
        connection.execute(spoil)
        connection.commit()
    assert read_revision(file) is None


def test_the_doctor_reports_problems(run_command: RunCommand) -> None:
    done = run_command("doctor")
    assert done.returncode == 1
    assert "run `chatsite migrate`" in done.stdout
    assert "FAIL  runner unknown: the database cannot be read" in done.stdout


def test_backup_is_complete_and_never_overwrites(run_command: RunCommand, tmp_path: Path) -> None:
    run_command("chat", said="/say Kept")
    copy = tmp_path / "copy.db"
    assert run_command("backup", str(copy)).returncode == 0
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with contextlib.closing(sqlite.connect(str(copy))) as connection:
        assert connection.execute("SELECT text FROM message ORDER BY id").fetchall() == [("/say Kept",), ("Kept",)]
    again = run_command("backup", str(copy))
    assert again.returncode == 1
    assert again.stderr.startswith("Backup failed: ")
    assert {path.name for path in tmp_path.iterdir()} == {"instance", "copy.db"}


def test_setup_without_work_prints_nothing(run_command: RunCommand) -> None:
    done = run_command("setup")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_unknown_model_stops_setup(run_command: RunCommand) -> None:
    done = run_command("setup", CHATSITE_DEFAULT_MODEL="nothing")
    assert done.returncode == 2
    assert done.stderr.startswith("CHATSITE_DEFAULT_MODEL='nothing' cannot be used: ")


@pytest.mark.parametrize(
    ("words", "more", "told"),
    [
        (["--help"], {}, "Guarda una copia de seguridad de la base de datos SQLite"),
        (["dev", "--help"], {}, "Muestra este mensaje y sale."),
        (["nothing"], {}, "Error: No existe el comando 'nothing'."),
        (["settings"], {}, "| Variable | Valor predeterminado | Descripción |"),
        (["doctor"], {}, "FAIL  runner desconocido: no se puede leer la base de datos"),
        (["migrate"], {"CHATSITE_WORKERS": "0"}, "CHATSITE_WORKERS='0' no es válido: debe estar entre 1 y 64."),
        (
            ["migrate"],
            {"CHATSITE_DEFAULT_MODEL": "nothing"},
            "CHATSITE_DEFAULT_MODEL='nothing' no es válido: 'nothing' no es",
        ),
        (["migrate"], {"CHATSITE_WORKER": "1"}, "CHATSITE_WORKER no es un ajuste."),
    ],
)
def test_commands_speak_spanish(run_command: RunCommand, words: list[str], more: dict[str, str], told: str) -> None:
    done = run_command(*words, LC_ALL="es_ES.UTF-8", **more)
    assert told in done.stdout + done.stderr


def test_the_language_of_the_site_is_spoken_where_the_environment_asks_for_none(run_command: RunCommand) -> None:
    assert "Un sitio de chat propio" in run_command("--help", CHATSITE_LANGUAGE="es").stdout
    assert "A self-hosted chat site" in run_command("--help", CHATSITE_LANGUAGE="es", LC_ALL="en_US.UTF-8").stdout
