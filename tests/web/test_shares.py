"""Shares over HTTP: what whoever knows the address gets, and what nobody gets by it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask

from chatsite.database import db, now
from chatsite.models import Share
from tests.web.conftest import Browser, message_ids
from tests.web.test_access import snapshot


def share(alice: Browser, conversation: str, lifetime: str = "never") -> str:
    """Share a conversation; returns the name of the share."""
    response = alice.send("POST", f"/conversations/{conversation}/shares", lifetime=lifetime)
    assert response.status_code == 303, response.text
    return response.headers["Location"].rpartition("#share-")[2]


@pytest.fixture
def talk(alice: Browser, answer: Callable[..., None]) -> str:
    """A conversation of Alice's with two questions."""
    conversation = alice.start("First question")
    answer("First *answer* <script>alert(1)</script>")
    alice.ask("Second question", conversation)
    answer("Second answer")
    return conversation


@pytest.fixture
def page(alice: Browser, talk: str) -> str:
    """The name of a share of it."""
    return share(alice, talk)


def test_everybody_reads_it_and_gets_no_cookie(page: str, browser: Callable[[], Browser]) -> None:
    stranger = browser()
    response = stranger.get(f"/shared/{page}")
    assert response.status_code == 200
    assert "First question" in response.text
    assert "First <em>answer</em> &lt;script&gt;" in response.text
    assert response.headers.getlist("Set-Cookie") == []
    assert "noindex" in response.headers["X-Robots-Tag"]
    assert '<meta name="robots" content="noindex' in response.text
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control"] == "no-store"
    for nothing in ("<form", "csrf", "hx-", "composer", "sidebar"):
        assert nothing not in response.text


def test_it_names_nothing_that_leads_to_the_owners_rows(alice: Browser, page: str, talk: str) -> None:
    html = alice.client.application.test_client().get(f"/shared/{page}").text
    for name in [talk, *message_ids(alice.get(f"/conversations/{talk}").text)]:
        assert name not in html


def test_a_visitor_reaches_nothing_else_of_it(app: Flask, page: str, talk: str, alice: Browser, bob: Browser) -> None:
    """Not the stream, the receipt, the text, the versions, a rating or another branch of a message in it."""
    question, answered, *_ = message_ids(alice.get(f"/conversations/{talk}").text)
    bob.get(f"/shared/{page}")
    before = snapshot(app)
    tried = 0
    for rule in app.url_map.iter_rules():
        if "<public_id>" not in rule.rule or rule.rule.split("/")[1] not in {"messages", "conversations", "shares"}:
            continue
        for name in (question, answered, talk, page):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                response = bob.send(method, rule.rule.replace("<public_id>", name), text="Mine", lifetime="never")
                assert response.status_code == 404, (method, rule.rule)
                assert "First question" not in response.text
                tried += 1
    assert tried > 100
    assert snapshot(app) == before
    assert bob.ask("Let me in", conversation=talk).status_code == 404
    assert bob.ask("Let me in", conversation=page).status_code == 404
    assert bob.send("POST", f"/conversations/{bob.start()}/shares", lifetime="never", leaf=answered).status_code == 404
    assert "Let me in" not in repr(snapshot(app))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_can_be_written_to_it(app: Flask, page: str, bob: Browser, method: str) -> None:
    before = snapshot(app)
    assert bob.send(method, f"/shared/{page}", text="Mine").status_code == 405
    assert snapshot(app) == before


def test_what_is_over_looks_like_what_never_was(
    app: Flask, page: str, talk: str, alice: Browser, browser: Callable[[], Browser]
) -> None:
    stranger = browser()
    addresses = [f"/shared/{page}", f"/shared/{page}/copies"]
    nothing = stranger.get("/shared/" + "x" * 32)
    assert nothing.status_code == 404
    assert "noindex" in nothing.headers["X-Robots-Tag"]

    def gone() -> bool:
        found = [stranger.get(address) for address in addresses]
        found.append(stranger.send("POST", addresses[1]))
        return all(each.status_code == 404 and "question" not in each.text for each in found)

    assert not gone()
    with app.app_context():
        row = db.session.query(Share).filter_by(public_id=page).one()
        row.expires_at = now()
        db.session.commit()
        db.session.remove()
    assert gone()
    assert alice.send("PATCH", f"/shares/{page}", lifetime="week").status_code == 303
    assert not gone()
    alice.send("DELETE", f"/conversations/{talk}")
    assert gone()
    alice.send("DELETE", f"/trash/{talk}")
    assert gone()


def test_revoked_at_once(page: str, alice: Browser, browser: Callable[[], Browser]) -> None:
    assert alice.send("DELETE", f"/shares/{page}", htmx=True).status_code == 200
    assert browser().get(f"/shared/{page}").status_code == 404
    assert alice.send("DELETE", f"/shares/{page}").status_code == 404


def test_the_copy_is_the_strangers_first_write(
    app: Flask, page: str, talk: str, alice: Browser, browser: Callable[[], Browser]
) -> None:
    stranger = browser()
    asked = stranger.get(f"/shared/{page}/copies")
    token = re.findall(r'name="token" value="([^"]+)"', asked.text)[0]
    made = stranger.send("POST", f"/shared/{page}/copies", token=token)
    assert made.status_code == 303
    assert stranger.send("POST", f"/shared/{page}/copies", token=token).headers["Location"] == made.headers["Location"]
    mine = made.headers["Location"]
    html = stranger.get(mine).text
    assert html.count("Second question") == 1
    assert "receipt" not in html.replace("receipt-", "").replace("/receipts", "")
    assert stranger.ask("And mine", mine.rpartition("/")[2]).status_code == 303
    assert "And mine" not in alice.get(f"/conversations/{talk}").text
    assert alice.get(mine).status_code == 404


def test_the_owner_updates_it_and_says_how_long_it_lasts(
    page: str, talk: str, alice: Browser, answer: Callable[..., None]
) -> None:
    alice.ask("Third question", talk)
    refused = alice.send("PUT", f"/shares/{page}/snapshot", htmx=True)
    assert refused.status_code == 409
    assert "still being written" in refused.text
    answer("Third answer")
    assert "Third" not in alice.get(f"/shared/{page}").text
    assert alice.send("POST", f"/shares/{page}/snapshot?_method=PUT").status_code == 303
    assert "Third answer" in alice.get(f"/shared/{page}").text
    assert "until" in alice.send("PATCH", f"/shares/{page}", htmx=True, lifetime="month").text
    assert alice.send("PATCH", f"/shares/{page}", lifetime="eternity").status_code == 422
    assert f"share-{page}" in alice.get("/shares").text
    assert f"share-{page}" in alice.get(f"/conversations/{talk}/shares").text
    assert alice.get(f"/shares/{page}").headers["Location"].endswith(f"#share-{page}")


def test_a_stranger_shares_nothing(browser: Callable[[], Browser], talk: str) -> None:
    stranger = browser()
    assert "You share nothing." in stranger.get("/shares").text
    assert stranger.get(f"/conversations/{talk}/shares").status_code == 404


@pytest.mark.parametrize("number", ["0", "2", "-1", "x", "9" * 30, "\u0661", ""])
def test_a_page_that_is_not_there_is_not_found(page: str, browser: Callable[[], Browser], number: str) -> None:
    assert browser().get(f"/shared/{page}?page={number}").status_code == 404
