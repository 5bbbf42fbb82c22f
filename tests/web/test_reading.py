"""Long conversations: pages above and below, links to a message, to the beginning, to a day."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import event

from chatsite.database import db
from chatsite.models import Message
from tests.web.conftest import HTMX, Browser, message_ids
from tests.web.test_versions import ids, talk

Answer = Callable[..., None]


@pytest.fixture
def long(app: Flask, alice: Browser, answer: Answer) -> tuple[str, list[str]]:
    """A conversation of 200 messages: its public id and theirs, from the beginning."""
    conversation = talk(alice, answer, "One")
    with app.app_context():
        first = db.session.scalars(db.select(Message).order_by(Message.id)).all()
        talked = first[0].conversation
        rows = []
        for number in range(198):
            above = rows[-1] if rows else first[-1]
            role = first[number % 2].role
            rows.append(Message(conversation=talked, parent_id=above.id, role=role, text=f"Number {number}"))
            db.session.add(rows[-1])
            db.session.flush()
        talked.leaf_id = rows[-1].id
        names = [row.public_id for row in [*first, *rows]]
        db.session.commit()
        db.session.remove()
    return conversation, names


def test_pages_lead_from_the_beginning_to_the_end_and_back(alice: Browser, long: tuple[str, list[str]]) -> None:
    conversation, names = long
    address = f"/conversations/{conversation}"
    begun = alice.get(f"{address}?at=start")
    assert begun.headers["Location"] == f"{address}?at={names[0]}#message-{names[0]}"
    page = alice.get(begun.headers["Location"]).text
    found = message_ids(page)
    assert found[0] == names[0]
    assert 'id="earlier"' not in page
    while 'id="later"' in page:
        page = alice.get(f"{address}?later={found[-1]}", headers=HTMX).text
        assert "<html" not in page
        found += message_ids(page)
    assert found == names
    assert f'name="after" value="{names[-1]}"' in page
    found = ids(alice, conversation)
    assert found == names[-60:]
    while found[0] != names[0]:
        found = message_ids(alice.get(f"{address}?before={found[0]}", headers=HTMX).text) + found
    assert found == names


def test_without_javascript_the_same_pages_have_links_both_ways(alice: Browser, long: tuple[str, list[str]]) -> None:
    conversation, names = long
    for query in (f"?before={names[100]}", f"?later={names[99]}", f"?at={names[100]}"):
        page = alice.get(f"/conversations/{conversation}{query}").text
        assert "<html" in page
        shown = message_ids(page)
        assert shown == names[names.index(shown[0]) : names.index(shown[-1]) + 1]
        assert f"?before={shown[0]}" in page
        assert f"?later={shown[-1]}#earlier" in page
        # A tab in the middle is not told of what comes at the end.
        assert 'name="after" value=""' in page
    assert names[100] in shown


def test_a_full_page_asks_the_database_no_more_often_than_a_short_one(
    app: Flask, alice: Browser, long: tuple[str, list[str]], answer: Answer
) -> None:
    short = talk(alice, answer, "Short")
    asked: list[str] = []
    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
    numbers = []
    for conversation in (short, long[0]):
        asked.clear()
        assert alice.get(f"/conversations/{conversation}").status_code == 200
        numbers.append(len(asked))
    assert 0 < numbers[1] <= numbers[0], numbers


def test_the_end_by_its_name_is_the_end(alice: Browser, long: tuple[str, list[str]]) -> None:
    conversation, names = long
    assert ids(alice, conversation, "?at=end") == names[-60:]


def test_a_tab_in_the_middle_is_told_nothing(alice: Browser, long: tuple[str, list[str]]) -> None:
    news = alice.get(f"/conversations/{long[0]}?after=", headers=HTMX)
    assert (news.status_code, news.text) == (204, "")


def test_a_day_leads_to_its_first_message(app: Flask, alice: Browser, long: tuple[str, list[str]]) -> None:
    conversation, names = long
    with app.app_context():
        for name, day in ((names[50], 7), (names[51], 8), (names[52], 9)):
            row = db.session.scalars(db.select(Message).where(Message.public_id == name)).one()
            # Two in the morning in Berlin, which is still the day before in Greenwich.
            row.created_at = row.created_at.replace(year=2031, month=3, day=day, hour=0 if day == 9 else 23, minute=30)
        db.session.commit()
        db.session.remove()
    alice.client.set_cookie("chatsite_timezone", "Europe/Berlin")
    for day, name in (("2031-03-08", names[50]), ("2031-03-09", names[51])):
        found = alice.get(f"/conversations/{conversation}?on={day}")
        assert found.headers["Location"].endswith(f"?at={name}#message-{name}")
    late = alice.get(f"/conversations/{conversation}?on=2040-01-01")
    assert message_ids(late.text) == names[-60:]


@pytest.mark.parametrize("day", ["yesterday", "2026-02-30", "-1", "99999-01-01", "\u0662", "0001-01-01", "9999-12-31"])
def test_a_strange_day_breaks_nothing(alice: Browser, long: tuple[str, list[str]], day: str) -> None:
    alice.client.set_cookie("chatsite_timezone", "Pacific/Kiritimati")
    found = alice.get(f"/conversations/{long[0]}?on={day}")
    assert found.status_code in {200, 303, 422}
    assert found.status_code != 422 or "This is no day." in found.text


@pytest.mark.parametrize("query", ["at", "before", "later"])
def test_a_place_in_another_conversation_is_not_found(
    alice: Browser, bob: Browser, long: tuple[str, list[str]], answer: Answer, query: str
) -> None:
    conversation, names = long
    other = ids(alice, alice.start("Other"))[0]
    assert alice.get(f"/conversations/{conversation}?{query}={other}").status_code == 404
    assert alice.get(f"/conversations/{conversation}?{query}=nothing").status_code == 404
    mine = bob.start("Mine")
    assert bob.get(f"/conversations/{mine}?{query}={names[0]}").status_code == 404


def test_the_menu_leads_to_places(alice: Browser, long: tuple[str, list[str]]) -> None:
    page = alice.get(f"/conversations/{long[0]}").text
    assert f'href="/conversations/{long[0]}?at=start"' in page
    assert '<input class="field" type="date" name="on" required>' in page
