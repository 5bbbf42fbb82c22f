"""Addresses of before: a bookmark, or a link that somebody shared, still leads to what it was made for."""

from __future__ import annotations

import pytest

from tests.support.web_fixtures import HTMX_HEADERS, WebClient, message_ids


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/library", "/overview"),
        ("/preferences", "/settings"),
        ("/preferences?language=es", "/settings?language=es"),
        ("/library?undo=abc", "/overview?undo=abc"),
        ("/answerer?model=scripted&preset=", "/model-picker?model=scripted&preset="),
        ("/model/status?model=scripted", "/model-status?model=scripted"),
        ("/links/a.b-c", "/terminal-links/a.b-c"),
        ("/messages/AAAAAAAAAAAAAAAA/receipt", "/messages/AAAAAAAAAAAAAAAA/prompt-report"),
    ],
)
def test_old_page_redirects_with_its_query(alice: WebClient, old: str, new: str) -> None:
    response = alice.get(old)
    assert (response.status_code, response.headers["Location"]) == (308, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("at=start", "position=start"),
        ("at=end", "position=end"),
        ("at=AAAAAAAAAAAAAAAA", "message=AAAAAAAAAAAAAAAA"),
        ("on=2026-05-01", "date=2026-05-01"),
        ("undo=x+y&on=2026-05-01", "undo=x+y&date=2026-05-01"),
    ],
)
def test_old_place_in_conversation_redirects(alice: WebClient, old: str, new: str) -> None:
    address = f"/conversations/{alice.start_conversation()}"
    response = alice.get(f"{address}?{old}")
    assert (response.status_code, response.headers["Location"]) == (308, f"{address}?{new}")


def test_shared_link_to_message_shows_it(alice: WebClient) -> None:
    address = f"/conversations/{alice.start_conversation()}"
    question, answer = message_ids(alice.get(address).text)
    page = alice.client.get(f"{address}?at={answer}", follow_redirects=True)
    assert message_ids(page.text) == [question, answer]


def test_open_page_of_before_still_gets_model_status(alice: WebClient) -> None:
    response = alice.client.get("/model/status?model=scripted", headers=HTMX_HEADERS, follow_redirects=True)
    assert 'id="model-status"' in response.text


def test_other_pages_keep_parameters_of_same_name(alice: WebClient) -> None:
    assert alice.get("/search?q=x&on=1").status_code == 200
