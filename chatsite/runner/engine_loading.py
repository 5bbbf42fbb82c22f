"""The loading of an engine in a thread of its own, so that the runner can report the progress meanwhile."""

from __future__ import annotations

import threading

import structlog

from chatsite.engine.types import Engine, Progress
from chatsite.errors import ChatsiteError, as_error

log = structlog.get_logger()


class EngineLoad:
    """The loading of an engine, which begins at once. When `finished` is set, `error` says whether it failed."""

    def __init__(self, engine: Engine) -> None:
        self.progress = Progress("loading")
        self.error: ChatsiteError | None = None
        self.finished = threading.Event()
        self._engine = engine
        threading.Thread(target=self._load_engine, name="load", daemon=True).start()

    def _load_engine(self) -> None:
        try:
            self._engine.load(self._on_progress)
        except ChatsiteError as error:
            self.error = error
        except Exception as error:
            log.exception("load_broke")
            self.error = as_error(f"{type(error).__name__}: {error}")
        finally:
            self.finished.set()

    def _on_progress(self, progress: Progress) -> None:
        self.progress = progress
