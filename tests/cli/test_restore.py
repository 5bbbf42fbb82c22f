"""Backup and restore: what a copy holds comes back, and what is there is never lost or mixed with it."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import text

from chatsite.cli import backup, restore
from chatsite.cli.backup import create_backup
from chatsite.cli.migrations import migrate_database
from chatsite.cli.preflight import run_preflight
from chatsite.cli.restore import RestoreError, restore_backup
from chatsite.cli.revisions import latest_revision
from chatsite.config import load_secret_key
from chatsite.database import db
from chatsite.database_file import list_files
from chatsite.errors import ChatsiteError, DatabaseFileDamagedError, DatabaseMissingError, NewerDatabaseError
from tests.cli.conftest import RunCommand
from tests.conftest import POSTGRES_URL, close_app, make_app
from tests.core.test_database_file import open_elsewhere


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a site that is configured by the environment and has been migrated."""
    folder = tmp_path / "instance"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("CHATSITE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CHATSITE_INSTANCE", str(folder))
    monkeypatch.setenv("CHATSITE_DEFAULT_MODEL", "scripted")
    close_app(make_app(folder))
    with opened(folder / "chatsite.db") as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES (?)", (latest_revision(),))
    return folder


@contextlib.contextmanager
def opened(file: Path) -> Iterator[sqlite.Connection]:
    """A connection to a database, whose changes are stored and which is closed at the end."""
    with contextlib.closing(sqlite.connect(str(file), isolation_level=None)) as connection:
        yield connection


def add_user(file: Path, name: str) -> None:
    """Store something."""
    with opened(file) as connection:
        connection.execute("INSERT INTO user (token_hash, created_at) VALUES (?, '2026-01-01')", (name,))


def list_users(file: Path) -> list[str]:
    """What is stored, in a database without any damage."""
    with opened(file) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [name for (name,) in connection.execute("SELECT token_hash FROM user ORDER BY id")]


@pytest.fixture
def copy(instance: Path, tmp_path: Path) -> Path:
    """A backup that knows `early`, of a site that has stored `late` since."""
    add_user(instance / "chatsite.db", "early")
    target = tmp_path / "copy.db"
    create_backup(target)
    add_user(instance / "chatsite.db", "late")
    return target


def leave_log_behind(file: Path) -> None:
    """End a process that wrote something and closed nothing, as a power cut does."""
    with open_elsewhere(file) as other:
        other.kill()
        other.communicate()
    assert list_files(file)[1].stat().st_size > 0


def test_restore_brings_back_what_the_backup_holds_and_keeps_the_rest(instance: Path, copy: Path) -> None:
    file = instance / "chatsite.db"
    leave_log_behind(file)
    restored = restore_backup(copy)
    assert restored.former_files
    assert list_users(restored.former_files / "chatsite.db") == ["early", "late"]
    assert [path.name for path in instance.glob("*.db*")] == ["chatsite.db"]
    assert list_users(file) == ["early"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert copy.exists()


def test_restore_refuses_while_anybody_has_the_database_open(instance: Path, copy: Path) -> None:
    with open_elsewhere(instance / "chatsite.db") as other:
        with pytest.raises(RestoreError, match="Stop the site"):
            restore_backup(copy)
        other.communicate()
    assert list_users(instance / "chatsite.db") == ["early", "late"]
    restore_backup(copy)
    assert list_users(instance / "chatsite.db") == ["early"]


def test_damaged_database_is_replaced_by_a_backup(instance: Path, copy: Path) -> None:
    (instance / "chatsite.db").write_bytes(b"damage" * 2000)
    restore_backup(copy)
    assert list_users(instance / "chatsite.db") == ["early"]


def test_restore_on_a_new_machine_says_that_the_key_is_missing(
    instance: Path, copy: Path, run_command: RunCommand
) -> None:
    shutil.rmtree(instance)
    done = run_command("restore", str(copy))
    assert (done.returncode, done.stdout) == (0, "The backup was restored. Start the site again.\n")
    assert "There is no secret_key" in done.stderr
    assert list_users(instance / "chatsite.db") == ["early"]


def damage_end(copy: Path) -> None:
    """Cut the end off, as an interrupted transfer does."""
    os.truncate(copy, copy.stat().st_size // 2)


def damage_page(copy: Path) -> None:
    """Overwrite a page, as a bad disk does."""
    with opened(copy) as connection:
        root, page_bytes = connection.execute(
            "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_master WHERE name = 'user'"
        ).fetchone()
    with copy.open("r+b") as file:
        file.seek((root - 1) * page_bytes)
        file.write(b"\xff" * page_bytes)


def make_newer(copy: Path) -> None:
    """Let a later version have written it."""
    with opened(copy) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")


def make_foreign(copy: Path) -> None:
    """Make it the database of another program."""
    copy.unlink()
    with opened(copy) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (damage_end, "Nothing was restored: "),
        (damage_page, "Nothing was restored: "),
        (lambda copy: copy.write_bytes(b"PK\x03\x04" * 3000), "Nothing was restored: file is not a database"),
        (lambda copy: copy.write_bytes(b""), "this is not a database of chatsite"),
        (make_foreign, "this is not a database of chatsite"),
        (make_newer, "This database is from a newer version of chatsite (9999)"),
        (lambda copy: copy.unlink(), "there is no such file"),
    ],
)
def test_unusable_backup_changes_nothing(
    instance: Path, copy: Path, spoil: Callable[[Path], object], sentence: str
) -> None:
    spoil(copy)
    with pytest.raises(ChatsiteError) as refused:
        restore_backup(copy)
    assert sentence in str(refused.value)
    assert list_users(instance / "chatsite.db") == ["early", "late"]
    assert not (instance / "before-restore").exists()
    assert [path.name for path in instance.glob("*.db*") if path.name != "chatsite.db"] == []
    assert list(instance.glob(".chatsite*")) == []


def test_the_database_is_no_backup_of_itself(instance: Path) -> None:
    with pytest.raises(RestoreError, match="the database itself"):
        restore_backup(instance / "chatsite.db")
    assert list_users(instance / "chatsite.db") == []


@pytest.mark.usefixtures("instance")
def test_commands_for_sqlite_name_those_for_postgresql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATSITE_DATABASE_URL", POSTGRES_URL or "postgresql+psycopg://nobody@127.0.0.1:1/none")
    with pytest.raises(restore.RestoreError, match="pg_restore"):
        restore_backup(tmp_path / "copy.db")
    with pytest.raises(backup.BackupError, match="pg_dump"):
        create_backup(tmp_path / "copy.db")


def test_disk_without_hard_links_takes_key_and_backup(
    instance: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    (instance / "secret_key").unlink()
    key = load_secret_key(instance)
    assert len(key) == 64
    assert load_secret_key(instance) == key
    target = tmp_path / "copy.db"
    create_backup(target)
    assert list_users(target) == []
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with pytest.raises(backup.BackupError):
        create_backup(target)
    assert {path.name for path in tmp_path.iterdir()} == {"instance", "copy.db"}


def test_backup_names_what_else_a_site_needs(instance: Path, tmp_path: Path) -> None:
    (instance / "models.toml").write_text("")
    assert create_backup(tmp_path / "copy.db") == [instance / "secret_key", instance / "models.toml"]


@pytest.mark.parametrize("is_there", [False, True], ids=["missing", "empty"])
def test_site_that_lost_its_database_does_not_begin_anew(instance: Path, copy: Path, is_there: bool) -> None:
    (instance / "chatsite.db").unlink()
    if is_there:
        (instance / "chatsite.db").touch()
    with pytest.raises(DatabaseMissingError, match=r"chatsite restore FILE.*chatsite migrate --new"):
        run_preflight()
    assert (instance / "chatsite.db").exists() is is_there
    restore_backup(copy)
    run_preflight()
    assert list_users(instance / "chatsite.db") == ["early"]


def test_new_database_is_made_when_asked_for(instance: Path) -> None:
    (instance / "chatsite.db").unlink()
    run_preflight(allow_new=True)
    assert list_users(instance / "chatsite.db") == []


def test_newer_database_is_refused_with_a_sentence(instance: Path) -> None:
    make_newer(instance / "chatsite.db")
    with pytest.raises(NewerDatabaseError, match="Install that version, or restore a backup"):
        run_preflight()


@pytest.mark.parametrize("spoil", [damage_end, lambda file: file.write_bytes(b"damage" * 2000)])
def test_damaged_database_is_refused_with_a_sentence(instance: Path, spoil: Callable[[Path], object]) -> None:
    spoil(instance / "chatsite.db")
    with pytest.raises(DatabaseFileDamagedError, match="chatsite restore FILE"):
        run_preflight()


def test_newer_server_database_is_refused_with_a_sentence(any_app: Flask) -> None:
    with any_app.app_context(), db.engine.begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text("DELETE FROM alembic_version"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('9999')"))
    try:
        with pytest.raises(NewerDatabaseError):
            migrate_database(any_app)
    finally:
        with any_app.app_context(), db.engine.begin() as connection:
            connection.execute(text("DROP TABLE alembic_version"))


def test_server_that_is_away_is_said_with_its_cause(run_command: RunCommand) -> None:
    done = run_command("migrate", CHATSITE_DATABASE_URL="postgresql+psycopg://nobody@127.0.0.1:1/none")
    assert done.returncode == 1
    assert done.stderr.startswith("The database cannot be reached right now.")
    assert "127.0.0.1" in done.stderr
    assert "Traceback" not in done.stderr
