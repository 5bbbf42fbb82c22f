"""Every route there is, with every method, and with values that nobody would think of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from werkzeug.routing import BuildError, Rule

from chatsite.database import db
from chatsite.models import Status
from chatsite.services.chat import generation_leases
from chatsite.services.chat.generation_update import GenerationUpdate
from tests.conftest import close_app, make_app
from tests.support.web_fixtures import WebClient

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
FIELDS = (
    "text",
    "conversation",
    "idempotency_key",
    "parent",
    "before",
    "streaming",
    "current",
    "mode",
    "language",
    "theme",
    "enter",
    "next",
    "_method",
    "q",
)
HEADERS = (
    "Accept-Language",
    "Content-Type",
    "HX-Boosted",
    "HX-Current-URL",
    "HX-History-Restore-Request",
    "HX-Request",
    "HX-Request-Type",
    "HX-Source",
    "HX-Target",
    "If-Modified-Since",
    "Last-Event-ID",
    "Range",
)
COOKIES = ("chatsite_language", "chatsite_timezone", "chatsite_preferences", "chatsite_session")
# What the code compares with, and what has broken somebody's code before.
WORDS = (
    "true partial full retry continue es xx / //elsewhere DELETE 1.1 0 -1 % %00 ../.. nan [::1 multipart/form-data 😀 ٣"
)
USUAL = st.sampled_from([*WORDS.split(), "", "9" * 40, "a" * 9000, "\x00", "\r\n", "\u2028", "\ufeff"])
TEXT = st.one_of(USUAL, st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
LATIN = st.one_of(USUAL, st.text(max_size=50)).map(lambda text: re.sub(r"[^\x20-\xff]", "?", text))


@dataclass
class World:
    """An app with a visitor who has answers in several states; `names` are the names of all that is theirs."""

    app: Flask
    client: FlaskClient
    cookie: str
    names: list[str]

    def rules(self) -> list[Rule]:
        """Every route."""
        return sorted(self.app.url_map.iter_rules(), key=lambda rule: (rule.endpoint, rule.rule))


@pytest.fixture(scope="module")
def fuzz_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The check of the CSRF token is left out, because it would keep out nearly everything else."""
    limits = {"MAX_QUEUED_PER_USER": 1000, "LIMIT_ADDRESSES": False}
    app = make_app(tmp_path_factory.mktemp("fuzz"), WTF_CSRF_ENABLED=False, LOG_LEVEL="error", **limits)
    client = app.test_client()
    names = [
        name for status in (Status.DONE, Status.FAILED, Status.STOPPED, None) for name in _talk(app, client, status)
    ]
    visitor = WebClient(client).find_cookie("chatsite_visitor")
    assert visitor
    yield World(app, app.test_client(use_cookies=False), f"chatsite_visitor={visitor}", names)
    close_app(app)


def _talk(app: Flask, client: FlaskClient, status: Status | None) -> list[str]:
    """Begin a conversation whose answer ends like this, or is left waiting; returns the names of all of it."""
    conversation = client.post("/messages", data={"text": "Hello"}).headers["Location"].rpartition("/")[2]
    with app.app_context():
        for claim in generation_leases.claim("runner", 1, 60, max_attempts=2) if status else []:
            news = GenerationUpdate(
                claim.attempts, text="An *answer*.\n\nAnd", new_tokens=2, status=status, finish_reason="end"
            )
            generation_leases.heartbeat("runner", {claim.generation_id: news}, 60)
        db.session.remove()
    page = client.get(f"/conversations/{conversation}").text
    return [conversation, *re.findall(r'<article id="message-([\w-]{16})"', page)]


def some(names: tuple[str, ...], values: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, str]]:
    """A few of the names, each with a value."""
    return st.dictionaries(st.sampled_from(names), values, max_size=4)


@settings(
    max_examples=250,
    deadline=None,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink),
)
@given(data=st.data())
def test_random_requests_never_cause_500(fuzz_target: World, data: st.DataObject) -> None:
    rule = data.draw(st.sampled_from(fuzz_target.rules()))
    value = st.one_of(st.sampled_from(fuzz_target.names), TEXT)
    request: dict[str, Any] = {
        "path": path_of(fuzz_target.app, rule, {name: data.draw(value) for name in sorted(rule.arguments)}),
        "method": data.draw(st.sampled_from(METHODS)),
        "query_string": data.draw(some(FIELDS, value)),
        "headers": data.draw(some(HEADERS, LATIN)),
    }
    if request["method"] not in {"GET", "HEAD", "OPTIONS"}:
        request["data"] = data.draw(st.one_of(some(FIELDS, value), st.binary(max_size=200)))
    cookies = data.draw(some(COOKIES, LATIN))
    request["headers"]["Cookie"] = "; ".join(
        [fuzz_target.cookie, *(f"{name}={value}" for name, value in cookies.items())]
    )
    response = fuzz_target.client.open(**request, buffered=False)
    # Of an answer that is still being written one event is enough.
    next(iter(response.response), b"")
    response.close()
    assert response.status_code < 500 or response.status_code == 503, response.status


def path_of(app: Flask, rule: Rule, values: dict[str, str]) -> str:
    """An address under this route, or one that was meant to be."""
    try:
        return app.url_map.bind("localhost").build(rule.endpoint, values)
    except (BuildError, ValueError):
        return rule.rule


def test_site_works_after_fuzzing(fuzz_target: World) -> None:
    """What was sent may have deleted or renamed, but it broke nothing."""
    client = fuzz_target.app.test_client()
    location = client.post("/messages", data={"text": "Still there?"}).headers["Location"]
    assert "Still there?" in client.get(location).text
