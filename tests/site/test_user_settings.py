"""The settings page: what is stored for the user, deleting everything, and a browser that forgets whose it is."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable

import pytest
from flask import Flask

from chatsite.database import db
from chatsite.models import Conversation, User
from chatsite.services.chat import generation_leases
from chatsite.services.transfer import user_deletion
from tests.core.test_ownership import snapshot, users
from tests.support.web_fixtures import WebClient, visible_text

SECRET = "Call me Ada Lovelace."


def store_instructions(browser: WebClient, text: str = SECRET) -> None:
    """Save instructions for every chat without scripts."""
    response = browser.send_form("PUT", "/settings/instructions", instructions=text)
    assert response.headers["Location"] == "/settings?saved=instructions"


def test_looking_at_settings_stores_nothing(app: Flask, alice: WebClient) -> None:
    for path in ("/settings", "/settings/deletion", "/settings/browser"):
        assert alice.get(path).status_code == 200
    assert users(app) == []
    assert "This browser has no chats." in visible_text(alice.get("/settings/browser").text)
    assert alice.send_form("POST", "/settings/deletion", confirmed="1").status_code == 404
    assert users(app) == []


def test_instructions_are_saved_and_say_so(app: Flask, alice: WebClient, bob: WebClient) -> None:
    store_instructions(alice, f"<b>{SECRET}</b>")
    page = alice.get("/settings?saved=instructions").text
    assert f"&lt;b&gt;{SECRET}&lt;/b&gt;</textarea>" in page
    assert re.search(r'id="saved-instructions"[^>]*><svg.*?</svg>Saved</p>', page)
    assert SECRET not in bob.get("/settings").text
    saved = alice.send_form("PUT", "/settings/instructions", htmx=True, instructions=SECRET)
    assert 'hx-target="#saved-instructions"' in saved.text
    for htmx in (True, False):
        refused = alice.send_form("PUT", "/settings/instructions", htmx=htmx, instructions="i" * 1501)
        assert refused.status_code == 422
        assert "1,501 characters; the maximum is 1,500" in visible_text(refused.text)
        assert ("i" * 1501 in refused.text) is not htmx
    alice.post_question("Hello")
    with app.app_context():
        claims = generation_leases.claim("runner", 10, 5, max_attempts=2)
        found = {claim.messages[0].text: claim.instructions for claim in claims}
        assert found == {"Bob was here": (), "Hello": (SECRET,)}
        db.session.remove()


def unpack(data: bytes) -> bytes:
    """Return what a file contains, also one that is a zip archive."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return b"".join(archive.read(name) for name in archive.namelist())


def test_shares_and_exports_contain_no_instructions(
    app: Flask, alice: WebClient, bob: WebClient, finish_answers: Callable[..., None]
) -> None:
    store_instructions(alice)
    conversation = alice.start_conversation("Hello")
    finish_answers("The first.")
    made = alice.send_form("POST", f"/conversations/{conversation}/shares", lifetime="never")
    assert made.status_code == 303
    [token] = re.findall(r"/shared/([\w-]{32})", alice.get(f"/conversations/{conversation}/shares").text)[:1]
    found = [bob.get(f"/shared/{token}"), bob.send_form("POST", f"/shared/{token}/copies")]
    paths = re.findall(r'href="(/[^"]*(?:format=|\.(?:json|zip|md|html|jsonl))[^"]*)"', alice.get("/export").text)
    paths += re.findall(
        rf'href="(/conversations/{conversation}/[^"]*(?:format=|\.)[^"]*)"',
        alice.get(f"/conversations/{conversation}/export").text,
    )
    assert paths
    found += [alice.client.get(path.replace("&amp;", "&"), buffered=True) for path in paths]
    assert all(response.status_code in {200, 303} for response in found), [each.status_code for each in found]
    assert any(b"The first." in unpack(response.data) for response in found)
    assert all(SECRET.encode() not in unpack(response.data) for response in found)
    with app.app_context():
        copies = [row.instructions for row in db.session.query(Conversation)]
        assert copies == [None] * len(copies)
        db.session.remove()


def test_new_chats_begin_with_default_model_and_style(alice: WebClient) -> None:
    assert "Demo script · balanced" in visible_text(alice.get("/").text)
    assert alice.send_form("PUT", "/settings/defaults", model="", preset="creative").status_code == 303
    assert "Demo script · creative" in visible_text(alice.get("/").text)
    assert "Demo script · balanced" in visible_text(alice.get("/?model=scripted").text)
    conversation = alice.start_conversation("Hello")
    assert "Demo script · creative" in visible_text(alice.get(f"/conversations/{conversation}").text)
    assert '<option value="creative" selected>' in alice.get("/settings").text
    for model, preset, status in (("nobody", "", 409), ("", "bold", 422)):
        for htmx in (True, False):
            response = alice.send_form("PUT", "/settings/defaults", htmx=htmx, model=model, preset=preset)
            assert response.status_code == status
            assert 'class="refused"' in response.text
    assert '<option value="creative" selected>' in alice.get("/settings").text


def test_everything_is_deleted_after_a_check_mark(app: Flask, alice: WebClient, bob: WebClient) -> None:
    before = len(users(app))
    conversation = alice.start_conversation("Hello")
    store_instructions(alice)
    refused = alice.send_form("POST", "/settings/deletion")
    assert refused.status_code == 422
    assert "Tick the box first." in refused.text
    assert alice.get(f"/conversations/{conversation}").status_code == 200
    response = alice.send_form("POST", "/settings/deletion", confirmed="1")
    assert response.headers["Clear-Site-Data"] == '"storage"'
    assert "Everything was deleted." in alice.get(response.headers["Location"]).text
    assert alice.find_cookie("chatsite_visitor") is None
    assert alice.get(f"/conversations/{conversation}").status_code == 404
    with app.app_context():
        while user_deletion.delete_due():
            pass
        assert [row.instructions for row in db.session.query(User)] == [None] * before
        db.session.remove()
    assert "Bob was here" in bob.get("/").text
    alice.csrf_token = ""
    assert alice.start_conversation("Anew")


@pytest.mark.parametrize("secure", [False, True])
def test_browser_forgets_its_user(app: Flask, alice: WebClient, secure: bool) -> None:
    app.config["SECURE_COOKIES"] = secure
    base = {"base_url": "https://localhost"} if secure else {}
    if secure:
        alice.get("/", **base)
        data = {"csrf_token": alice.csrf_token, "text": "Hello"}
        headers = {"Referer": "https://localhost/"}
        assert alice.client.post("/messages", data=data, headers=headers, **base).status_code == 303
        response = alice.client.post(
            "/settings/browser", data={"csrf_token": alice.csrf_token, "confirmed": "1"}, headers=headers, **base
        )
        deleted = [header for header in response.headers.getlist("Set-Cookie") if "Max-Age=0" in header]
        assert any(header.startswith("__Host-chatsite_visitor") and "Secure" in header for header in deleted)
        return
    conversation = alice.start_conversation("Hello")
    stored = snapshot(app)
    assert alice.send_form("POST", "/settings/browser").status_code == 422
    assert alice.find_cookie("chatsite_visitor")
    response = alice.send_form("POST", "/settings/browser", confirmed="1")
    assert response.headers["Clear-Site-Data"] == '"storage"'
    assert alice.find_cookie("chatsite_visitor") is None
    assert "This browser has forgotten your chats." in alice.get(response.headers["Location"]).text
    assert alice.get(f"/conversations/{conversation}").status_code == 404
    # What is stored stays, and the next one is somebody else.
    assert snapshot(app) == stored
    alice.csrf_token = ""
    alice.start_conversation("Somebody else")
    assert len(users(app)) == 2
