"""A model that cannot be had now is asked for again, without anybody starting anything."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from chatsite.database import db
from chatsite.engine import Report
from chatsite.engine.scripted import ScriptedEngine
from chatsite.errors import ModelUnavailableError
from chatsite.models import RunnerState
from chatsite.runner import loop
from chatsite.runner.loop import Runner
from chatsite.services import runners
from tests.conftest import close, make_app
from tests.site import until


class LateEngine(ScriptedEngine):
    """An engine whose model can be had at the third try."""

    tries = 0

    def load(self, report: Report) -> None:
        """Fail twice."""
        self.tries += 1
        if self.tries < 3:
            raise ModelUnavailableError(reason="there is no network.")
        super().load(report)


def test_loading_is_tried_again_until_it_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "FIRST_RETRY_SECONDS", 0.3)
    app = make_app(tmp_path, TICK_MS=10)
    stop, states = threading.Event(), []

    def ready() -> bool:
        with app.app_context():
            found = runners.current(5.0)
            states.append((found.state, found.reason) if found else None)
            db.session.remove()
        return found is not None and found.state is RunnerState.READY

    engine = LateEngine()
    thread = threading.Thread(target=Runner(app, engine, stop).run)
    thread.start()
    try:
        until(ready, 20, "The loading")
    finally:
        stop.set()
        thread.join(10)
    close(app)
    assert engine.tries == 3
    assert (RunnerState.FAILED, "The model cannot be loaded: there is no network.") in states
