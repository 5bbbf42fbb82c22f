"""The progress of a download as a bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from flask_babel import gettext

from chatsite.engine.types import Progress
from chatsite.errors import gettext_noop

if TYPE_CHECKING:
    from rich import progress as rich_progress

STAGE_LABELS = {
    "fetching": gettext_noop("Downloading"),
    "converting": gettext_noop("Converting"),
    "loading": gettext_noop("Loading"),
}


class ProgressBar:
    """A bar on stderr, drawn from the first report on."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._bar: rich_progress.Progress | None = None
        self._task: rich_progress.TaskID | None = None
        self._stage = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar:
            self._bar.stop()

    def report_progress(self, progress: Progress) -> None:
        """Draw the progress; each stage has a line of its own."""
        bar = self._bar or self._start_bar()
        if progress.stage != self._stage:
            self._finish_stage(bar)
            self._stage = progress.stage
            title = f"{gettext(STAGE_LABELS.get(progress.stage, progress.stage))} {self._title}"
            self._task = bar.add_task(title, total=None)
        if self._task is not None and progress.done_bytes is not None and progress.total_bytes:
            bar.update(self._task, completed=progress.done_bytes, total=progress.total_bytes)

    def _start_bar(self) -> rich_progress.Progress:
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
