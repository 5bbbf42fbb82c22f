"""The site as it is deployed: gunicorn with its runner, in a process group of its own, on a free port."""

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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from chatsite.config import cookie_suffix, load_secret_key
from chatsite.cookies import USER
from tests.support.asset_cache import share_assets

REPOSITORY_ROOT = Path(__file__).resolve().parents[2]
# Waiting ends as soon as its condition holds, so only a very busy machine needs this long.
TIMEOUT_SECONDS = 120.0


@dataclass
class ServedSite:
    """A running site. `process` is the master of gunicorn."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    instance: Path

    @property
    def user_cookie(self) -> str:
        """The name of the identity cookie."""
        return f"{USER}_{cookie_suffix(load_secret_key(self.instance))}"

    def list_children(self) -> list[psutil.Process]:
        """List the processes below the master."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def list_runners(self) -> list[psutil.Process]:
        """List the runner processes."""
        return [child for child in self.list_children() if _is_runner(child)]

    def list_workers(self) -> list[psutil.Process]:
        """List the web worker processes."""
        return [child for child in self.list_children() if not _is_runner(child) and "gunicorn" in _command_line(child)]

    def is_ready(self) -> bool:
        """Return whether a question would be answered now."""
        return self._responds_ok("/readyz")

    def is_alive(self) -> bool:
        """Return whether a page would be served now."""
        return self._responds_ok("/healthz")

    def _responds_ok(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(self.url + path, timeout=20) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, http.client.HTTPException, OSError):
            return False


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def _is_runner(process: psutil.Process) -> bool:
    return _command_line(process).endswith(("-m chatsite.runner", "-m chatsite.cli runner"))


def find_free_port() -> int:
    """Return a port on which no process listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: object, seconds: float = TIMEOUT_SECONDS, what: str = "It") -> None:
    """Wait until a function returns a true value. Fail if it does not within `seconds`."""
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not happen within {seconds:.0f} s.")
        time.sleep(0.05)


@contextmanager
def running_site(
    folder: Path,
    wait_until_ready: bool = True,
    *,
    host: str = "127.0.0.1",
    port: str = "",
    launcher: Sequence[str] = (),
    **settings: str,
) -> Iterator[ServedSite]:
    """Run the site with an instance in `folder` and `CHATSITE_` settings while the `with` block runs.

    `host` is the address that it listens on; it must be reachable as 127.0.0.1. `port` is a free one unless it is
    given. The site starts with the umask that most accounts have. `launcher` is a command that ends by running the
    command after it in its own place.

    At the end, stop it and check that no process is left.
    """
    port = port or str(find_free_port())
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CHATSITE_")}
    environ |= {
        "CHATSITE_INSTANCE": str(folder),
        "CHATSITE_DEFAULT_MODEL": "scripted",
        "HOST": host,
        "PORT": port,
    }
    environ |= {f"CHATSITE_{name}": value for name, value in settings.items()}
    log = folder / "site.log"
    folder.mkdir(parents=True, exist_ok=True)
    share_assets(folder)
    with log.open("ab") as output:
        command = [*launcher, sys.executable, "-m", "gunicorn", "wsgi:app"]
        process = subprocess.Popen(
            command, cwd=REPOSITORY_ROOT, env=environ, stdout=output, stderr=output, start_new_session=True, umask=0o022
        )
    base_path = settings.get("BASE_PATH", "")
    site = ServedSite(f"http://{host if host == '127.0.0.1' else 'localhost'}:{port}{base_path}", process, log, folder)
    try:
        if wait_until_ready:
            wait_until(lambda: site.is_ready() or process.poll() is not None, what=f"The start of the site ({log})")
            assert process.poll() is None, log.read_text()[-3000:]
        yield site
    finally:
        _stop_site(site)


def _stop_site(site: ServedSite) -> None:
    """Stop the site with a signal, as an init system does, and kill remaining processes."""
    children = site.list_children()
    if site.process.poll() is None:
        site.process.send_signal(signal.SIGTERM)
        try:
            site.process.wait(15)
        except subprocess.TimeoutExpired:
            site.process.kill()
            site.process.wait()
    for child in children:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue


@dataclass
class HttpVisitor:
    """A browser without JavaScript: forms, redirects and cookies."""

    url: str
    opener: urllib.request.OpenerDirector = field(init=False)
    csrf_token: str = ""

    def __post_init__(self) -> None:
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(cookies)

    def get(self, path: str, timeout: float = 60) -> str:
        """Return the body of a page. Raises URLError or HTTPException."""
        with self.opener.open(self.url + path, timeout=timeout) as response:
            text = str(response.read().decode())
        match = re.search(r'name="csrf_token" value="([^"]+)"', text)
        self.csrf_token = match.group(1) if match else self.csrf_token
        return text

    def post_question(self, text: str, idempotency_key: str, conversation: str = "", timeout: float = 60) -> str:
        """Post a question, and return the public id of its conversation. Raises URLError or HTTPException."""
        if not self.csrf_token:
            self.get("/")
        form = {
            "csrf_token": self.csrf_token,
            "text": text,
            "idempotency_key": idempotency_key,
            "conversation": conversation,
        }
        body = urllib.parse.urlencode(form).encode()
        with self.opener.open(self.url + "/messages", body, timeout=timeout) as response:
            response.read()
            return str(response.url).rpartition("/conversations/")[2]

    def post_form(self, path: str, fields: dict[str, str], timeout: float = 60) -> str:
        """Post a form, and return the page that follows. Raises URLError or HTTPException."""
        if not self.csrf_token:
            self.get("/")
        body = urllib.parse.urlencode({"csrf_token": self.csrf_token, **fields}).encode()
        with self.opener.open(self.url + path, body, timeout=timeout) as response:
            return str(response.read().decode())

    def upload_import(self, name: str, data: bytes, timeout: float = 60) -> None:
        """Upload a small file to be imported. Raises URLError or HTTPException."""
        if not self.csrf_token:
            self.get("/")
        head = "Content-Disposition: form-data; name="
        parts = (
            f'--edge\r\n{head}"csrf_token"\r\n\r\n{self.csrf_token}\r\n'
            f'--edge\r\n{head}"files"; filename="{name}"\r\n\r\n'
        )
        body = parts.encode() + data + b"\r\n--edge--\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=edge"}
        with self.opener.open(
            urllib.request.Request(self.url + "/imports", body, headers), timeout=timeout
        ) as response:
            response.read()

    def list_message_ids(self, conversation_id: str) -> list[str]:
        """List the public ids of the messages of a conversation, in order."""
        return re.findall(r'<article id="message-([\w-]{16})"', self.get(f"/conversations/{conversation_id}"))

    def get_message_text(self, message_id: str) -> str:
        """Return the text of a finished message."""
        return self.get(f"/messages/{message_id}/text")
