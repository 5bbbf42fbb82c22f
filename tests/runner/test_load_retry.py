"""A model that cannot be had now is asked for again, without anybody starting anything."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from chatsite.database import db
from chatsite.engine.scripted import ScriptedEngine
from chatsite.engine.types import ProgressCallback
from chatsite.errors import ModelLoadError
from chatsite.models import RunnerState
from chatsite.runner import loop
from chatsite.runner.loop import Runner
from chatsite.services.models import runners
from tests.conftest import close_app, make_app
from tests.support.served_site import wait_until


class LateEngine(ScriptedEngine):
    """An engine whose model can be had at the third try."""

    tries = 0

    def load(self, on_progress: ProgressCallback) -> None:
        """Fail twice."""
        self.tries += 1
        if self.tries < 3:
            raise ModelLoadError(reason="there is no network.")
        super().load(on_progress)


def test_model_loading_is_retried_until_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "MIN_RETRY_SECONDS", 0.3)
    app = make_app(tmp_path, TICK_MS=10)
    stop, states = threading.Event(), []

    def ready() -> bool:
        with app.app_context():
            found = runners.find_current(5.0)
            states.append((found.state, str(found.error)) if found else None)
            db.session.remove()
        return found is not None and found.state is RunnerState.READY

    engine = LateEngine()
    thread = threading.Thread(target=Runner(app, engine, stop).run)
    thread.start()
    try:
        wait_until(ready, 20, "The loading")
    finally:
        stop.set()
        thread.join(60)
    close_app(app)
    assert engine.tries == 3
    assert (RunnerState.FAILED, "Cannot load the model: there is no network.") in states
