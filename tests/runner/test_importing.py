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
from chatsite.runner.importing import Importing
from chatsite.services import accounts, imports
from tests.services import foreign

MOST_SECONDS = 60
COUNT = 300
# More than is stored between two looks, whatever the machine.
MANY = 4000


def tend_until(importing: Importing, true: Callable[[], bool]) -> None:
    """Do what the runner's loop does until something is true."""
    end = time.monotonic() + MOST_SECONDS
    while not true():
        assert time.monotonic() < end
        db.session.rollback()
        importing.tend()
        time.sleep(0.02)


def test_a_killed_process_is_followed_by_one_that_goes_on(app: Flask) -> None:
    with app.app_context():
        alice = accounts.find_or_create("alice")
        data = json.dumps([foreign.claude(n) for n in range(MANY)]).encode()
        public_id = imports.receive(alice, "file", io.BytesIO(data).read, 10**8).public_id

        def now() -> Import:
            db.session.rollback()
            return imports.find(alice, public_id)

        importing = Importing(app.config)
        tend_until(importing, lambda: now().imported > 0)
        assert importing.pid
        os.kill(importing.pid, signal.SIGKILL)
        tend_until(importing, lambda: now().state is ImportState.DONE)
        assert (now().imported, now().attempt, now().present) == (MANY, 2, 0)
        importing.close()
        db.session.remove()


def test_a_runner_that_ends_hands_the_file_back(app: Flask) -> None:
    with app.app_context():
        alice = accounts.find_or_create("alice")
        data = json.dumps([foreign.claude(n) for n in range(COUNT)]).encode()
        public_id = imports.receive(alice, "file", io.BytesIO(data).read, 10**8).public_id
        first = Importing(app.config)
        tend_until(first, lambda: imports.find(alice, public_id).state is ImportState.RUNNING)
        first.close()
        second = Importing(app.config)
        tend_until(second, lambda: imports.find(alice, public_id).state is ImportState.DONE)
        assert imports.find(alice, public_id).imported == COUNT
        second.close()
        db.session.remove()
