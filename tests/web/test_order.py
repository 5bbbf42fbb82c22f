"""Keeping conversations in order: pins, the archive, tags, many at once, the trash, and Undo after each."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select

from chatsite.database import db, now, write
from chatsite.models import Conversation, Tag, User
from tests.web.conftest import HTMX, Browser, plain
from tests.web.test_access import snapshot

LISTS = ("/conversations", "/archive", "/trash", "/tags", "/library", "/")


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
    return {**HTMX, "HX-Current-URL": f"http://localhost/conversations/{conversation}", **more}


def many(app: Flask, number: int) -> None:
    """Conversations of the one user there is, a day apart; the first ten are pinned."""
    with app.app_context():
        user_id = db.session.scalars(select(User.id)).one()
        with write() as session:
            for index in range(number):
                moment = now() - timedelta(days=index + 1)
                row = Conversation(user_id=user_id, title=f"Number {index}", updated_at=moment, pinned=index < 10)
                session.add(row)
        db.session.remove()


def test_without_javascript_a_change_leads_to_a_page_that_offers_undo(alice: Browser) -> None:
    name = alice.start("Mine")
    assert f"/conversations/{name}/actions" in alice.get("/").text
    assert "Pin" in plain(alice.get(f"/conversations/{name}/actions").text)
    response = alice.send("POST", f"/conversations/{name}/pin")
    assert response.status_code == 303
    page = alice.get(response.headers["Location"]).text
    assert "Pinned." in plain(page)
    assert '<li class="day">Pinned</li>' in page
    back = alice.send("POST", undo_on(page), next=f"/conversations/{name}")
    assert back.headers["Location"] == f"/conversations/{name}"
    assert '<li class="day">Pinned</li>' not in alice.get("/").text
    # What was undone is offered no more, and a second time says why.
    assert "/undos/" not in alice.get(response.headers["Location"]).text
    again = alice.send("POST", undo_on(page))
    assert again.status_code == 409
    assert "cannot be undone any more" in again.text


def test_undo_leads_to_no_other_site(alice: Browser) -> None:
    name = alice.start()
    page = alice.get(alice.send("POST", f"/conversations/{name}/pin").headers["Location"]).text
    assert alice.send("POST", undo_on(page), next="//evil.example").headers["Location"] == "/"


@pytest.mark.parametrize(
    ("method", "part", "form", "said"),
    [
        ("POST", "/pin", {}, "Pinned."),
        ("DELETE", "/pin", {}, "No longer pinned."),
        ("POST", "/archive", {}, "Archived."),
        ("DELETE", "/archive", {}, "Back in the list."),
        ("PATCH", "/title", {"text": "Other"}, "Renamed."),
        ("PUT", "/tags", {"text": "Work"}, "Tags changed."),
        ("DELETE", "", {}, "Deleted."),
    ],
)
def test_htmx_gets_the_notice_in_place_and_lists_hear_of_it(
    alice: Browser, method: str, part: str, form: dict[str, str], said: str
) -> None:
    name = alice.start("Mine")
    response = alice.send(method, f"/conversations/{name}{part}", htmx=True, **form)
    assert response.status_code == 200
    assert "listed" in response.headers["HX-Trigger"]
    assert 'hx-target=".undo-place"' in response.text
    assert f'hx-target="#announcer" hx-swap="textContent">{said}' in response.text
    undone = alice.send("POST", undo_on(response.text), htmx=True)
    assert "Undone." in undone.text
    assert "listed" in undone.headers["HX-Trigger"]
    assert titles(alice.get("/").text) == ["Mine"]


def test_the_page_of_what_is_deleted_is_left_and_undo_goes_along(alice: Browser) -> None:
    name, other = alice.start("Mine"), alice.start("Other")
    response = alice.client.delete(
        f"/conversations/{name}", data={"csrf_token": alice.token}, headers=at(name, **{"X-CSRFToken": alice.token})
    )
    address = response.headers["HX-Redirect"]
    assert address.startswith("/?undo=")
    alice.send("POST", undo_on(alice.get(address).text))
    assert titles(alice.get("/").text) == ["Other", "Mine"]
    elsewhere = alice.client.delete(
        f"/conversations/{name}", data={"csrf_token": alice.token}, headers=at(other, **{"X-CSRFToken": alice.token})
    )
    assert "HX-Redirect" not in elsewhere.headers
    assert 'hx-target="#heading"' in elsewhere.text


def test_the_trash_gives_back_and_takes_away(app: Flask, alice: Browser) -> None:
    names = [alice.start(text) for text in ("One", "Two", "Three")]
    for name in names:
        alice.send("DELETE", f"/conversations/{name}")
        assert alice.get(f"/conversations/{name}").status_code == 404
        assert alice.send("POST", f"/conversations/{name}/pin").status_code == 404
    page = plain(alice.get("/trash").text)
    assert page.index("Three") < page.index("Two") < page.index("One")
    assert "Goes in 30 days" in page
    alice.send("PATCH", f"/trash/{names[0]}")
    assert titles(alice.get("/").text) == ["One"]
    assert alice.send("DELETE", f"/trash/{names[1]}").headers["Location"] == "/trash"
    assert "Two" not in alice.get("/trash").text
    assert "Deleted for good." in alice.send("DELETE", "/trash", htmx=True).text
    assert "The trash is empty." in alice.get("/trash").text
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(Conversation)) == 1


def test_lists_show_nothing_of_others(alice: Browser, bob: Browser, browser: Callable[[], Browser]) -> None:
    charlie = browser()
    kept, archived, deleted = (alice.start(f"Secret {number}") for number in range(3))
    alice.send("PUT", f"/conversations/{kept}/tags", text="Secret tag")
    alice.send("POST", f"/conversations/{archived}/archive")
    alice.send("DELETE", f"/conversations/{deleted}")
    tag = re.findall(r"tag=([\w-]{16})", alice.get("/tags").text)[0]
    for path in LISTS:
        for person in (bob, charlie):
            response = person.get(path)
            assert response.status_code == 200
            assert "Secret" not in response.text
    assert all("Secret" in alice.get(path).text for path in LISTS)
    for person in (bob, charlie):
        assert person.get(f"/conversations?tag={tag}").status_code == 404


def test_nobody_changes_what_is_others_with_a_form_that_names_no_owner(
    app: Flask, alice: Browser, bob: Browser, browser: Callable[[], Browser]
) -> None:
    kept, deleted = alice.start("Mine"), alice.start("Thrown")
    alice.send("PUT", f"/conversations/{kept}/tags", text="Mine")
    alice.send("DELETE", f"/conversations/{deleted}")
    charlie = browser()
    before = snapshot(app)
    for person, status in ((bob, 303), (charlie, 404)):
        for act in ("pin", "unpin", "archive", "delete", "untag"):
            assert person.send("POST", "/selections", act=act, chosen=kept, text="Mine").status_code == 404
        assert person.send("POST", "/selections", act="tag", chosen=kept, text="Mine").status_code == 404
        assert person.send("DELETE", "/trash").status_code == status
        assert snapshot(app) == before


def test_many_are_changed_at_once_and_undone_at_once(app: Flask, alice: Browser, answer: Callable[..., None]) -> None:
    names = []
    for number in range(4):
        names.append(alice.start(f"Talk {number}"))
        answer()
    page = alice.get("/conversations").text
    assert page.count('type="checkbox"') == 4
    assert alice.get("/conversations?all=1").text.count("checked") == 4
    data = {"csrf_token": alice.token, "act": "delete", "chosen": names[:3]}
    response = alice.client.post("/selections", data=data)
    shown = alice.get(response.headers["Location"]).text
    assert "3 conversations deleted." in plain(shown)
    assert titles(shown) == ["Talk 3"]
    alice.send("POST", undo_on(shown))
    assert len(titles(alice.get("/").text)) == 4
    data = {"csrf_token": alice.token, "act": "tag", "chosen": names, "text": "Work"}
    alice.client.post("/selections", data=data)
    with app.app_context():
        tag = db.session.scalars(select(Tag)).one().public_id
    assert alice.get(f"/conversations?tag={tag}").text.count('type="checkbox"') == 4
    data = {"csrf_token": alice.token, "act": "untag", "chosen": names[:1], "text": "work"}
    alice.client.post("/selections", data=data)
    assert alice.get(f"/conversations?tag={tag}").text.count('type="checkbox"') == 3


@pytest.mark.parametrize(
    ("form", "status", "sentence"),
    [
        ({"act": "pin"}, 422, "Choose at least one conversation first."),
        ({"act": "dance", "chosen": "x"}, 422, "This request could not be understood."),
        ({"act": "tag", "text": " ", "chosen": "x"}, 422, "A tag needs at least one letter."),
        ({"act": "untag", "text": "None", "chosen": "x"}, 404, "This does not exist"),
    ],
)
def test_what_cannot_be_done_to_many_is_said(alice: Browser, form: dict[str, str], status: int, sentence: str) -> None:
    alice.start()
    for htmx in (False, True):
        response = alice.send("POST", "/selections", htmx=htmx, **form)
        assert response.status_code == status
        assert sentence in response.text


def test_the_sidebar_keeps_its_rows_and_its_headings(app: Flask, alice: Browser) -> None:
    alice.start("Newest")
    many(app, 80)
    first = alice.get("/conversations", headers=HTMX).text
    assert len(titles(first)) == 30
    assert re.findall(r'<li class="day">([^<]*)<', first)[:2] == ["Pinned", "Today"]
    more = re.findall(r'hx-get="([^"]*before=[^"]*)"', first)[0].replace("&amp;", "&")
    second = alice.get(more, headers=HTMX).text
    assert len(titles(second)) == 30
    assert 'name="rows" value="60"' in second
    again = alice.get("/conversations?rows=60", headers=HTMX).text
    assert titles(again) == titles(first) + titles(second)
    assert len(titles(alice.get("/conversations?rows=9999999", headers=HTMX).text)) == 81
    # What was opened is there on the next page too, within reason.
    assert len(titles(alice.get("/conversations?rows=x", headers=HTMX).text)) == 60
    assert len(re.findall('class="row-title"', alice.get("/library").text)) == 60
    alice.client.set_cookie("chatsite_rows", "x")
    assert len(re.findall('class="row-title"', alice.get("/library").text)) == 30
    asked = alice.send("POST", "/messages", htmx=True, text="One more", rows="60").text
    assert len(titles(asked)) == 60


def test_a_page_after_pinned_ones_goes_on_under_their_heading(app: Flask, alice: Browser) -> None:
    alice.start("Newest")
    many(app, 45)
    with app.app_context():
        with write() as session:
            for row in session.scalars(select(Conversation)):
                row.pinned = True
        db.session.remove()
    first = alice.get("/conversations", headers=HTMX).text
    more = re.findall(r'hx-get="([^"]*before=[^"]*)"', first)[0].replace("&amp;", "&")
    assert '<li class="day">' not in alice.get(more, headers=HTMX).text


def test_tags_are_made_changed_and_deleted(alice: Browser) -> None:
    name = alice.start("Mine")
    alice.send("PUT", f"/conversations/{name}/tags", text="Work")
    assert "Work" in alice.get(f"/conversations/{name}").text
    assert alice.send("POST", "/tags", text="Home", color="blue").status_code == 303
    page = alice.get("/tags").text
    tag = re.findall(r'id="tag-([\w-]{16})"', page)[-1]
    assert 'class="chip tag-blue"' in page
    assert "Save" in alice.get(f"/tags/{tag}").text
    changed = alice.send("PATCH", f"/tags/{tag}", text="Leisure", color="pink")
    assert "Tag changed." in alice.get(changed.headers["Location"]).text
    gone = alice.send("DELETE", f"/tags/{tag}", htmx=True)
    assert "Tag deleted." in gone.text
    assert "Leisure" not in alice.get("/tags").text
    alice.send("POST", undo_on(gone.text))
    assert "Leisure" in alice.get("/tags").text


@pytest.mark.parametrize(
    ("form", "status"),
    [({"text": ""}, 422), ({"text": "x" * 41}, 422), ({"text": "x", "color": "beige"}, 422), ({"text": "hómé"}, 409)],
)
def test_a_tag_that_cannot_be_is_refused_with_a_sentence(alice: Browser, form: dict[str, str], status: int) -> None:
    alice.start()
    alice.send("POST", "/tags", text="Home")
    alice.send("POST", "/tags", text="Work")
    tag = re.findall(r'id="tag-([\w-]{16})"', alice.get("/tags").text)[-1]
    for htmx in (False, True):
        assert alice.send("PATCH", f"/tags/{tag}", htmx=htmx, **form).status_code == status
    if status == 422:
        assert alice.send("POST", "/tags", **form).status_code == status


def test_a_title_in_any_page_is_text(alice: Browser) -> None:
    name = alice.start("Hi")
    alice.send("PATCH", f"/conversations/{name}/title", text="<b>Bold</b>")
    alice.send("PUT", f"/conversations/{name}/tags", text='<i a="1">')
    for path in ("/", "/conversations", "/tags", f"/conversations/{name}", f"/conversations/{name}/actions"):
        assert not re.search(r"<b>Bold|<i a=", alice.get(path).text)
    alice.send("POST", f"/conversations/{name}/archive")
    assert "<b>" not in alice.get("/archive").text
    alice.send("DELETE", f"/conversations/{name}")
    assert "<b>" not in alice.get("/trash").text


def test_without_javascript_a_line_that_is_wrong_is_offered_again_with_all_that_was_chosen(alice: Browser) -> None:
    name = alice.start("Mine")
    alice.send("PUT", f"/conversations/{name}/tags", text="Work")
    tag = re.findall(r'id="tag-([\w-]{16})"', alice.get("/tags").text)[0]
    page = alice.send("PUT", f"/conversations/{name}/tags", tag=tag, text="x" * 41).text
    assert f'action="/conversations/{name}/tags?_method=PUT"' in page
    assert f'<input type="hidden" name="tag" value="{tag}">' in page
    assert f'value="{"x" * 41}"' in page
    title = alice.send("PATCH", f"/conversations/{name}/title", text="x" * 121).text
    assert f'action="/conversations/{name}/title?_method=PATCH"' in title
    assert f'value="{"x" * 121}"' in title
