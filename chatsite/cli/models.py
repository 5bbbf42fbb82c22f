"""The model on this machine: fetched with a bar that shows how far it is, converted once."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, Self

from chatsite.config import ConfigError, flask_config, read_settings
from chatsite.engine import Progress
from chatsite.engine.catalogue import Entry, Folder, resolve
from chatsite.engine.weights import ensure
from chatsite.errors import ModelUnavailableError

if TYPE_CHECKING:
    from rich import progress as rich_progress

STAGES = {"fetching": "Fetching", "converting": "Converting", "loading": "Loading"}


def setup() -> None:
    """Have the weights of the model that is set on this machine; says nothing when they are there.

    Raises ConfigError for a model that does not exist, ModelUnavailableError for one that cannot be had now.
    """
    config = flask_config(read_settings())
    entry = entry_of(config["MODEL"])
    if entry.source is None or isinstance(entry.source, Folder):
        return
    # The libraries that convert draw bars of their own, which would get into the way of ours.
    os.environ.setdefault("TQDM_DISABLE", "1")
    with Bar(entry) as bar:
        ensure(entry, config["MODELS"], bar.report)


def entry_of(model: str) -> Entry:
    """The catalogue's entry for the setting MODEL. Raises ConfigError when it means nothing."""
    try:
        return resolve(model)
    except ModelUnavailableError as error:
        raise ConfigError(f"CHATSITE_MODEL={model!r} cannot be used: {error.params['reason']}") from error


class Bar:
    """A bar on stderr, drawn from the first report on."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
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
            title = f"{STAGES.get(progress.stage, progress.stage)} {self._entry.title}"
            self._task = bar.add_task(title, total=None if progress.part is None else 1.0)
        if self._task is not None and progress.part is not None:
            bar.update(self._task, completed=progress.part, total=1.0)

    def _start(self) -> rich_progress.Progress:
        from rich import progress
        from rich.console import Console

        columns = [progress.TextColumn("{task.description}"), progress.BarColumn()]
        columns += [progress.TaskProgressColumn(), progress.TimeElapsedColumn()]
        self._bar = progress.Progress(*columns, console=Console(stderr=True))
        self._bar.start()
        return self._bar

    def _finish_stage(self, bar: rich_progress.Progress) -> None:
        if self._task is not None:
            bar.update(self._task, completed=1.0, total=1.0)
