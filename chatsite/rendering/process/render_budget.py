"""What a page may cost: seconds of processor time for all of its texts together."""

from __future__ import annotations

from dataclasses import dataclass

# The part of the time of a stream that may be spent on its text: 20 ms for each of ten events in a second. A network
# may spend as much on shared pages.
EARNED_SHARE = 0.2


@dataclass
class RenderBudget:
    """The allowance of one page, stream, network or file, which all of its texts share.

    After `detailed_seconds` of work code has no colors and formulas are code, after `seconds` texts are shown as they
    were written. `max_wait_seconds` is how long the page may wait for the work on other pages, in all.
    """

    seconds: float = 2.0
    detailed_seconds: float = 1.0
    max_wait_seconds: float = 5.0

    def spend(self, seconds: float) -> None:
        """Subtract work that was done."""
        self.seconds -= seconds
        self.detailed_seconds -= seconds

    def refill(self, elapsed_seconds: float) -> None:
        """Add what a stream or a network earned since it was last seen, up to the allowance of a page."""
        full, earned = RenderBudget(), elapsed_seconds * EARNED_SHARE
        self.seconds = min(self.seconds + earned, full.seconds)
        self.detailed_seconds = min(self.detailed_seconds + earned, full.detailed_seconds)
        self.max_wait_seconds = full.max_wait_seconds

    @property
    def is_spent(self) -> bool:
        """Whether nothing more may be rendered."""
        return self.seconds <= 0 or self.max_wait_seconds <= 0


def print_budget() -> RenderBudget:
    """Return the allowance of a page that is printed, which has more messages and is sent while it is rendered."""
    return RenderBudget(seconds=10.0, detailed_seconds=6.0, max_wait_seconds=10.0)


def export_budget() -> RenderBudget:
    """Return the allowance of a file with many conversations, which nobody watches being written."""
    return RenderBudget(seconds=120.0, detailed_seconds=100.0, max_wait_seconds=120.0)


def max_step_seconds(source: str) -> float:
    """Return the processor time after which work on one block of `source` is given up.

    The slowest texts that people write, long lists and tables, take half of that on the machine of decision 0021.
    """
    return 0.25 + len(source) / 100_000
