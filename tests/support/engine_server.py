"""The scripted engine behind OpenAI's interface, as a process of its own: `python -m tests.support.engine_server PORT`.

It is what Ray runs in each replica, without Ray: a server of models that can be killed and is back soon.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import urllib.error
import urllib.request

import uvicorn

from chatsite.engine.outbox import Outbox
from chatsite.engine.scripted import ScriptedEngine
from chatsite.engine.serving.engine_service import EngineService
from deploy.ray.http_app import create_http_app
from tests.support.served_site import REPOSITORY_ROOT, find_free_port, wait_until

MAX_CALLS = 64


class EngineServer:
    """A server that can be started, killed, and started again at the same address."""

    def __init__(self, tokens_per_second: float = 40.0) -> None:
        self._tokens_per_second = tokens_per_second
        self._process: subprocess.Popen[bytes] | None = None
        self.port = find_free_port()

    @property
    def url(self) -> str:
        """The base of the paths of OpenAI's form."""
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "tests.support.engine_server", str(self.port), str(self._tokens_per_second)]
        self._process = subprocess.Popen(command, cwd=REPOSITORY_ROOT, env=os.environ)
        wait_until(self.is_serving, what="The start of the server")

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def is_serving(self) -> bool:
        """Return whether it answers."""
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(f"{self.url}/models") as reply:
            return bool(reply.status == 200)
        return False


def serve(port: int, tokens_per_second: float) -> None:
    """Serve until the process is killed."""
    outbox: Outbox = queue.SimpleQueue()
    engine = ScriptedEngine(tokens_per_second, outbox)
    engine.load(lambda progress: None)
    service = EngineService(engine, outbox, max_calls=MAX_CALLS)
    uvicorn.run(create_http_app(lambda: service), host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    serve(int(sys.argv[1]), float(sys.argv[2]))
