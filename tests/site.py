"""The site as it is deployed: real gunicorn with its runner, in a process group of its own, on a free port."""

from __future__ import annotations

import http.client
import http.cookiejar
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.stores import share_assets

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 60.0


@dataclass
class Site:
    """A running site."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    instance: Path

    def children(self) -> list[psutil.Process]:
        """The processes under the master."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def runners(self) -> list[psutil.Process]:
        """The runner processes."""
        return [child for child in self.children() if _is_runner(child)]

    def workers(self) -> list[psutil.Process]:
        """The web worker processes."""
        return [child for child in self.children() if not _is_runner(child) and "gunicorn" in _command(child)]

    def ready(self) -> bool:
        """Whether a question would be answered now."""
        return self._answers("/readyz")

    def alive(self) -> bool:
        """Whether a page would be served now."""
        return self._answers("/healthz")

    def _answers(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, http.client.HTTPException, OSError):
            return False


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def _is_runner(process: psutil.Process) -> bool:
    return "chatsite.cli runner" in _command(process)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(true: object, seconds: float = PATIENCE, what: str = "It") -> None:
    """Wait until a function returns something true; fail when it does not within `seconds`."""
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not happen within {seconds:.0f} s.")
        time.sleep(0.05)


@contextmanager
def running_site(folder: Path, wait_until_ready: bool = True, **settings: str) -> Iterator[Site]:
    """Start the site with an instance in `folder` and `CHATSITE_` settings; end it, and see that nothing is left."""
    port = free_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CHATSITE_")}
    environ |= {"CHATSITE_INSTANCE": str(folder), "CHATSITE_MODEL": "scripted", "HOST": "127.0.0.1", "PORT": str(port)}
    environ |= {f"CHATSITE_{name}": value for name, value in settings.items()}
    log = folder / "site.log"
    folder.mkdir(parents=True, exist_ok=True)
    share_assets(folder)
    with log.open("ab") as output:
        command = [sys.executable, "-m", "gunicorn", "wsgi:app"]
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=output, stderr=output, start_new_session=True)
    site = Site(f"http://127.0.0.1:{port}", process, log, folder)
    try:
        if wait_until_ready:
            until(lambda: site.ready() or process.poll() is not None, what=f"The start of the site ({log})")
            assert process.poll() is None, log.read_text()[-3000:]
        yield site
    finally:
        _end(site)


def _end(site: Site) -> None:
    """End the site as an init system would; what does not end is killed."""
    left = site.children()
    if site.process.poll() is None:
        site.process.send_signal(signal.SIGTERM)
        try:
            site.process.wait(15)
        except subprocess.TimeoutExpired:
            site.process.kill()
            site.process.wait()
    for child in left:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue


@dataclass
class Visitor:
    """A visitor without JavaScript: forms, redirects and cookies."""

    url: str
    opener: urllib.request.OpenerDirector = field(init=False)
    token: str = ""

    def __post_init__(self) -> None:
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(cookies)

    def get(self, path: str, timeout: float = 10) -> str:
        """The body of a page. Raises URLError or HTTPException."""
        with self.opener.open(self.url + path, timeout=timeout) as response:
            text = str(response.read().decode())
        found = re.search(r'name="csrf_token" value="([^"]+)"', text)
        self.token = found.group(1) if found else self.token
        return text

    def ask(self, text: str, client_token: str, conversation: str = "", timeout: float = 10) -> str:
        """Post a question; returns the public id of its conversation. Raises URLError or HTTPException."""
        if not self.token:
            self.get("/")
        form = {"csrf_token": self.token, "text": text, "token": client_token, "conversation": conversation}
        body = urllib.parse.urlencode(form).encode()
        with self.opener.open(self.url + "/messages", body, timeout=timeout) as response:
            response.read()
            return str(response.url).rpartition("/conversations/")[2]

    def messages(self, conversation: str) -> list[str]:
        """The public ids of the messages of a conversation, in order."""
        return re.findall(r'<article id="message-([\w-]{16})"', self.get(f"/conversations/{conversation}"))

    def text(self, message: str) -> str:
        """The settled text of a message."""
        return self.get(f"/messages/{message}/text")
