"""A server of PostgreSQL of our own, to be killed and started again."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.support.served_site import find_free_port

BINARIES = "/usr/lib/postgresql"


class PostgresServer:
    """A server with its data in `folder`, which the account `postgres` can write, on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._binaries = max(Path(BINARIES).glob("*/bin/initdb")).parent
        self.port = find_free_port()
        self.url = f"postgresql+psycopg://chatsite@127.0.0.1:{self.port}/postgres"
        self._run("initdb", "-D", f"{folder}/data", "-U", "chatsite", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._folder}"
        self._run("pg_ctl", "-D", f"{self._folder}/data", "-l", f"{self._folder}/log", "-w", "start", "-o", options)

    def stop(self) -> None:
        """End the server at once, as a power cut would."""
        self._run("pg_ctl", "-D", f"{self._folder}/data", "-m", "immediate", "stop")

    def restart(self) -> None:
        """Kill the server, and start it again; it recovers from its log."""
        self.stop()
        self.start()
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                with psycopg.connect(self.url.replace("+psycopg", "")):
                    return
            except psycopg.OperationalError:
                time.sleep(0.1)

    def _run(self, name: str, *arguments: str) -> None:
        # The server refuses to run as root.
        prefix = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        command = [*prefix, str(self._binaries / name), *arguments]
        # Its own output would be kept open by the server.
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/tmp")


@contextmanager
def running_postgres(folder: Path) -> Iterator[PostgresServer]:
    """Run a server while the `with` block runs."""
    folder.mkdir(parents=True)
    if os.getuid() == 0:
        shutil.chown(folder, "postgres")
    server = PostgresServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
