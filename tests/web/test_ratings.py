"""Thumbs under an answer, and the word with them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.web.conftest import Browser
from tests.web.test_versions import ids, talk

Answer = Callable[..., None]


@pytest.mark.parametrize("htmx", [False, True])
def test_a_rating_stays_on_the_page_and_can_be_taken_back(alice: Browser, answer: Answer, htmx: bool) -> None:
    conversation = talk(alice, answer, "One")
    reply = ids(alice, conversation)[1]
    address = f"/messages/{reply}/rating"
    assert 'aria-pressed="true"' not in alice.get(f"/conversations/{conversation}").text
    rated = alice.send("POST", f"{address}?_method=PUT", htmx, value="-1", note="Too <short>")
    assert rated.status_code == (200 if htmx else 303)
    page = rated.text if htmx else alice.get(f"/conversations/{conversation}").text
    assert page.count('aria-pressed="true"') == 1
    assert 'aria-label="Bad answer" aria-pressed="true"' in page
    assert "Too &lt;short&gt;" in page
    assert alice.send("POST", f"{address}?_method=DELETE", htmx).status_code == (200 if htmx else 303)
    page = alice.get(f"/conversations/{conversation}").text
    assert 'aria-pressed="true"' not in page
    assert "Too &lt;short&gt;" not in page


def test_a_rating_is_shown_with_what_the_model_saw(alice: Browser, answer: Answer) -> None:
    conversation = talk(alice, answer, "One")
    reply = ids(alice, conversation)[1]
    assert "You rated" not in alice.get(f"/messages/{reply}/receipt").text
    alice.send("PUT", f"/messages/{reply}/rating", value="1", note="Just right")
    receipt = alice.get(f"/messages/{reply}/receipt").text
    assert "You rated this answer as good." in receipt
    assert "Just right" in receipt


@pytest.mark.parametrize(("value", "note"), [("", ""), ("5", ""), ("1", "x" * 501), ("1", "\x07")])
def test_what_is_no_rating_is_said(alice: Browser, answer: Answer, value: str, note: str) -> None:
    conversation = talk(alice, answer, "One")
    reply = ids(alice, conversation)[1]
    refused = alice.send("PUT", f"/messages/{reply}/rating", htmx=True, value=value, note=note)
    assert refused.status_code == 422
    assert refused.headers["HX-Retarget"] == "find .notice-place"
