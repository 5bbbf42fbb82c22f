"""Configuration of `gunicorn wsgi:app`: settings, migrations, and a runner beside the workers.

gunicorn reads this file at start and again at SIGHUP. What outlives a reload is kept on gunicorn's arbiter, `server`.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import subprocess
import sys
from types import FrameType
from typing import Any

from chatsite.addresses import read_listen_address
from chatsite.cli.language import localized_message
from chatsite.cli.start_message import start_message
from chatsite.config import ConfigError, find_database_file, read_settings
from chatsite.database_file import close_database
from chatsite.runner.supervisor import Supervisor

try:
    settings, listen_address = read_settings(), read_listen_address()
except ConfigError as error:
    print(localized_message(error), file=sys.stderr)
    sys.exit(2)

bind = [listen_address]
worker_class = "chatsite.web.core.gunicorn_worker.SlowClientWorker"
workers = settings["WORKERS"]
threads = settings["THREADS"]
# A stream holds a thread, a page only for a moment, and a connection whose request has not arrived holds none.
worker_connections = threads + 1000
FILES_BESIDES_CONNECTIONS = 600
timeout = 60
graceful_timeout = 10
keepalive = 5
preload_app = False
control_socket_disable = True
# gunicorn would let every client on this machine, and so everybody behind a proxy that passes the header on, choose the
# prefix of all addresses. `CHATSITE_BASE_PATH` and proxies that are counted as trusted do that.
forwarder_headers = ""
# The site writes its own request log; gunicorn reports problems only.
loglevel = "warning"


def on_starting(server: Any) -> None:
    """Migrate the database before anything is served; exit if that fails."""
    _raise_file_limit()
    status = _migrate_database()
    if status:
        sys.exit(status)


def when_ready(server: Any) -> None:
    """Print the address of the site, and start the runner."""
    for listener in server.LISTENERS:
        print(start_message(str(listener), settings, has_terminal=sys.stdout.isatty()), flush=True)
    server.supervisor = None
    if settings["RUNNER"] == "supervised":
        server.supervisor = Supervisor(settings["RUNNER_MAX_BACKOFF_SECONDS"])
        server.supervisor.start()
    _install_signal_handlers(server)


def on_reload(server: Any) -> None:
    """Migrate the database and restart the runner, since new code may bring migrations and is for the runner too."""
    if _migrate_database():
        server.log.error("The database could not be brought up to date; the site goes on with it as it is.")
    if server.supervisor:
        server.supervisor.restart()


def on_exit(server: Any) -> None:
    """Stop the runner when the master ends, and leave a database that is one file."""
    if getattr(server, "supervisor", None):
        server.supervisor.stop()
    if database_file := find_database_file(settings):
        close_database(database_file)


def post_fork(server: Any, worker: Any) -> None:
    """Remove our modules that the master has imported from `sys.modules`, so that SIGHUP loads all of them again."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "chatsite"]:
        del sys.modules[name]


def post_worker_init(worker: Any) -> None:
    """Give the streams access to the worker, so that they see when it should end; leave Ctrl-C to the master."""
    from wsgi import app

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    app.extensions["gunicorn_worker"] = worker
    # All connections of a proxy come from its address.
    if app.config["LIMIT_ADDRESSES"] and not app.config["TRUSTED_PROXY_COUNT"]:
        worker.max_connections_per_address = app.config["MAX_CONNECTIONS_PER_ADDRESS"]
    # Objects that exist now live as long as the worker. Collecting all of them took 60 ms, for which pages waited.
    gc.collect()
    gc.freeze()


def _raise_file_limit() -> None:
    """Allow this process and its children the files that their connections and databases need, as far as possible."""
    soft_limit, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = worker_connections + FILES_BESIDES_CONNECTIONS
    if soft_limit != resource.RLIM_INFINITY and soft_limit < needed:
        new_limit = needed if hard_limit == resource.RLIM_INFINITY else min(needed, hard_limit)
        resource.setrlimit(resource.RLIMIT_NOFILE, (new_limit, hard_limit))


def _migrate_database() -> int:
    """Migrate the database in another process, since the master opens none before its end. Returns the exit status."""
    return subprocess.run([sys.executable, "-m", "chatsite.cli", "migrate"], check=False).returncode


def _install_signal_handlers(server: Any) -> None:
    """Stop the runner together with the workers instead of after them, and treat the first Ctrl-C as SIGTERM.

    gunicorn would cut off open streams at Ctrl-C, and workers that receive it twice may hang for `graceful_timeout`.
    """
    master_pid = os.getpid()
    received_signals: list[int] = []

    def stop_runner(signal_number: int, frame: FrameType | None) -> None:
        # A worker that was just forked still has this handler, and must not stop the runner of the master.
        if os.getpid() == master_pid and server.supervisor:
            server.supervisor.request_stop()
        server.signal(
            signal.SIGTERM if signal_number == signal.SIGINT and not received_signals else signal_number, frame
        )
        received_signals.append(signal_number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, stop_runner)
