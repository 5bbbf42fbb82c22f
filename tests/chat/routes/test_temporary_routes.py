"""Temporary conversations over HTTP: how one begins, where it is not, how it ends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from flask import Flask
from sqlalchemy import select

from chatsite.database import db, utcnow
from chatsite.models import Conversation, User
from tests.support.web_fixtures import WebClient, message_ids


def begin(browser: WebClient, text: str = "Hush now") -> str:
    """Begin a temporary conversation; returns its name."""
    response = browser.send_form("POST", "/messages", text=text, temporary="1")
    assert response.status_code == 303
    return response.headers["Location"].rpartition("/")[2]


def minutes_left(app: Flask) -> float:
    """How long the only conversation still lasts."""
    with app.app_context():
        end = db.session.scalars(select(Conversation.expires_at)).one()
        db.session.remove()
        return float((end - utcnow()) / timedelta(minutes=1)) if end else float("inf")


def test_query_parameter_turns_temporary_switch_on(alice: WebClient) -> None:
    assert "checked" not in alice.get("/").text.partition("temporary-switch")[2].partition(">")[0]
    assert "checked" in alice.get("/?temporary=1").text.partition('id="temporary-switch"')[2].partition(">")[0]
    name = begin(alice)
    html = alice.get(f"/conversations/{name}").text
    assert "Temporary chat. It is erased" in html
    assert f"/conversations/{name}/presence" in html
    assert f"/conversations/{name}/shares" not in html
    assert "temporary" not in alice.get(f"/conversations/{alice.start_conversation()}").text.partition("<main")[
        2
    ].partition('id="composer"')[0].replace('id="temporary" class="temporary', "")


def test_temporary_chat_is_unlisted_and_rejects_actions(alice: WebClient) -> None:
    name = begin(alice)
    assert "Hush now" not in alice.get("/").text
    assert "Hush now" not in alice.get("/conversations").text
    for method, path in [
        ("POST", f"/conversations/{name}/shares"),
        ("PATCH", f"/conversations/{name}/title"),
        ("DELETE", f"/conversations/{name}"),
    ]:
        response = alice.send_form(method, path, htmx=True, lifetime="never", text="Title")
        assert response.status_code == 409, path
        assert "temporary" in response.text
    assert "Hush now" in alice.get(f"/conversations/{name}").text


def test_presence_sets_remaining_lifetime(app: Flask, alice: WebClient) -> None:
    name = begin(alice)
    path = f"/conversations/{name}/presence"
    assert alice.send_form("POST", f"{path}?_method=DELETE").status_code == 204
    assert minutes_left(app) < 2
    assert alice.send_form("PUT", path, htmx=True).status_code == 204
    assert minutes_left(app) > 59
    alice.send_form("DELETE", path)
    alice.get(f"/conversations/{name}")
    assert minutes_left(app) < 2


def test_closed_temporary_chat_gets_404(alice: WebClient) -> None:
    name = begin(alice)
    [question, _] = message_ids(alice.get(f"/conversations/{name}").text)
    assert alice.send_form("POST", f"/conversations/{name}/closure").headers["Location"] == "/?temporary=1"
    assert alice.get(f"/conversations/{name}").status_code == 404
    assert alice.get(f"/messages/{question}/text").status_code == 404
    # What is typed into a page that is still open begins another temporary one, and none that stays.
    again = alice.send_form("POST", "/messages", text="Still here", conversation=name, temporary="1")
    assert again.status_code == 404
    assert '<input type="hidden" name="temporary" value="1">' in again.text
    told = alice.send_form("PUT", f"/conversations/{name}/presence", htmx=True)
    assert told.status_code == 404
    assert "This temporary chat has ended" in told.text


def test_kept_temporary_chat_is_listed(alice: WebClient) -> None:
    name = begin(alice)
    assert alice.send_form("POST", f"/conversations/{name}/expiry?_method=DELETE").status_code == 303
    assert "Hush now" in alice.get("/").text
    assert alice.send_form("POST", f"/conversations/{name}/closure").status_code == 409


def test_draft_of_temporary_chat_is_not_stored(app: Flask, alice: WebClient) -> None:
    alice.start_conversation()
    alice.send_form("PUT", "/draft", htmx=True, text="Hush, a draft", temporary="1")
    alice.send_form("PUT", "/draft", htmx=True, text="An ordinary draft")
    with app.app_context():
        assert db.session.scalars(select(User.draft_text)).all() == ["An ordinary draft"]
        db.session.remove()


def test_outsider_cannot_close_or_keep_temporary_chat(app: Flask, alice: WebClient, bob: WebClient) -> None:
    name = begin(alice)
    for method, part in [("PUT", "presence"), ("DELETE", "presence"), ("DELETE", "expiry"), ("POST", "closure")]:
        assert bob.send_form(method, f"/conversations/{name}/{part}").status_code == 404
    assert "Hush now" in alice.get(f"/conversations/{name}").text


def test_second_message_stays_in_temporary_chat(alice: WebClient, finish_answers: Callable[..., None]) -> None:
    name = begin(alice)
    finish_answers()
    assert alice.post_question("More of it", name, htmx=True).status_code == 200
    assert "More of it" not in alice.get("/conversations").text
