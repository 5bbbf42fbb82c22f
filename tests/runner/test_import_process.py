"""The runner's process that imports: it is started when there is something to do, and may die at any moment."""

from __future__ import annotations

import io
import json
import os
import signal
import time
from collections.abc import Callable

from flask import Flask

from chatsite.database import db
from chatsite.models import Import, ImportState
from chatsite.runner.import_process import ImportProcess
from chatsite.services.accounts import users
from chatsite.services.transfer import imports
from tests.support import other_exports

MOST_SECONDS = 60
COUNT = 300
# More than is stored between two looks, whatever the machine.
MANY = 4000


def tend_until(importing: ImportProcess, true: Callable[[], bool]) -> None:
    """Do what the runner's loop does until something is true."""
    end = time.monotonic() + MOST_SECONDS
    while not true():
        assert time.monotonic() < end
        db.session.rollback()
        importing.poll()
        time.sleep(0.02)


def test_killed_import_process_is_resumed(app: Flask) -> None:
    with app.app_context():
        alice = users.get_or_create_by_token("alice")
        data = json.dumps([other_exports.make_claude_conversation(n) for n in range(MANY)]).encode()
        public_id = imports.upload(alice, "file", io.BytesIO(data).read, max_bytes=10**8).public_id

        def now() -> Import:
            db.session.rollback()
            return imports.get(alice, public_id)

        importing = ImportProcess(app.config)
        tend_until(importing, lambda: now().imported_count > 0)
        assert importing.pid
        os.kill(importing.pid, signal.SIGKILL)
        tend_until(importing, lambda: now().state is ImportState.DONE)
        assert (now().imported_count, now().attempts, now().duplicate_count) == (MANY, 2, 0)
        importing.close()
        db.session.remove()


def test_runner_shutdown_releases_import(app: Flask) -> None:
    with app.app_context():
        alice = users.get_or_create_by_token("alice")
        data = json.dumps([other_exports.make_claude_conversation(n) for n in range(COUNT)]).encode()
        public_id = imports.upload(alice, "file", io.BytesIO(data).read, max_bytes=10**8).public_id
        first = ImportProcess(app.config)
        tend_until(first, lambda: imports.get(alice, public_id).state is ImportState.RUNNING)
        first.close()
        second = ImportProcess(app.config)
        tend_until(second, lambda: imports.get(alice, public_id).state is ImportState.DONE)
        assert imports.get(alice, public_id).imported_count == COUNT
        second.close()
        db.session.remove()
