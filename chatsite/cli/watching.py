"""Following an answer in the terminal, where Ctrl-C stops the answer and not the program."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from chatsite.cli.terminal import Answer, Terminal
from chatsite.errors import EngineError
from chatsite.models import RunnerState


class UnableError(EngineError):
    """The runner has no model to answer with; takes `reason`."""

    sentence = "%(reason)s"


def watch(terminal: Terminal, name: str) -> Iterator[Answer]:
    """An answer as it grows. The first Ctrl-C stops it; the second one only stops looking.

    Raises UnableError, with the answer stopped, when nobody will write it soon, and what `Terminal.follow` raises.
    """
    with _presses() as presses:
        heard = 0
        for answer in terminal.follow(name):
            yield answer
            reason = _hindrance(answer)
            if len(presses) > heard or reason:
                heard += 1
                terminal.stop(name)
            if reason:
                raise UnableError(reason=reason)
            if heard > 1:
                return


def _hindrance(answer: Answer) -> str | None:
    runner = answer.runner
    return runner.reason if not answer.over and runner and runner.state is RunnerState.FAILED else None


@contextmanager
def _presses() -> Iterator[list[int]]:
    """The Ctrl-C's that were pressed while the block runs.

    An exception in their place could come in the middle of a transaction.
    """
    presses: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: presses.append(number))
    try:
        yield presses
    finally:
        signal.signal(signal.SIGINT, before)
