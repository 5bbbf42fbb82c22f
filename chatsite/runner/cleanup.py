"""Cleanup task: deletes expired temporary chats, purged conversations, old undo records and unused users in batches.

It runs between two ticks of the loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from chatsite.services import throttles, undo
from chatsite.services.accounts.unused_users import UnusedUserCleanup
from chatsite.services.chat import temporary, title_requests
from chatsite.services.organize import trash
from chatsite.services.transfer import user_deletion

PAUSE_SECONDS = 30.0
# A task with more to delete continues soon, but leaves time for answers in between.
BUSY_PAUSE_SECONDS = 1.0

# Each task does one short write and returns whether there is more to delete.
Task = Callable[[], bool]


class Cleanup:
    """Tasks that run every PAUSE_SECONDS. A task with more to delete runs again after BUSY_PAUSE_SECONDS."""

    def __init__(self, tasks: tuple[Task, ...] | None = None) -> None:
        self._due_times = dict.fromkeys(_all_tasks() if tasks is None else tasks, 0.0)

    def poll(self, *, may_judge: bool = True) -> None:
        """Run the tasks that are due, without `may_judge` only those that go by days. Needs an app context."""
        for task, due_at in self._due_times.items():
            if time.monotonic() >= due_at and (may_judge or task not in HASTY_TASKS):
                # Set first, so that a task that fails is not repeated in every tick.
                self._due_times[task] = time.monotonic() + PAUSE_SECONDS
                if task():
                    self._due_times[task] = time.monotonic() + BUSY_PAUSE_SECONDS


# What these delete is an hour old. After the clock was set, that may be put right, and nothing is lost then.
HASTY_TASKS: tuple[Task, ...] = (temporary.delete_expired, title_requests.delete_expired)


def _all_tasks() -> tuple[Task, ...]:
    # The walk through the users knows how far it is.
    tasks: tuple[Task, ...] = (temporary.delete_expired, trash.purge_due, user_deletion.delete_due, undo.purge_old)
    return (*tasks, throttles.purge_past, title_requests.delete_expired, UnusedUserCleanup())
