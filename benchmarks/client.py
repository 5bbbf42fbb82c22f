"""A visitor who sends one request after the other on one connection and notes how long each took."""

from __future__ import annotations

import http.client
import re
import time
import urllib.parse
from dataclasses import dataclass
from http.cookies import SimpleCookie

from tests.site import Site

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


@dataclass
class Answer:
    """What came back, and after how many seconds all of it was there."""

    status: int
    body: str
    seconds: float


def port(site: Site) -> int:
    """The port that a site listens on."""
    return int(site.url.rpartition(":")[2])


class Client:
    """One visitor. `token` is the private token that their browser keeps."""

    def __init__(self, port: int, token: str = "") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._cookies = {"chatsite_visitor": token} if token else {}
        self._csrf = ""

    def get(self, path: str, htmx: bool = False) -> Answer:
        """Open an address."""
        answer = self._send("GET", path, None, HTMX if htmx else {})
        found = re.search(r'name="csrf_token" value="([^"]+)"', answer.body)
        self._csrf = found.group(1) if found else self._csrf
        return answer

    def ask(self, text: str, token: str) -> Answer:
        """Post a question that begins a conversation, as htmx does."""
        if not self._csrf:
            self.get("/")
        form = {"csrf_token": self._csrf, "text": text, "token": token, "conversation": ""}
        headers = {**HTMX, "Content-Type": "application/x-www-form-urlencoded"}
        return self._send("POST", "/messages", urllib.parse.urlencode(form), headers)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _send(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> Answer:
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        started = time.perf_counter()
        self._connection.request(method, path, body, {**headers, "Cookie": cookies})
        response = self._connection.getresponse()
        text = response.read().decode()
        seconds = time.perf_counter() - started
        for header in response.headers.get_all("Set-Cookie", []):
            self._cookies.update((name, morsel.value) for name, morsel in SimpleCookie(header).items())
        return Answer(response.status, text, seconds)
