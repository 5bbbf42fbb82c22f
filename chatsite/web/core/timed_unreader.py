"""Reading of a request in the thread that serves it, at a minimum rate."""

from __future__ import annotations

import errno
import time

from gunicorn.http.unreader import SocketUnreader

# What the worker does not collect may take so long at first, and longer by what has arrived: a form of 1 MB ends
# within a minute. Whoever sent much at once may not pause for longer than that.
BODY_GRACE_SECONDS = 10.0
MIN_BODY_BYTES_PER_SECOND = 20_000
MAX_BODY_PAUSE_SECONDS = 60.0
RECEIVE_TIMEOUT_SECONDS = 30.0


class TimedUnreader(SocketUnreader):  # type: ignore[misc]
    """Reads a request within BODY_GRACE_SECONDS, and a second more for each MIN_BODY_BYTES_PER_SECOND that arrived.

    `remaining_seconds`, never more than MAX_BODY_PAUSE_SECONDS, is how long it waits for the next bytes.

    Only the time spent waiting for the client counts. Raises ConnectionResetError when it is over.
    """

    def begin_request(self, collected: bytes) -> None:
        """Begin with what was collected of a request."""
        self.unread(collected)
        self.remaining_seconds = BODY_GRACE_SECONDS

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return the next bytes of the client."""
        if self.remaining_seconds <= 0:
            raise slow_client_error()
        usual_timeout = self.sock.gettimeout()
        started_at = time.monotonic()
        try:
            self.sock.settimeout(min(self.remaining_seconds, usual_timeout or RECEIVE_TIMEOUT_SECONDS))
            data: bytes = super().chunk(size_hint)
        except TimeoutError as error:
            raise slow_client_error() from error
        finally:
            self.remaining_seconds -= time.monotonic() - started_at
            self.sock.settimeout(usual_timeout)
        self.remaining_seconds += len(data) / MIN_BODY_BYTES_PER_SECOND
        self.remaining_seconds = min(self.remaining_seconds, MAX_BODY_PAUSE_SECONDS)
        return data


def slow_client_error() -> ConnectionResetError:
    """Return the error for a client that is too slow: to gunicorn one that has gone, which is nothing to log."""
    return ConnectionResetError(errno.ECONNRESET, "The client is too slow.")
