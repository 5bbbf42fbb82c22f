"""Throttles: how often something may be done under a key, counted for all web workers together.

The generic cell rate algorithm: a key has one time, `next_at`, at which it would be done next if it was always done at
the rate. Each time moves it by one interval, and it may be ahead of the clock by the whole window. So the window's
number is admitted at once, and after that one in each interval.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import delete, select, text

from chatsite.database import WriteSession, write_transaction
from chatsite.models import Throttle
from chatsite.services.pagination import BATCH_SIZE

# One statement, so that processes that ask at once get no more than there is. A time that is more than two windows
# ahead is from before the clock was set back, and counts for nothing; one that is a little more than a window ahead
# comes from a process that read the clock later and wrote first.
_ADMIT = text("""
INSERT INTO throttle (key, next_at) VALUES (:key, :now + :interval)
ON CONFLICT (key) DO UPDATE SET next_at =
    CASE WHEN throttle.next_at BETWEEN :now AND :now + 2 * :window THEN throttle.next_at ELSE :now END + :interval
WHERE throttle.next_at <= :now + :window - :interval OR throttle.next_at > :now + 2 * :window
RETURNING key
""")


@dataclass(frozen=True)
class Rate:
    """So many times in so many seconds."""

    count: int
    seconds: float


def admit(tx: WriteSession, key: str, rate: Rate) -> bool:
    """Count that something is done under `key`, and return whether it may be; what may not be is not counted."""
    values = {"key": key, "now": time.time(), "window": rate.seconds, "interval": rate.seconds / rate.count}
    return tx.execute(_ADMIT, values).first() is not None


def purge_past(max_keys: int = BATCH_SIZE) -> bool:
    """Delete up to `max_keys` throttles whose time is over. Returns whether there may be more."""
    with write_transaction() as tx:
        past = select(Throttle.key).where(Throttle.next_at < time.time()).order_by(Throttle.next_at).limit(max_keys)
        keys = tx.scalars(past).all()
        # Its time may have moved since; then it is kept.
        tx.execute(delete(Throttle).where(Throttle.key.in_(keys), Throttle.next_at < time.time()))
        return len(keys) == max_keys
