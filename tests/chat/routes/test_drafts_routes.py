"""What is being typed: saved by the page, shown again, and gone once it is sent."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from tests.core.test_ownership import snapshot, users
from tests.support.web_fixtures import WebClient

Answer = Callable[..., None]


def typed(page: str) -> str:
    """What stands in the box, as a browser reads it: without the first line end."""
    found = re.search(r'<textarea id="text".*?>(.*?)</textarea>', page, re.DOTALL)
    assert found
    text = html.unescape(found.group(1))
    return text[1:] if text.startswith("\n") else text


def known(page: str) -> str:
    """The edition that a page believes to be kept."""
    return re.findall(r'id="draft-version" type="hidden" name="draft_version" value="([^"]*)"', page)[0]


@pytest.mark.parametrize("text", ["Half a quest", "\n\n </textarea><b>x", "x" * 8001, "a\x07b\u202ec \U0001f600"])
def test_draft_is_restored_in_its_conversation(alice: WebClient, finish_answers: Answer, text: str) -> None:
    path = f"/conversations/{alice.start_conversation('Hello')}"
    finish_answers()
    saved = alice.send_form("PUT", f"{path}/draft", htmx=True, text=text)
    assert saved.status_code == 200
    page = alice.get(path).text
    assert typed(page) == text
    assert known(page) == known(saved.text)
    assert known(page)
    assert typed(alice.get("/").text) == ""
    alice.send_form("PUT", "/draft", htmx=True, text=f"{text} of another")
    assert typed(alice.get("/").text) == f"{text} of another"
    assert typed(alice.get("/?text=A+starter").text) == "A starter"


def test_draft_cleared_only_after_successful_send(alice: WebClient, finish_answers: Answer) -> None:
    path = f"/conversations/{alice.start_conversation('Hello')}"
    alice.send_form("PUT", f"{path}/draft", htmx=True, text="More")
    assert alice.post_question(" ", path.rpartition("/")[2]).status_code == 422
    assert typed(alice.get(path).text) == "More"
    finish_answers()
    alice.post_question("More", path.rpartition("/")[2])
    page = alice.get(path).text
    assert (typed(page), known(page)) == ("", "")
    alice.send_form("PUT", "/draft", htmx=True, text="A new one")
    alice.post_question("A new one")
    assert typed(alice.get("/").text) == ""


def test_stale_page_cannot_clear_newer_draft(alice: WebClient) -> None:
    path = f"/conversations/{alice.start_conversation('Hello')}"
    older = known(alice.get(path).text)
    alice.send_form("PUT", f"{path}/draft", htmx=True, text="Typed elsewhere")
    alice.send_form("PUT", f"{path}/draft", htmx=True, text="", draft_version=older)
    assert typed(alice.get(path).text) == "Typed elsewhere"


def test_message_from_stale_page_keeps_newer_draft(alice: WebClient, finish_answers: Answer) -> None:
    path = f"/conversations/{alice.start_conversation('Hello')}"
    finish_answers()
    older = known(alice.get(path).text)
    saved = known(alice.send_form("PUT", f"{path}/draft", htmx=True, text="Typed elsewhere").text)
    form: dict[str, Any] = {"text": "Another question", "conversation": path.rpartition("/")[2]}
    # The empty edition is that of a page that had nothing in its box.
    assert older == ""
    alice.send_form("POST", "/messages", **form, idempotency_key="t1", draft_version=older)
    assert typed(alice.get(path).text) == "Typed elsewhere"
    finish_answers()
    alice.send_form("POST", "/messages", **form, idempotency_key="t2", draft_version=saved)
    assert typed(alice.get(path).text) == ""


def test_draft_of_new_visitor_is_not_stored(app: Flask, alice: WebClient) -> None:
    alice.get("/")
    assert alice.send_form("PUT", "/draft", htmx=True, text="Hello").status_code == 204
    assert not any(snapshot(app))
    assert users(app) == []


def test_drafts_are_private_to_user(alice: WebClient, bob: WebClient) -> None:
    path = f"/conversations/{alice.start_conversation('Hello')}"
    alice.send_form("PUT", "/draft", htmx=True, text="Mine alone")
    assert bob.send_form("PUT", f"{path}/draft", htmx=True, text="Stolen").status_code == 404
    bob.send_form("PUT", "/draft", htmx=True, text="Bob's")
    assert typed(alice.get("/").text) == "Mine alone"
    assert typed(bob.get("/").text) == "Bob's"


def test_too_long_draft_is_rejected(alice: WebClient) -> None:
    path = f"/conversations/{alice.start_conversation('Hello')}"
    refused = alice.send_form("PUT", f"{path}/draft", htmx=True, text="x" * 16_001)
    assert refused.status_code == 422
    assert "too long to be saved" in refused.text
    assert refused.headers["HX-Retarget"] == "#draft-error"
    # What is too large to be read at all gets the same answer, and what is kept again takes it away.
    refused = alice.send_form("PUT", f"{path}/draft", htmx=True, text="x" * 200_000)
    assert refused.status_code == 422
    assert "too long to be saved" in refused.text
    kept = alice.send_form("PUT", f"{path}/draft", htmx=True, text="x")
    assert '<hx-partial hx-target="#draft-error" hx-swap="innerHTML"></hx-partial>' in kept.text


def test_draft_text_is_not_logged(app: Flask, alice: WebClient, capfd: pytest.CaptureFixture[str]) -> None:
    path = f"/conversations/{alice.start_conversation('Hello')}"
    alice.send_form("PUT", f"{path}/draft", htmx=True, text="sotto voce")
    said = capfd.readouterr()
    assert "sotto" not in said.out + said.err
