"""Templates do not query the database: a page loads what it shows before it is rendered."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event

from chatsite.database import db
from chatsite.settings import ROOT
from tests.support.owned_urls import OWNED_MAKERS
from tests.support.web_fixtures import HTMX_HEADERS, WebClient, message_ids

TEMPLATES = str(ROOT / "templates")
# It is rendered while it is sent, so that a long conversation is never in memory as a whole
# (docs/decisions/0019-feature-folders.md). A stream sends no page.
STREAMED = {"printing.show", "streams.show"}
COLUMN_HEADERS = {**HTMX_HEADERS, "HX-Target": "div#page"}
SHEET_HEADERS = {**HTMX_HEADERS, "HX-Target": "dialog#sheet"}


def find_rendered_template() -> str:
    """Return the template that is being rendered, or an empty string."""
    frame = sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]
        if frame.f_code.co_filename.startswith(TEMPLATES):
            return str(Path(frame.f_code.co_filename).relative_to(TEMPLATES))
    return ""


@pytest.fixture
def template_queries(app: Flask) -> Iterator[list[tuple[str, str]]]:
    """The queries that templates caused: where, and the statement."""
    found: list[tuple[str, str]] = []

    def note_query(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        if place := find_rendered_template():
            found.append((place, " ".join(statement.split())[:100]))

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note_query)
    yield found
    event.remove(engine, "before_cursor_execute", note_query)


@pytest.fixture
def paths(app: Flask, alice: WebClient, finish_answers: Callable[..., None]) -> dict[str, list[str]]:
    """The addresses of all pages by their endpoints, in an account that has something of everything."""
    owned = {kind: [make(alice, finish_answers)] for kind, make in OWNED_MAKERS.items()}
    question = message_ids(alice.get(f"/conversations/{owned['conversations'][0]}").text)[0]
    alice.send_form("POST", f"/messages/{question}/versions", text="Asked in another way")
    finish_answers()
    alice.send_form("POST", "/personas", name="With a model", instructions="Be short.", model="scripted")
    owned["conversations"].append(alice.start_conversation("It is being answered"))
    owned["messages"] += message_ids(alice.get(f"/conversations/{owned['conversations'][0]}").text)
    names = {"public_id": owned, "name": {"models": ["scripted", "gpt2"]}, "token": {"shared": owned["shares"]}}
    found: dict[str, list[str]] = {}
    for rule in app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or rule.endpoint.startswith("old_addresses.") or rule.endpoint in STREAMED:
            continue
        if not rule.arguments:
            found[rule.endpoint] = [rule.rule]
        elif len(rule.arguments) == 1 and (argument := next(iter(rule.arguments))) in names:
            values = names[argument].get(rule.rule.split("/")[1], [])
            found[rule.endpoint] = [app_url(app, rule.endpoint, argument, value) for value in values]
    return found


def app_url(app: Flask, endpoint: str, argument: str, value: str) -> str:
    """Return the path of an endpoint with one argument."""
    with app.test_request_context():
        values: dict[str, Any] = {argument: value}
        return app.url_for(endpoint, **values)


def test_no_page_queries_the_database_while_it_is_rendered(
    alice: WebClient, paths: dict[str, list[str]], template_queries: list[tuple[str, str]]
) -> None:
    full_pages = set()
    for endpoint, urls in paths.items():
        for url in urls:
            for headers in ({}, HTMX_HEADERS, COLUMN_HEADERS, SHEET_HEADERS):
                response = alice.get(url, headers=headers)
                if not headers and response.status_code == 200 and 'id="sidebar"' in response.text:
                    full_pages.add(endpoint)
    assert len(full_pages) > 25
    assert {"branches.show", "branches.compare", "personas.index", "conversations.show", "shares.new"} <= full_pages
    assert template_queries == []


def test_error_page_has_loaded_its_list_before(alice: WebClient, template_queries: list[tuple[str, str]]) -> None:
    alice.start_conversation("In the list")
    response = alice.get("/conversations/unknown")
    assert response.status_code == 404
    assert "In the list" in response.text
    assert template_queries == []
