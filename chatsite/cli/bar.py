"""How far the fetching of a model is: a bar for people, lines of JSON for a runner."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, Self

from flask_babel import gettext

from chatsite.engine import Progress
from chatsite.errors import sentence

if TYPE_CHECKING:
    from rich import progress as rich_progress

STAGES = {"fetching": sentence("Fetching"), "converting": sentence("Converting"), "loading": sentence("Loading")}
SECONDS_BETWEEN_LINES = 0.2


class Bar:
    """A bar on stderr, drawn from the first report on."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._bar: rich_progress.Progress | None = None
        self._task: rich_progress.TaskID | None = None
        self._stage = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def report(self, progress: Progress) -> None:
        """Draw how far it is; each stage has a line of its own."""
        bar = self._bar or self._start()
        if progress.stage != self._stage:
            self._finish_stage(bar)
            self._stage = progress.stage
            title = f"{gettext(STAGES.get(progress.stage, progress.stage))} {self._title}"
            self._task = bar.add_task(title, total=None)
        if self._task is not None and progress.done is not None and progress.total:
            bar.update(self._task, completed=progress.done, total=progress.total)

    def _start(self) -> rich_progress.Progress:
        from rich import progress
        from rich.console import Console

        columns = [progress.TextColumn("{task.description}"), progress.BarColumn(), progress.DownloadColumn()]
        columns += [progress.TransferSpeedColumn(), progress.TimeRemainingColumn()]
        self._bar = progress.Progress(*columns, console=Console(stderr=True))
        self._bar.start()
        return self._bar

    def _finish_stage(self, bar: rich_progress.Progress) -> None:
        if self._task is not None:
            total = bar.tasks[-1].total or 1
            bar.update(self._task, completed=total, total=total)


class Lines:
    """Lines of JSON on stdout: a few a second, and every change of stage."""

    def __init__(self) -> None:
        self._stage = ""
        self._next = 0.0

    def report(self, progress: Progress) -> None:
        """Tell how far it is, unless it was told a moment ago."""
        now, whole = time.monotonic(), progress.done is not None and progress.done == progress.total
        if progress.stage == self._stage and now < self._next and not whole:
            return
        self._stage, self._next = progress.stage, now + SECONDS_BETWEEN_LINES
        self.say(asdict(progress))

    def say(self, values: dict[str, object]) -> None:
        """Write one line now."""
        print(json.dumps(values), file=sys.stdout, flush=True)
