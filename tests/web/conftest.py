"""People with browsers, and a runner that answers them when a test wants it to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from chatsite.database import db
from chatsite.engine import Residence
from chatsite.models import Status, Wish
from chatsite.services import claims, models, residences
from chatsite.services.claims import Claim, Written
from chatsite.services.residences import Seen

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


@dataclass
class Browser:
    """A browser of one person; it sends the CSRF token of the page it last saw."""

    client: FlaskClient
    token: str = ""

    def get(self, path: str, **more: object) -> TestResponse:
        """Open an address."""
        response = self.client.get(path, **more)  # type: ignore[arg-type]
        found = re.search(r'name="csrf_token" value="([^"]+)"', response.text)
        self.token = found.group(1) if found else self.token
        return response

    def send(self, method: str, path: str, htmx: bool = False, **form: str) -> TestResponse:
        """Send a form, by htmx or as a page does."""
        if not self.token:
            self.get("/")
        return self.client.open(
            path, method=method, data={"csrf_token": self.token, **form}, headers=HTMX if htmx else {}
        )

    def ask(self, text: str = "Hello", conversation: str = "", token: str = "", htmx: bool = False) -> TestResponse:
        """Post a question."""
        return self.send("POST", "/messages", htmx, text=text, conversation=conversation, token=token)

    def start(self, text: str = "Hello") -> str:
        """Begin a conversation; returns its public id."""
        response = self.ask(text)
        assert response.status_code == 303, response.text
        return response.headers["Location"].rpartition("/")[2]


@pytest.fixture
def browser(app: Flask) -> Callable[[], Browser]:
    """Makes browsers, each of another person."""
    return lambda: Browser(app.test_client())


@pytest.fixture
def alice(browser: Callable[[], Browser]) -> Browser:
    """Who owns what the test is about."""
    return browser()


@pytest.fixture
def bob(browser: Callable[[], Browser]) -> Browser:
    """Another user, who has a conversation of his own."""
    found = browser()
    found.start("Bob was here")
    return found


@pytest.fixture
def answer(app: Flask) -> Callable[..., None]:
    """Answers the oldest waiting question with a text."""

    def write(text: str = "An answer.", status: Status = Status.DONE, reason: str = "end") -> None:
        with app.app_context():
            for claim in claims.claim("runner", 100, 5, 2):
                news = claims.Written(claim.attempt, text=text, tokens=2, status=status, reason=reason)
                claims.record("runner", {claim.generation_id: news}, 5)
            db.session.remove()

    return write


@pytest.fixture
def tell(app: Flask) -> Callable[..., None]:
    """Writes down what a runner says of models, and then what their owner wishes."""

    def record(name: str, *in_memory: Residence, wish: Wish | None = None, **seen: Any) -> None:
        with app.app_context():
            if seen:
                residences.record(name, Seen(**seen))
            residences.reside(in_memory)
            if wish:
                act = models.pull if wish is Wish.PULL else models.remove
                act(models.known(app.config), name)
            db.session.remove()

    return record


def plain(html: str) -> str:
    """What is read of a piece of HTML."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html)).replace("\u202f", " ").replace("\xa0", " ")


def message_ids(html: str) -> list[str]:
    """The public ids of the messages on a page, in order."""
    return re.findall(r'<article id="message-([\w-]{16})"', html)


@pytest.fixture(autouse=True)
def _no_session_is_left(app: Flask) -> Iterator[None]:
    yield
    with app.app_context():
        db.session.remove()


@pytest.fixture
def claim(app: Flask) -> Callable[[], Claim]:
    """Takes the oldest waiting question up, as a runner does."""

    def take() -> Claim:
        with app.app_context():
            [found] = claims.claim("runner", 1, 60, 2)
            db.session.remove()
            return found

    return take


@pytest.fixture
def say(app: Flask) -> Callable[..., None]:
    """Writes at an answer, as a runner does."""

    def write(claim: Claim, text: str = "", status: Status | None = None) -> None:
        with app.app_context():
            news = Written(claim.attempt, text=text, tokens=1, status=status, reason="end")
            claims.record("runner", {claim.generation_id: news}, 60)
            db.session.remove()

    return write


@pytest.fixture
def draft(app: Flask) -> Callable[[Claim, str], None]:
    """Writes a draft of an answer, as a runner does that weighs it."""

    def write(claim: Claim, text: str) -> None:
        with app.app_context():
            news = Written(claim.attempt, text=text, tokens=1, draft=True, receipt={"options": {"beams": 10}})
            claims.record("runner", {claim.generation_id: news}, 60)
            db.session.remove()

    return write


def answer_of(alice: Browser, text: str = "Hello") -> str:
    conversation = alice.start(text)
    return message_ids(alice.get(f"/conversations/{conversation}").text)[-1]


def read(alice: Browser, name: str, last_event_id: str = "", heard: int = 0) -> Iterator[str]:
    """The events of a stream, one by one."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    response = alice.client.get(f"/messages/{name}/stream?heard={heard}", headers=headers, buffered=False)
    assert response.mimetype == "text/event-stream"
    assert response.headers["X-Accel-Buffering"] == "no"
    buffer = ""
    try:
        for part in response.response:
            buffer += part.decode() if isinstance(part, bytes) else part
            while "\n\n" in buffer:
                event, _, buffer = buffer.partition("\n\n")
                yield event
    finally:
        response.close()
