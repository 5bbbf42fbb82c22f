"""Users with browsers, and a runner that finishes answers when a test asks for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from chatsite.database import db
from chatsite.engine.types import ModelStatus
from chatsite.models import RequestedAction, Status
from chatsite.services.chat import generation_leases
from chatsite.services.chat.generation_leases import ClaimedGeneration
from chatsite.services.chat.generation_update import GenerationUpdate
from chatsite.services.models import catalog, status
from chatsite.services.models.status import WeightsStatus

HTMX_HEADERS = {"HX-Request": "true", "HX-Request-Type": "partial"}


@dataclass
class WebClient:
    """The browser of one user. It sends the CSRF token of the last page with a form."""

    client: FlaskClient
    csrf_token: str = ""

    def get(self, path: str, **more: object) -> TestResponse:
        """Request a page."""
        response = self.client.get(path, **more)
        match = re.search(r'name="csrf_token" value="([^"]+)"', response.text)
        self.csrf_token = match.group(1) if match else self.csrf_token
        return response

    def send_form(self, method: str, path: str, htmx: bool = False, **form: str) -> TestResponse:
        """Submit a form, with htmx or as a browser does without JavaScript."""
        if not self.csrf_token:
            self.get("/")
        return self.client.open(
            path, method=method, data={"csrf_token": self.csrf_token, **form}, headers=HTMX_HEADERS if htmx else {}
        )

    def post_question(
        self, text: str = "Hello", conversation: str = "", idempotency_key: str = "", htmx: bool = False
    ) -> TestResponse:
        """Post a question."""
        return self.send_form(
            "POST", "/messages", htmx, text=text, conversation=conversation, idempotency_key=idempotency_key
        )

    def cookie_name(self, base_name: str) -> str:
        """Return the name that a cookie has on the site of this browser, without HTTPS."""
        return f"{base_name}_{self.client.application.config['COOKIE_SUFFIX']}"

    def find_cookie(self, base_name: str) -> str | None:
        """Return the value of a cookie of the site, or None."""
        cookie = self.client.get_cookie(self.cookie_name(base_name))
        return cookie.value if cookie else None

    def start_conversation(self, text: str = "Hello") -> str:
        """Start a conversation, and return its public id."""
        response = self.post_question(text)
        assert response.status_code == 303, response.text
        return response.headers["Location"].rpartition("/")[2]


@pytest.fixture
def new_client(app: Flask) -> Callable[[], WebClient]:
    """Return a function that makes browsers, each of another user."""
    return lambda: WebClient(app.test_client())


@pytest.fixture
def alice(new_client: Callable[[], WebClient]) -> WebClient:
    """Return the browser of the user that owns the things in the test."""
    return new_client()


@pytest.fixture
def bob(new_client: Callable[[], WebClient]) -> WebClient:
    """Return the browser of another user with a conversation."""
    client = new_client()
    client.start_conversation("Bob was here")
    return client


@pytest.fixture
def finish_answers(app: Flask) -> Callable[..., None]:
    """Return a function that finishes all queued answers with a text."""

    def finish_all(text: str = "An answer.", status: Status = Status.DONE, reason: str = "end") -> None:
        with app.app_context():
            for claim in generation_leases.claim("runner", 100, 5, max_attempts=2):
                update = GenerationUpdate(claim.attempts, text=text, new_tokens=2, status=status, finish_reason=reason)
                generation_leases.heartbeat("runner", {claim.generation_id: update}, 5)
            db.session.remove()

    return finish_all


@pytest.fixture
def record_model_status(app: Flask) -> Callable[..., None]:
    """Return a function that stores the download state, memory status and requested action of a model."""

    def record_all(name: str, *in_memory: ModelStatus, requested: RequestedAction | None = None, **seen: Any) -> None:
        with app.app_context():
            if seen:
                status.finish(name, WeightsStatus(**seen))
            status.save_memory_status(in_memory)
            if requested:
                request_change = (
                    catalog.request_download if requested is RequestedAction.PULL else catalog.request_removal
                )
                request_change(catalog.read_catalog_config(app.config), name)
            db.session.remove()

    return record_all


def visible_text(html: str) -> str:
    """Return the text of HTML as a reader sees it."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html)).replace("\u202f", " ").replace("\xa0", " ")


def message_ids(html: str) -> list[str]:
    """List the public ids of the messages on a page, in order."""
    return re.findall(r'<article id="message-([\w-]{16})"', html)


@pytest.fixture
def claim_next(app: Flask) -> Callable[[], ClaimedGeneration]:
    """Return a function that claims the oldest queued generation, as a runner does."""

    def take_claim() -> ClaimedGeneration:
        with app.app_context():
            [claimed] = generation_leases.claim("runner", 1, 60, max_attempts=2)
            db.session.remove()
            return claimed

    return take_claim


@pytest.fixture
def write_answer(app: Flask) -> Callable[..., None]:
    """Return a function that adds text to an answer, as a runner does."""

    def write_text(
        claim: ClaimedGeneration, text: str = "", status: Status | None = None, *, reasoning: str = ""
    ) -> None:
        with app.app_context():
            update = GenerationUpdate(claim.attempts, text=text, new_tokens=1, status=status, finish_reason="end")
            update.reasoning, update.reasoning_tokens = reasoning, len(reasoning.split())
            update.new_tokens += update.reasoning_tokens
            generation_leases.heartbeat("runner", {claim.generation_id: update}, 60)
            db.session.remove()

    return write_text


@pytest.fixture
def write_provisional(app: Flask) -> Callable[[ClaimedGeneration, str], None]:
    """Return a function that stores provisional text, as a runner does in a beam search."""

    def write_text(claim: ClaimedGeneration, text: str) -> None:
        with app.app_context():
            update = GenerationUpdate(
                claim.attempts, text=text, new_tokens=1, is_provisional=True, prompt_report={"options": {"beams": 10}}
            )
            generation_leases.heartbeat("runner", {claim.generation_id: update}, 60)
            db.session.remove()

    return write_text


def create_answer(alice: WebClient, text: str = "Hello") -> str:
    conversation = alice.start_conversation(text)
    return message_ids(alice.get(f"/conversations/{conversation}").text)[-1]


def iter_stream_events(
    alice: WebClient, message_id: str, last_event_id: str = "", announced: int = 0
) -> Generator[str]:
    """Yield the events of an event stream, without the comments that keep it open while nothing happens."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    response = alice.client.get(f"/messages/{message_id}/stream?announced={announced}", headers=headers, buffered=False)
    assert response.mimetype == "text/event-stream"
    assert response.headers["X-Accel-Buffering"] == "no"
    buffer = ""
    try:
        for data in response.response:
            buffer += data.decode() if isinstance(data, bytes) else data
            while "\n\n" in buffer:
                event, _, buffer = buffer.partition("\n\n")
                if not event.startswith(":"):
                    yield event
    finally:
        response.close()
