"""A visitor who sends one request after the other on one connection and notes how long each took."""

from __future__ import annotations

import http.client
import re
import time
import urllib.parse
from dataclasses import dataclass
from http.cookies import SimpleCookie

from tests.support.served_site import ServedSite

HTMX_HEADERS = {"HX-Request": "true", "HX-Request-Type": "partial"}


@dataclass
class TimedResponse:
    """What came back, and after how many seconds all of it was there."""

    status: int
    body: str
    seconds: float
    location: str = ""


def site_port(site: ServedSite) -> int:
    """The port that a site listens on."""
    return int(site.url.rpartition(":")[2])


class Client:
    """One visitor. `csrf_token` is the private token that their browser keeps."""

    def __init__(self, port: int, token: str = "") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._cookies = {"chatsite_visitor": token} if token else {}
        self._csrf_token = ""

    def get(self, path: str, htmx: bool = False) -> TimedResponse:
        """Open an address."""
        response = self._send_request("GET", path, None, HTMX_HEADERS if htmx else {})
        match = re.search(r'name="csrf_token" value="([^"]+)"', response.body)
        self._csrf_token = match.group(1) if match else self._csrf_token
        return response

    def post_question(self, text: str, token: str) -> TimedResponse:
        """Post a question that begins a conversation, as htmx does."""
        return self.post_form("/messages", htmx=True, text=text, idempotency_key=token, conversation="")

    def post_form(self, path: str, htmx: bool = False, **form: str) -> TimedResponse:
        """Send a form."""
        if not self._csrf_token:
            self.get("/")
        headers = {**(HTMX_HEADERS if htmx else {}), "Content-Type": "application/x-www-form-urlencoded"}
        body = urllib.parse.urlencode({"csrf_token": self._csrf_token, **form})
        return self._send_request("POST", path, body, headers)

    @property
    def cookie_header(self) -> str:
        """What the browser sends back of what it was given."""
        return "; ".join(f"{name}={value}" for name, value in self._cookies.items())

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _send_request(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> TimedResponse:
        started = time.perf_counter()
        self._connection.request(method, path, body, {**headers, "Cookie": self.cookie_header})
        response = self._connection.getresponse()
        text = response.read().decode()
        seconds = time.perf_counter() - started
        for header in response.headers.get_all("Set-Cookie", []):
            self._cookies.update((name, morsel.value) for name, morsel in SimpleCookie(header).items())
        return TimedResponse(response.status, text, seconds, response.headers.get("Location") or "")
