"""gunicorn's threaded worker, with patience for slow clients that is not taken from the others.

gunicorn 27.0.1 waits up to two seconds for a client to hang up, in the thread that accepts all connections, and waits
for the rest of a request for ever. Behind a reverse proxy neither is seen; without one a handful of clients stops it.
"""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

RECEIVE_SECONDS = 30.0


class Worker(ThreadWorker):  # type: ignore[misc]
    """The worker class of the site."""

    def handle(self, conn: TConn) -> Any:
        """Serve a connection; a client may take so long for the next bytes of its request."""
        conn.init = partial(_init, conn)
        return super().handle(conn)

    def finish_request(self, conn: TConn, fs: Future[Any]) -> None:
        """Keep the connection or close it, in a thread where that takes time."""
        conn.close = partial(self._close, conn)
        super().finish_request(conn, fs)

    def _close(self, conn: TConn, graceful: bool = False) -> None:
        if graceful and self.alive:
            self.tpool.submit(TConn.close, conn, graceful=True)
        else:
            TConn.close(conn, graceful)


def _init(conn: TConn) -> None:
    TConn.init(conn)
    conn.sock.settimeout(RECEIVE_SECONDS)
