"""Shares over HTTP: what whoever knows the address gets, and what nobody gets by it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask

from chatsite.database import db, utcnow
from chatsite.models import Share
from chatsite.rendering.process.byte_cache import ByteCache
from chatsite.rendering.process.renderer import MAX_CACHE_BYTES, shared_renderer
from chatsite.web.sharing import network_budgets
from tests.core.test_ownership import snapshot
from tests.support.web_fixtures import WebClient, message_ids


def share(alice: WebClient, conversation: str, lifetime: str = "never") -> str:
    """Share a conversation; returns the name of the share."""
    response = alice.send_form("POST", f"/conversations/{conversation}/shares", lifetime=lifetime)
    assert response.status_code == 303, response.text
    return response.headers["Location"].rpartition("#share-")[2]


@pytest.fixture
def alice_conversation(alice: WebClient, finish_answers: Callable[..., None]) -> str:
    """A conversation of Alice's with two questions."""
    conversation = alice.start_conversation("First question")
    finish_answers("First *answer* <script>alert(1)</script>")
    alice.post_question("Second question", conversation)
    finish_answers("Second answer")
    return conversation


@pytest.fixture
def share_id(alice: WebClient, alice_conversation: str) -> str:
    """The name of a share of it."""
    return share(alice, alice_conversation)


def test_public_share_is_readable_without_cookie(share_id: str, new_client: Callable[[], WebClient]) -> None:
    stranger = new_client()
    response = stranger.get(f"/shared/{share_id}")
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


def test_public_share_contains_no_owner_ids(alice: WebClient, share_id: str, alice_conversation: str) -> None:
    html = alice.client.application.test_client().get(f"/shared/{share_id}").text
    for name in [alice_conversation, *message_ids(alice.get(f"/conversations/{alice_conversation}").text)]:
        assert name not in html


def test_public_share_grants_no_other_access(
    app: Flask, share_id: str, alice_conversation: str, alice: WebClient, bob: WebClient
) -> None:
    """Not the stream, the receipt, the text, the versions, a rating or another branch of a message in it."""
    question, answered, *_ = message_ids(alice.get(f"/conversations/{alice_conversation}").text)
    bob.get(f"/shared/{share_id}")
    before = snapshot(app)
    tried = 0
    for rule in app.url_map.iter_rules():
        if "<public_id>" not in rule.rule or rule.rule.split("/")[1] not in {"messages", "conversations", "shares"}:
            continue
        if rule.endpoint == "old_addresses.show":
            # It only says where the page is now.
            continue
        for name in (question, answered, alice_conversation, share_id):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                response = bob.send_form(method, rule.rule.replace("<public_id>", name), text="Mine", lifetime="never")
                assert response.status_code == 404, (method, rule.rule)
                assert "First question" not in response.text
                tried += 1
    assert tried > 100
    assert snapshot(app) == before
    assert bob.post_question("Let me in", conversation=alice_conversation).status_code == 404
    assert bob.post_question("Let me in", conversation=share_id).status_code == 404
    assert (
        bob.send_form(
            "POST", f"/conversations/{bob.start_conversation()}/shares", lifetime="never", leaf=answered
        ).status_code
        == 404
    )
    assert "Let me in" not in repr(snapshot(app))


def test_requests_of_one_network_share_a_budget(
    app: Flask, share_id: str, bob: WebClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks for expensive shares again and again, or many times at once, gets them as they were written."""
    monkeypatch.setattr("chatsite.rendering.process.render_budget.EARNED_SHARE", 0.0)
    first, second = "192.0.2.1", "192.0.2.2"
    with app.test_request_context(environ_base={"REMOTE_ADDR": first}):
        budget = network_budgets.current_budget()
        assert network_budgets.current_budget() is budget
        budget.spend(budget.seconds)
    monkeypatch.setattr(shared_renderer(), "_cache", ByteCache(MAX_CACHE_BYTES))

    def read(address: str) -> str:
        return bob.client.get(f"/shared/{share_id}", environ_base={"REMOTE_ADDR": address}).text

    assert "First *answer*" in read(first)
    assert "First <em>answer</em>" in read(second)
    monkeypatch.setattr("chatsite.rendering.process.render_budget.EARNED_SHARE", 1.0)
    budget.refill(3600.0)
    assert "First <em>answer</em>" in read(first)


def test_budgets_are_kept_for_the_last_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_budgets, "MAX_NETWORKS", 2)
    budgets = network_budgets.NetworkBudgets()
    first = budgets.take("1")
    budgets.take("2")
    assert budgets.take("1") is first
    budgets.take("3")
    assert budgets.take("1") is first
    assert len(budgets._budgets) == 2


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_public_share_is_read_only(app: Flask, share_id: str, bob: WebClient, method: str) -> None:
    before = snapshot(app)
    assert bob.send_form(method, f"/shared/{share_id}", text="Mine").status_code == 405
    assert snapshot(app) == before


def test_expired_or_deleted_share_gets_404(
    app: Flask, share_id: str, alice_conversation: str, alice: WebClient, new_client: Callable[[], WebClient]
) -> None:
    stranger = new_client()
    addresses = [f"/shared/{share_id}", f"/shared/{share_id}/copies"]
    nothing = stranger.get("/shared/" + "x" * 32)
    assert nothing.status_code == 404
    assert "noindex" in nothing.headers["X-Robots-Tag"]

    def gone() -> bool:
        found = [stranger.get(address) for address in addresses]
        found.append(stranger.send_form("POST", addresses[1]))
        return all(each.status_code == 404 and "question" not in each.text for each in found)

    assert not gone()
    with app.app_context():
        row = db.session.query(Share).filter_by(public_id=share_id).one()
        row.expires_at = utcnow()
        db.session.commit()
        db.session.remove()
    assert gone()
    assert alice.send_form("PATCH", f"/shares/{share_id}", lifetime="week").status_code == 303
    assert not gone()
    alice.send_form("DELETE", f"/conversations/{alice_conversation}")
    assert gone()
    alice.send_form("DELETE", f"/trash/{alice_conversation}")
    assert gone()


def test_revoked_share_gets_404(share_id: str, alice: WebClient, new_client: Callable[[], WebClient]) -> None:
    assert alice.send_form("DELETE", f"/shares/{share_id}", htmx=True).status_code == 200
    assert new_client().get(f"/shared/{share_id}").status_code == 404
    assert alice.send_form("DELETE", f"/shares/{share_id}").status_code == 404


def test_new_visitor_can_copy_share_once(
    app: Flask, share_id: str, alice_conversation: str, alice: WebClient, new_client: Callable[[], WebClient]
) -> None:
    stranger = new_client()
    asked = stranger.get(f"/shared/{share_id}/copies")
    token = re.findall(r'name="idempotency_key" value="([^"]+)"', asked.text)[0]
    made = stranger.send_form("POST", f"/shared/{share_id}/copies", idempotency_key=token)
    assert made.status_code == 303
    assert (
        stranger.send_form("POST", f"/shared/{share_id}/copies", idempotency_key=token).headers["Location"]
        == made.headers["Location"]
    )
    mine = made.headers["Location"]
    html = stranger.get(mine).text
    assert html.count(">Second question<") == 1
    assert "signature" not in html
    assert stranger.post_question("And mine", mine.rpartition("/")[2]).status_code == 303
    assert "And mine" not in alice.get(f"/conversations/{alice_conversation}").text
    assert alice.get(mine).status_code == 404


def test_owner_updates_snapshot_and_lifetime(
    share_id: str, alice_conversation: str, alice: WebClient, finish_answers: Callable[..., None]
) -> None:
    alice.post_question("Third question", alice_conversation)
    refused = alice.send_form("PUT", f"/shares/{share_id}/snapshot", htmx=True)
    assert refused.status_code == 409
    assert "still being written" in refused.text
    finish_answers("Third answer")
    assert "Third" not in alice.get(f"/shared/{share_id}").text
    assert alice.send_form("POST", f"/shares/{share_id}/snapshot?_method=PUT").status_code == 303
    assert "Third answer" in alice.get(f"/shared/{share_id}").text
    assert "Expires" in alice.send_form("PATCH", f"/shares/{share_id}", htmx=True, lifetime="month").text
    assert alice.send_form("PATCH", f"/shares/{share_id}", lifetime="eternity").status_code == 422
    assert f"share-{share_id}" in alice.get("/shares").text
    assert f"share-{share_id}" in alice.get(f"/conversations/{alice_conversation}/shares").text
    assert alice.get(f"/shares/{share_id}").headers["Location"].endswith(f"#share-{share_id}")


def test_outsider_has_no_shares(new_client: Callable[[], WebClient], alice_conversation: str) -> None:
    stranger = new_client()
    assert "No shared links." in stranger.get("/shares").text
    assert stranger.get(f"/conversations/{alice_conversation}/shares").status_code == 404


@pytest.mark.parametrize("number", ["0", "2", "-1", "x", "9" * 30, "\u0661", ""])
def test_invalid_share_page_gets_404(share_id: str, new_client: Callable[[], WebClient], number: str) -> None:
    assert new_client().get(f"/shared/{share_id}?page={number}").status_code == 404
