"""Keeping conversations in order: pins, the archive, tags, many at once, the trash, and Undo after each."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from chatsite.database import db, utcnow, write_transaction
from chatsite.models import Conversation, Tag, User
from tests.core.test_ownership import snapshot
from tests.support.web_fixtures import HTMX_HEADERS, WebClient, visible_text

LISTS = ("/conversations", "/archive", "/trash", "/tags", "/overview", "/")


def titles(html: str) -> list[str]:
    """The rows of the sidebar."""
    return re.findall(r'class="row-title"[^>]*>([^<]*)</a>', html)


def undo_on(html: str) -> str:
    """The address that undoes the last change."""
    found = re.findall(r'action="(/undos/[\w-]+)"', html)
    assert found
    assert len(set(found)) == 1
    return found[0]


def at(conversation: str, **more: str) -> dict[str, str]:
    """What htmx sends while it shows a conversation."""
    return {**HTMX_HEADERS, "HX-Current-URL": f"http://localhost/conversations/{conversation}", **more}


def many(app: Flask, number: int) -> None:
    """Conversations of the one user there is, a day apart; the first ten are pinned."""
    with app.app_context():
        user_id = db.session.scalars(select(User.id)).one()
        with write_transaction() as session:
            for index in range(number):
                moment = utcnow() - timedelta(days=index + 1)
                row = Conversation(user_id=user_id, title=f"Number {index}", updated_at=moment, pinned=index < 10)
                session.add(row)
        db.session.remove()


def test_action_without_javascript_redirects_to_undo(alice: WebClient) -> None:
    name = alice.start_conversation("Mine")
    assert f"/conversations/{name}/actions" in alice.get("/").text
    assert "Pin" in visible_text(alice.get(f"/conversations/{name}/actions").text)
    response = alice.send_form("POST", f"/conversations/{name}/pin")
    assert response.status_code == 303
    page = alice.get(response.headers["Location"]).text
    assert "Pinned." in visible_text(page)
    assert '<li class="day"><h2>Pinned</h2></li>' in page
    back = alice.send_form("POST", undo_on(page), next=f"/conversations/{name}")
    assert back.headers["Location"] == f"/conversations/{name}"
    assert '<li class="day"><h2>Pinned</h2></li>' not in alice.get("/").text
    # What was undone is offered no more, and a second time says why.
    assert "/undos/" not in alice.get(response.headers["Location"]).text
    again = alice.send_form("POST", undo_on(page))
    assert again.status_code == 409
    assert "can no longer be undone" in again.text


def test_undo_redirects_stay_on_site(alice: WebClient) -> None:
    name = alice.start_conversation()
    page = alice.get(alice.send_form("POST", f"/conversations/{name}/pin").headers["Location"]).text
    assert alice.send_form("POST", undo_on(page), next="//evil.example").headers["Location"] == "/"


@pytest.mark.parametrize(
    ("method", "part", "form", "said"),
    [
        ("POST", "/pin", {}, "Pinned."),
        ("DELETE", "/pin", {}, "Unpinned."),
        ("POST", "/archive", {}, "Archived."),
        ("DELETE", "/archive", {}, "Unarchived."),
        ("PATCH", "/title", {"text": "Other"}, "Renamed."),
        ("PUT", "/tags", {"text": "Work"}, "Tags updated."),
        ("DELETE", "", {}, "“Mine” moved to trash."),
    ],
)
def test_htmx_action_returns_toast_and_list_event(
    alice: WebClient, method: str, part: str, form: dict[str, str], said: str
) -> None:
    name = alice.start_conversation("Mine")
    response = alice.send_form(method, f"/conversations/{name}{part}", htmx=True, **form)
    assert response.status_code == 200
    assert "chat:list-changed" in response.headers["HX-Trigger"]
    assert 'hx-target=".toast-region"' in response.text
    assert f'hx-target="#announcer" hx-swap="textContent">{said}' in response.text
    undone = alice.send_form("POST", undo_on(response.text), htmx=True)
    assert (">Restored." if "trash" in said else ">Change undone.") in undone.text
    assert "chat:list-changed" in undone.headers["HX-Trigger"]
    assert titles(alice.get("/").text) == ["Mine"]


def test_deleting_open_conversation_redirects_with_undo(alice: WebClient) -> None:
    name, other = alice.start_conversation("Mine"), alice.start_conversation("Other")
    response = alice.client.delete(
        f"/conversations/{name}",
        data={"csrf_token": alice.csrf_token},
        headers=at(name, **{"X-CSRFToken": alice.csrf_token}),
    )
    address = json.loads(response.headers["HX-Location"])["path"]
    assert address.startswith("/?undo=")
    alice.send_form("POST", undo_on(alice.get(address).text))
    assert titles(alice.get("/").text) == ["Other", "Mine"]
    elsewhere = alice.client.delete(
        f"/conversations/{name}",
        data={"csrf_token": alice.csrf_token},
        headers=at(other, **{"X-CSRFToken": alice.csrf_token}),
    )
    assert "HX-Location" not in elsewhere.headers
    assert 'hx-target="#heading"' in elsewhere.text


def test_trash_restores_and_purges_conversations(app: Flask, alice: WebClient) -> None:
    names = [alice.start_conversation(text) for text in ("One", "Two", "Three")]
    for name in names:
        alice.send_form("DELETE", f"/conversations/{name}")
        assert alice.get(f"/conversations/{name}").status_code == 404
        assert alice.send_form("POST", f"/conversations/{name}/pin").status_code == 404
    page = visible_text(alice.get("/trash").text)
    assert page.index("Three") < page.index("Two") < page.index("One")
    assert "Deleted in 30 days" in page
    alice.send_form("PATCH", f"/trash/{names[0]}")
    assert titles(alice.get("/").text) == ["One"]
    assert alice.send_form("DELETE", f"/trash/{names[1]}").headers["Location"] == "/trash"
    assert "Two" not in alice.get("/trash").text
    assert "Deleted permanently." in alice.send_form("DELETE", "/trash", htmx=True).text
    assert "The trash is empty." in alice.get("/trash").text
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(Conversation)) == 1


def test_lists_show_only_own_conversations(
    alice: WebClient, bob: WebClient, new_client: Callable[[], WebClient]
) -> None:
    charlie = new_client()
    kept, archived, deleted = (alice.start_conversation(f"Secret {number}") for number in range(3))
    alice.send_form("PUT", f"/conversations/{kept}/tags", text="Secret tag")
    alice.send_form("POST", f"/conversations/{archived}/archive")
    alice.send_form("DELETE", f"/conversations/{deleted}")
    tag = re.findall(r"tag=([\w-]{16})", alice.get("/tags").text)[0]
    for path in LISTS:
        for person in (bob, charlie):
            response = person.get(path)
            assert response.status_code == 200
            assert "Secret" not in response.text
    assert all("Secret" in alice.get(path).text for path in LISTS)
    for person in (bob, charlie):
        assert person.get(f"/conversations?tag={tag}").status_code == 404


def test_outsider_cannot_change_with_bulk_actions(
    app: Flask, alice: WebClient, bob: WebClient, new_client: Callable[[], WebClient]
) -> None:
    kept, deleted = alice.start_conversation("Mine"), alice.start_conversation("Thrown")
    alice.send_form("PUT", f"/conversations/{kept}/tags", text="Mine")
    alice.send_form("DELETE", f"/conversations/{deleted}")
    charlie = new_client()
    before = snapshot(app)
    for person, status in ((bob, 303), (charlie, 404)):
        for act in ("pin", "unpin", "archive", "delete", "untag"):
            assert (
                person.send_form(
                    "POST", "/conversations/bulk-actions", operation=act, ids=kept, text="Mine"
                ).status_code
                == 404
            )
        assert (
            person.send_form("POST", "/conversations/bulk-actions", operation="tag", ids=kept, text="Mine").status_code
            == 404
        )
        assert person.send_form("DELETE", "/trash").status_code == status
        assert snapshot(app) == before


def test_bulk_actions_change_and_undo_many(app: Flask, alice: WebClient, finish_answers: Callable[..., None]) -> None:
    names = []
    for number in range(4):
        names.append(alice.start_conversation(f"Talk {number}"))
        finish_answers()
    page = alice.get("/conversations").text
    assert page.count('type="checkbox"') == 4
    assert alice.get("/conversations?all=1").text.count("checked") == 4
    data = {"csrf_token": alice.csrf_token, "operation": "delete", "ids": names[:3]}
    response = alice.client.post("/conversations/bulk-actions", data=data)
    shown = alice.get(response.headers["Location"]).text
    assert "3 chats deleted." in visible_text(shown)
    assert titles(shown) == ["Talk 3"]
    alice.send_form("POST", undo_on(shown))
    assert len(titles(alice.get("/").text)) == 4
    data = {"csrf_token": alice.csrf_token, "operation": "tag", "ids": names, "text": "Work"}
    alice.client.post("/conversations/bulk-actions", data=data)
    with app.app_context():
        tag = db.session.scalars(select(Tag)).one().public_id
    assert alice.get(f"/conversations?tag={tag}").text.count('type="checkbox"') == 4
    data = {"csrf_token": alice.csrf_token, "operation": "untag", "ids": names[:1], "text": "work"}
    alice.client.post("/conversations/bulk-actions", data=data)
    assert alice.get(f"/conversations?tag={tag}").text.count('type="checkbox"') == 3


@pytest.mark.parametrize(
    ("form", "status", "sentence"),
    [
        ({"operation": "pin"}, 422, "Select at least one chat first."),
        ({"operation": "dance", "ids": "x"}, 422, "Invalid request."),
        ({"operation": "tag", "text": " ", "ids": "x"}, 422, "A tag needs at least one letter."),
        ({"operation": "untag", "text": "None", "ids": "x"}, 404, "This does not exist"),
    ],
)
def test_invalid_bulk_action_shows_error(alice: WebClient, form: dict[str, str], status: int, sentence: str) -> None:
    alice.start_conversation()
    for htmx in (False, True):
        response = alice.send_form("POST", "/conversations/bulk-actions", htmx=htmx, **form)
        assert response.status_code == status
        assert sentence in response.text


def test_sidebar_keeps_loaded_rows_and_headings(app: Flask, alice: WebClient) -> None:
    alice.start_conversation("Newest")
    many(app, 80)
    first = alice.get("/conversations", headers=HTMX_HEADERS).text
    assert len(titles(first)) == 30
    assert re.findall(r'<li class="day"><h2>([^<]*)<', first)[:2] == ["Pinned", "Today"]
    more = re.findall(r'hx-get="([^"]*before=[^"]*)"', first)[0].replace("&amp;", "&")
    second = alice.get(more, headers=HTMX_HEADERS).text
    assert len(titles(second)) == 30
    assert 'name="rows" value="60"' in second
    again = alice.get("/conversations?rows=60", headers=HTMX_HEADERS).text
    assert titles(again) == titles(first) + titles(second)
    assert len(titles(alice.get("/conversations?rows=9999999", headers=HTMX_HEADERS).text)) == 81
    # What was opened is there on the next page too, within reason.
    assert len(titles(alice.get("/conversations?rows=x", headers=HTMX_HEADERS).text)) == 60
    assert len(re.findall('class="row-title"', alice.get("/overview").text)) == 60
    alice.client.set_cookie(alice.cookie_name("chatsite_rows"), "x")
    assert len(re.findall('class="row-title"', alice.get("/overview").text)) == 30
    asked = alice.send_form("POST", "/messages", htmx=True, text="One more", rows="60").text
    assert len(titles(asked)) == 60


def test_next_sidebar_page_does_not_repeat_pinned_heading(app: Flask, alice: WebClient) -> None:
    alice.start_conversation("Newest")
    many(app, 45)
    with app.app_context():
        with write_transaction() as session:
            for row in session.scalars(select(Conversation)):
                row.pinned = True
        db.session.remove()
    first = alice.get("/conversations", headers=HTMX_HEADERS).text
    more = re.findall(r'hx-get="([^"]*before=[^"]*)"', first)[0].replace("&amp;", "&")
    assert '<li class="day">' not in alice.get(more, headers=HTMX_HEADERS).text


def test_tag_can_be_created_edited_deleted_restored(alice: WebClient) -> None:
    name = alice.start_conversation("Mine")
    alice.send_form("PUT", f"/conversations/{name}/tags", text="Work")
    assert "Work" in alice.get(f"/conversations/{name}").text
    assert alice.send_form("POST", "/tags", text="Home", color="blue").status_code == 303
    page = alice.get("/tags").text
    tag = re.findall(r'id="tag-([\w-]{16})"', page)[-1]
    assert 'class="chip tag-blue"' in page
    assert "Save" in alice.get(f"/tags/{tag}").text
    changed = alice.send_form("PATCH", f"/tags/{tag}", text="Leisure", color="pink")
    assert "Tag updated." in alice.get(changed.headers["Location"]).text
    gone = alice.send_form("DELETE", f"/tags/{tag}", htmx=True)
    assert "Tag deleted." in gone.text
    assert "Leisure" not in alice.get("/tags").text
    alice.send_form("POST", undo_on(gone.text))
    assert "Leisure" in alice.get("/tags").text


@pytest.mark.parametrize(
    ("form", "status"),
    [({"text": ""}, 422), ({"text": "x" * 41}, 422), ({"text": "x", "color": "beige"}, 422), ({"text": "hómé"}, 409)],
)
def test_invalid_tag_is_rejected(alice: WebClient, form: dict[str, Any], status: int) -> None:
    alice.start_conversation()
    alice.send_form("POST", "/tags", text="Home")
    alice.send_form("POST", "/tags", text="Work")
    tag = re.findall(r'id="tag-([\w-]{16})"', alice.get("/tags").text)[-1]
    for htmx in (False, True):
        assert alice.send_form("PATCH", f"/tags/{tag}", htmx=htmx, **form).status_code == status
    if status == 422:
        assert alice.send_form("POST", "/tags", **form).status_code == status


def test_titles_and_tags_are_escaped_everywhere(alice: WebClient) -> None:
    name = alice.start_conversation("Hi")
    alice.send_form("PATCH", f"/conversations/{name}/title", text="<b>Bold</b>")
    alice.send_form("PUT", f"/conversations/{name}/tags", text='<i a="1">')
    for path in ("/", "/conversations", "/tags", f"/conversations/{name}", f"/conversations/{name}/actions"):
        assert not re.search(r"<b>Bold|<i a=", alice.get(path).text)
    alice.send_form("POST", f"/conversations/{name}/archive")
    assert "<b>" not in alice.get("/archive").text
    alice.send_form("DELETE", f"/conversations/{name}")
    assert "<b>" not in alice.get("/trash").text


def test_invalid_form_without_javascript_keeps_input(alice: WebClient) -> None:
    name = alice.start_conversation("Mine")
    alice.send_form("PUT", f"/conversations/{name}/tags", text="Work")
    tag = re.findall(r'id="tag-([\w-]{16})"', alice.get("/tags").text)[0]
    page = alice.send_form("PUT", f"/conversations/{name}/tags", tag=tag, text="x" * 41).text
    assert f'action="/conversations/{name}/tags?_method=PUT"' in page
    assert f'<input type="hidden" name="tag" value="{tag}">' in page
    assert f'value="{"x" * 41}"' in page
    title = alice.send_form("PATCH", f"/conversations/{name}/title", text="x" * 121).text
    assert f'action="/conversations/{name}/title?_method=PATCH"' in title
    assert f'value="{"x" * 121}"' in title
