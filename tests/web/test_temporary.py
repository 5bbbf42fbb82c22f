"""Temporary conversations over HTTP: how one begins, where it is not, how it ends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from flask import Flask
from sqlalchemy import select

from chatsite.database import db, now
from chatsite.models import Conversation, User
from tests.web.conftest import Browser, message_ids


def begin(browser: Browser, text: str = "Hush now") -> str:
    """Begin a temporary conversation; returns its name."""
    response = browser.send("POST", "/messages", text=text, temporary="1")
    assert response.status_code == 303
    return response.headers["Location"].rpartition("/")[2]


def minutes_left(app: Flask) -> float:
    """How long the only conversation still lasts."""
    with app.app_context():
        end = db.session.scalars(select(Conversation.expires_at)).one()
        db.session.remove()
        return float((end - now()) / timedelta(minutes=1)) if end else float("inf")


def test_it_begins_with_a_switch_that_the_address_can_set(alice: Browser) -> None:
    assert "checked" not in alice.get("/").text.partition("temporary-switch")[2].partition(">")[0]
    assert "checked" in alice.get("/?temporary=1").text.partition('id="temporary-switch"')[2].partition(">")[0]
    name = begin(alice)
    html = alice.get(f"/conversations/{name}").text
    assert "This chat is temporary" in html
    assert f"/conversations/{name}/presence" in html
    assert f"/conversations/{name}/shares" not in html
    assert "temporary" not in alice.get(f"/conversations/{alice.start()}").text.partition("<main")[2].partition(
        'id="composer"'
    )[0].replace('id="temporary" class="temporary', "")


def test_it_is_in_no_list_and_nothing_is_done_with_it(alice: Browser) -> None:
    name = begin(alice)
    assert "Hush now" not in alice.get("/").text
    assert "Hush now" not in alice.get("/conversations").text
    for method, path in [
        ("POST", f"/conversations/{name}/shares"),
        ("PATCH", f"/conversations/{name}/title"),
        ("DELETE", f"/conversations/{name}"),
    ]:
        response = alice.send(method, path, htmx=True, lifetime="never", text="Title")
        assert response.status_code == 409, path
        assert "temporary" in response.text
    assert "Hush now" in alice.get(f"/conversations/{name}").text


def test_leaving_and_coming_back(app: Flask, alice: Browser) -> None:
    name = begin(alice)
    path = f"/conversations/{name}/presence"
    assert alice.send("POST", f"{path}?_method=DELETE").status_code == 204
    assert minutes_left(app) < 2
    assert alice.send("PUT", path, htmx=True).status_code == 204
    assert minutes_left(app) > 59
    alice.send("DELETE", path)
    alice.get(f"/conversations/{name}")
    assert minutes_left(app) < 2


def test_closed_it_is_gone_for_everybody(alice: Browser) -> None:
    name = begin(alice)
    [question, _] = message_ids(alice.get(f"/conversations/{name}").text)
    assert alice.send("POST", f"/conversations/{name}/expiry").headers["Location"] == "/?temporary=1"
    assert alice.get(f"/conversations/{name}").status_code == 404
    assert alice.get(f"/messages/{question}/text").status_code == 404
    # What is typed into a page that is still open begins another temporary one, and none that stays.
    again = alice.send("POST", "/messages", text="Still here", conversation=name, temporary="1")
    assert again.status_code == 404
    assert '<input type="hidden" name="temporary" value="1">' in again.text
    told = alice.send("PUT", f"/conversations/{name}/presence", htmx=True)
    assert told.status_code == 404
    assert "This temporary chat is over" in told.text


def test_kept_it_is_listed(alice: Browser) -> None:
    name = begin(alice)
    assert alice.send("POST", f"/conversations/{name}/expiry?_method=DELETE").status_code == 303
    assert "Hush now" in alice.get("/").text
    assert alice.send("POST", f"/conversations/{name}/expiry").status_code == 409


def test_a_draft_of_one_is_not_kept(app: Flask, alice: Browser) -> None:
    alice.start()
    alice.send("PUT", "/draft", htmx=True, text="Hush, a draft", temporary="1")
    alice.send("PUT", "/draft", htmx=True, text="An ordinary draft")
    with app.app_context():
        assert db.session.scalars(select(User.draft)).all() == ["An ordinary draft"]
        db.session.remove()


def test_only_its_owner_ends_or_keeps_it(app: Flask, alice: Browser, bob: Browser) -> None:
    name = begin(alice)
    for method, part in [("PUT", "presence"), ("DELETE", "presence"), ("DELETE", "expiry"), ("POST", "expiry")]:
        assert bob.send(method, f"/conversations/{name}/{part}").status_code == 404
    assert "Hush now" in alice.get(f"/conversations/{name}").text


def test_another_question_goes_on_with_it(alice: Browser, answer: Callable[..., None]) -> None:
    name = begin(alice)
    answer()
    assert alice.ask("More of it", name, htmx=True).status_code == 200
    assert "More of it" not in alice.get("/conversations").text
