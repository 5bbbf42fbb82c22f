"""Follow an answer in the terminal, where Ctrl-C stops the answer and not the program."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from chatsite.cli.chat_client import AnswerState, ChatClient
from chatsite.errors import ChatsiteError, EngineError
from chatsite.models import RunnerState


class RunnerFailedError(EngineError):
    """The runner has no model; takes `reason`."""

    code = "runner_unable"
    message_template = "%(reason)s"


def follow_answer(client: ChatClient, message_id: str) -> Iterator[AnswerState]:
    """Print an answer while it is written. The first Ctrl-C stops it; the second one only stops the printing.

    Raises RunnerFailedError, with the answer stopped, when nobody will write it soon, and what
    `ChatClient.follow_answer` raises.
    """
    with _collect_interrupts() as interrupts:
        stop_count = 0
        for answer in client.follow_answer(message_id):
            yield answer
            reason = _blocking_reason(answer)
            if len(interrupts) > stop_count or reason:
                stop_count += 1
                client.stop_answer(message_id)
            if reason:
                raise RunnerFailedError(reason=reason)
            if stop_count > 1:
                return


def _blocking_reason(answer: AnswerState) -> ChatsiteError | None:
    runner = answer.runner
    return runner.error if not answer.is_finished and runner and runner.state is RunnerState.FAILED else None


@contextmanager
def _collect_interrupts() -> Iterator[list[int]]:
    """Collect the times at which Ctrl-C is pressed while the block runs.

    An exception in their place could come in the middle of a transaction.
    """
    interrupts: list[int] = []
    previous_handler = signal.signal(signal.SIGINT, lambda number, _frame: interrupts.append(number))
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, previous_handler)
