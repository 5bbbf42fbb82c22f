"""The database file taken away, replaced, emptied, cut off or damaged under a site: nothing is stored into nowhere."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import text

from chatsite import database_probe
from chatsite.database import close_connections, db, truncate_wal
from chatsite.database_file import close_database, create_file, list_files, lock_out_others
from chatsite.errors import DatabaseReplacedError, DatabaseUnavailableError
from chatsite.models import RunnerState
from chatsite.services.accounts import users
from chatsite.services.models import runners
from tests.conftest import close_app, make_app
from tests.support.web_fixtures import WebClient

PAGE_BYTES = 4096


@pytest.fixture
def database_file(app: Flask, alice: WebClient) -> Path:
    """The file of a site that somebody has used and that is ready; every probe asks it anew."""
    alice.start_conversation("Hello")
    with app.app_context():
        runners.heartbeat("runner", "scripted", RunnerState.READY)
        db.session.remove()
    file: Path = app.config["DATABASE_FILE"]
    return file


@pytest.fixture(autouse=True)
def probe_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each request for /readyz ask the database."""
    monkeypatch.setattr(database_probe, "MIN_SECONDS_BETWEEN_PROBES", 0.0)


def remove(file: Path) -> None:
    """Remove the database and its companions."""
    for path in list_files(file):
        path.unlink()


def replace(file: Path) -> None:
    """Put another file in the place of the database, as a restore by hand does."""
    other = file.with_name("other.db")
    shutil.copy(file, other)
    other.replace(file)


def empty(file: Path) -> None:
    """Empty the database."""
    os.truncate(file, 0)


def remove_log(file: Path) -> None:
    """Remove the write-ahead log."""
    list_files(file)[1].unlink()


def remove_shared_memory(file: Path) -> None:
    """Remove what all processes share: those that come later would not see the locks of the others."""
    list_files(file)[2].unlink()


@pytest.mark.parametrize("take_away", [remove, replace, empty, remove_log, remove_shared_memory])
def test_nothing_is_stored_into_a_file_that_is_gone(
    alice: WebClient, database_file: Path, take_away: Callable[[Path], None]
) -> None:
    assert alice.get("/readyz").status_code == 200
    take_away(database_file)
    response = alice.post_question("Is anybody there?")
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "60"
    assert "The database file was removed or replaced" in response.text
    assert ">Is anybody there?</textarea>" in response.text
    ready = alice.get("/readyz")
    assert (ready.status_code, ready.json) == (503, {"ready": False, "reason": "database: database_replaced"})


def test_file_that_comes_back_is_used_again(alice: WebClient, database_file: Path) -> None:
    away = database_file.with_name("away.db")
    database_file.rename(away)
    assert alice.post_question("Lost?").status_code == 503
    assert "Hello" in alice.get("/").text
    away.rename(database_file)
    assert alice.post_question("Found").status_code == 303
    assert alice.get("/readyz").status_code == 200


def test_missing_file_is_not_created_by_a_connection(app: Flask, database_file: Path) -> None:
    with app.app_context():
        close_connections(app)
        database_file.unlink()
        with pytest.raises(DatabaseUnavailableError):
            users.find_by_token("somebody")
    assert not database_file.exists()


def test_new_connection_to_another_file_is_refused(app: Flask, database_file: Path) -> None:
    replace(database_file)
    with app.app_context():
        first = db.engine.connect()
        db.engine.dispose()
        with pytest.raises(DatabaseReplacedError):
            db.engine.connect()
        first.close()


def test_cut_off_file_is_not_ready(app: Flask, alice: WebClient, database_file: Path) -> None:
    with app.app_context():
        assert truncate_wal()
    assert alice.get("/readyz").status_code == 200
    os.truncate(database_file, database_file.stat().st_size // PAGE_BYTES // 2 * PAGE_BYTES)
    assert "database: database_damaged" in alice.get("/readyz").text


def test_damage_that_a_page_met_is_a_sentence_and_remembered(app: Flask, alice: WebClient, database_file: Path) -> None:
    with app.app_context():
        root = db.session.scalar(text("SELECT rootpage FROM sqlite_master WHERE name = 'message'"))
        db.session.remove()
        assert truncate_wal()
        close_connections(app)
    with database_file.open("r+b") as file:
        file.seek((root - 1) * PAGE_BYTES)
        file.write(b"\xff" * PAGE_BYTES)
    response = alice.post_question("Kept?")
    assert response.status_code == 503
    assert "The database is damaged" in response.text
    assert ">Kept?</textarea>" in response.text
    assert "database: database_damaged" in alice.get("/readyz").text


READ_ONLY_SITE = """
import sys
from pathlib import Path
from tests.conftest import make_app
from chatsite import database_probe
from chatsite.database import close_connections
from tests.support.web_fixtures import WebClient

database_probe.MIN_SECONDS_BETWEEN_PROBES = 0.0
folder = Path(sys.argv[1])
app = make_app(folder)
client = WebClient(app.test_client())
client.start_conversation("Hello")
close_connections(app)
for writable in (False, True):
    folder.chmod(0o700 if writable else 0o500)
    (folder / "chatsite.db").chmod(0o600 if writable else 0o400)
    posted = client.post_question("Kept?")
    ready = client.get("/readyz")
    print(client.get("/").status_code, posted.status_code, "read-only" in posted.text, ready.json["reason"])
close_connections(app)
"""


def test_read_only_disk_shows_pages_and_says_why_nothing_is_saved(tmp_path: Path) -> None:
    # The administrator may write anywhere, unless that right is given up.
    give_up = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override") if os.geteuid() == 0 else ()
    if give_up and not shutil.which(give_up[0]):
        pytest.skip("setpriv is missing")
    done = subprocess.run(
        [*give_up, sys.executable, "-c", READ_ONLY_SITE, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.splitlines() == [
        "200 503 True database: storage_read_only",
        "200 303 False runner: no heartbeat",
    ], done.stderr


@pytest.mark.parametrize("name", ["what?now", "My%20Docs", "plain é 日本 #1;'\""])
def test_database_lies_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    app = make_app(tmp_path / name)
    with app.app_context():
        users.get_or_create_by_token("somebody")
        assert Path(str(db.engine.url.database)) == tmp_path / name / "chatsite.db"
    close_app(app)
    assert {path.name for path in tmp_path.iterdir()} == {name}


def test_relative_database_url_is_relative_to_the_instance(tmp_path: Path) -> None:
    app = make_app(tmp_path, DATABASE_URL="sqlite:///own.db")
    with app.app_context():
        users.get_or_create_by_token("somebody")
    close_app(app)
    assert (tmp_path / "own.db").exists()
    assert app.config["DATABASE_FILE"] == tmp_path / "own.db"


def open_elsewhere(file: Path) -> subprocess.Popen[str]:
    """Another process that has the database open until its stdin is closed."""
    program = (
        "import sys; from pysqlite3 import dbapi2 as sqlite; c = sqlite.connect(sys.argv[1], isolation_level=None); "
        "c.execute('PRAGMA user_version = 7'); print('open', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "open\n"
    return process


def test_closed_database_is_one_file_with_everything_in_it(tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    writer = sqlite.connect(str(file), isolation_level=None)
    writer.execute("PRAGMA journal_mode=WAL")
    other = open_elsewhere(file)
    assert list_files(file)[1].stat().st_size > 0
    writer.close()
    with lock_out_others(file) as is_free:
        assert not is_free
    # As a runner ends, or a worker that is killed: without closing anything.
    other.kill()
    other.communicate()
    close_database(file)
    with lock_out_others(file) as is_free:
        assert is_free
    assert [path.exists() for path in list_files(file)] == [True, False, False]
    with contextlib.closing(sqlite.connect(str(file))) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (7,)


def test_database_that_was_moved_away_is_still_in_use(tmp_path: Path) -> None:
    """Its log and its shared memory are where a restored database would look for its own."""
    file = tmp_path / "x.db"
    with contextlib.closing(sqlite.connect(str(file))) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    with open_elsewhere(file) as other:
        file.rename(tmp_path / "moved.db")
        with lock_out_others(file) as is_free:
            assert not is_free
        create_file(file)
        with lock_out_others(file) as is_free:
            assert not is_free
        other.kill()
        other.communicate()
    with lock_out_others(file) as is_free:
        assert is_free


def test_closing_leaves_the_log_to_those_who_still_use_it(tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    with contextlib.closing(sqlite.connect(str(file))) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    with open_elsewhere(file) as other:
        close_database(file, max_wait_seconds=0)
        assert list_files(file)[1].exists()
        other.communicate()
