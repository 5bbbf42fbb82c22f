"""Thumbs under an answer, and the word with them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.chat.routes.test_versions import ids, talk
from tests.support.web_fixtures import WebClient

Answer = Callable[..., None]


@pytest.mark.parametrize("htmx", [False, True])
def test_rating_is_shown_and_can_be_removed(alice: WebClient, finish_answers: Answer, htmx: bool) -> None:
    conversation = talk(alice, finish_answers, "One")
    reply = ids(alice, conversation)[1]
    address = f"/messages/{reply}/rating"
    assert 'aria-pressed="true"' not in alice.get(f"/conversations/{conversation}").text
    rated = alice.send_form("POST", f"{address}?_method=PUT", htmx, value="-1", note="Too <short>")
    assert rated.status_code == (200 if htmx else 303)
    page = alice.get(f"/conversations/{conversation}").text
    assert "Too &lt;short&gt;" not in page, "the note is asked for once"
    page = rated.text if htmx else page
    assert page.count('aria-pressed="true"') == 1
    assert 'aria-label="Bad answer" aria-pressed="true"' in page
    assert "Too &lt;short&gt;" in alice.get(f"/messages/{reply}/actions").text
    assert alice.send_form("POST", f"{address}?_method=DELETE", htmx).status_code == (200 if htmx else 303)
    page = alice.get(f"/conversations/{conversation}").text + alice.get(f"/messages/{reply}/actions").text
    assert 'aria-pressed="true"' not in page
    assert "Too &lt;short&gt;" not in page


def test_note_is_asked_for_where_rating_was_given(alice: WebClient, finish_answers: Answer) -> None:
    reply = ids(alice, talk(alice, finish_answers, "One"))[1]
    rate = f"/messages/{reply}/rating"
    assert 'name="note"' in alice.send_form("PUT", rate, htmx=True, value="1").text
    saved = alice.send_form("PUT", rate, htmx=True, value="1", note="Clear").text
    assert 'name="note"' not in saved
    assert "Note saved." in saved
    assert 'name="note"' not in alice.send_form("DELETE", rate, htmx=True, value="1").text


def test_prompt_report_shows_rating(alice: WebClient, finish_answers: Answer) -> None:
    conversation = talk(alice, finish_answers, "One")
    reply = ids(alice, conversation)[1]
    assert "You rated" not in alice.get(f"/messages/{reply}/prompt-report").text
    alice.send_form("PUT", f"/messages/{reply}/rating", value="1", note="Just right")
    report = alice.get(f"/messages/{reply}/prompt-report").text
    assert "You rated this answer as good." in report
    assert "Just right" in report


@pytest.mark.parametrize(("value", "note"), [("", ""), ("5", ""), ("1", "x" * 501)])
def test_invalid_rating_is_rejected(alice: WebClient, finish_answers: Answer, value: str, note: str) -> None:
    conversation = talk(alice, finish_answers, "One")
    reply = ids(alice, conversation)[1]
    refused = alice.send_form("PUT", f"/messages/{reply}/rating", htmx=True, value=value, note=note)
    assert refused.status_code == 422
    assert refused.headers["HX-Retarget"] == "find .notice-region"
