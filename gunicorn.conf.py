"""How `gunicorn wsgi:app` runs the site: settings, the database's migrations, a runner beside the workers.

gunicorn reads this file by itself, and once more on SIGHUP. What lives longer hangs on its arbiter.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from types import FrameType
from typing import Any

from chatsite.config import ConfigError, read_settings
from chatsite.runner.supervisor import Supervisor

try:
    settings = read_settings()
except ConfigError as error:
    print(error, file=sys.stderr)
    sys.exit(2)

host, port = os.environ.get("HOST") or "127.0.0.1", os.environ.get("PORT") or "8000"
bind = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]
worker_class = "chatsite.web.worker.Worker"
workers = settings["WORKERS"]
threads = settings["THREADS"]
# A stream holds a thread, a page only for a moment: what finds no thread at once waits its turn.
worker_connections = threads + 200
timeout = 60
graceful_timeout = 10
keepalive = 5
preload_app = False
control_socket_disable = True
# The site writes its own log of requests; gunicorn has a say when something is wrong.
loglevel = "warning"


def on_starting(server: Any) -> None:
    """Migrate before anything is served; a site that cannot do so does not start."""
    status = _migrate()
    if status:
        sys.exit(status)


def when_ready(server: Any) -> None:
    """Say where the site is, and start the runner."""
    for listener in server.LISTENERS:
        print(f"The site is at {_address(str(listener))} (Ctrl-C ends it)", flush=True)
    server.supervisor = None
    if settings["RUNNER"] == "supervised":
        server.supervisor = Supervisor(settings["RUNNER_PAUSE_SECONDS"])
        server.supervisor.start()
    _listen(server)


def on_reload(server: Any) -> None:
    """New code may bring migrations, and the runner is to run it too."""
    if _migrate():
        server.log.error("The database could not be brought up to date; the site goes on with it as it is.")
    if server.supervisor:
        server.supervisor.restart()


def on_exit(server: Any) -> None:
    """Nothing outlives the master."""
    if getattr(server, "supervisor", None):
        server.supervisor.stop()


def post_fork(server: Any, worker: Any) -> None:
    """Forget the code of ours that the master has imported, so that SIGHUP brings all of it anew."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "chatsite"]:
        del sys.modules[name]


def post_worker_init(worker: Any) -> None:
    """Let streams see when gunicorn wants the worker to end, and leave Ctrl-C to the master."""
    from wsgi import app

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    app.extensions["gunicorn_worker"] = worker
    # What is there now stays for ever. Looking through all of it for garbage took 60 ms, and pages waited for that.
    gc.collect()
    gc.freeze()


def _migrate() -> int:
    """Bring the database up to date in another process: the master opens none. Returns the exit status."""
    return subprocess.run([sys.executable, "-m", "chatsite.cli", "migrate"], check=False).returncode


def _address(listener: str) -> str:
    """The address to type into a browser on this machine."""
    return listener.replace("//0.0.0.0:", "//localhost:").replace("//[::]:", "//localhost:")


def _listen(server: Any) -> None:
    """Have the runner end while the workers do, and not after them; take the first Ctrl-C for SIGTERM.

    gunicorn would cut open streams at a Ctrl-C, and workers that hear it twice may hang for `graceful_timeout`.
    """
    master = os.getpid()
    heard: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        # A worker that was just forked still has this handler, and the runner is not its to end.
        if os.getpid() == master and server.supervisor:
            server.supervisor.end()
        server.signal(signal.SIGTERM if number == signal.SIGINT and not heard else number, frame)
        heard.append(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, end)
