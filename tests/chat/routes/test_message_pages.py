"""Long conversations: pages above and below, links to a message, to the beginning, to a day."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import event

from chatsite.database import db
from chatsite.models import Message
from tests.chat.routes.test_versions import ids, talk
from tests.support.web_fixtures import HTMX_HEADERS, WebClient, message_ids

Answer = Callable[..., None]


@pytest.fixture
def long_conversation(app: Flask, alice: WebClient, finish_answers: Answer) -> tuple[str, list[str]]:
    """A conversation of 200 messages: its public id and theirs, from the beginning."""
    conversation = talk(alice, finish_answers, "One")
    with app.app_context():
        first = db.session.scalars(db.select(Message).order_by(Message.id)).all()
        talked = first[0].conversation
        rows: list[Message] = []
        for number in range(198):
            above = rows[-1] if rows else first[-1]
            role = first[number % 2].role
            rows.append(Message(conversation=talked, parent_id=above.id, role=role, text=f"Number {number}"))
            db.session.add(rows[-1])
            db.session.flush()
        talked.active_leaf_id = rows[-1].id
        names = [row.public_id for row in [*first, *rows]]
        db.session.commit()
        db.session.remove()
    return conversation, names


def test_pagination_reaches_all_messages_in_both_directions(
    alice: WebClient, long_conversation: tuple[str, list[str]]
) -> None:
    conversation, names = long_conversation
    address = f"/conversations/{conversation}"
    begun = alice.get(f"{address}?position=start")
    assert begun.headers["Location"] == f"{address}?message={names[0]}#message-{names[0]}"
    page = alice.get(begun.headers["Location"]).text
    found = message_ids(page)
    assert found[0] == names[0]
    assert 'id="load-more-before"' not in page
    while 'id="load-more-after"' in page:
        page = alice.get(f"{address}?after={found[-1]}", headers=HTMX_HEADERS).text
        assert "<html" not in page
        found += message_ids(page)
    assert found == names
    assert f'name="parent" value="{names[-1]}"' in page
    found = ids(alice, conversation)
    assert found == names[-60:]
    while found[0] != names[0]:
        found = message_ids(alice.get(f"{address}?before={found[0]}", headers=HTMX_HEADERS).text) + found
    assert found == names


def test_pages_have_links_both_ways_without_javascript(
    alice: WebClient, long_conversation: tuple[str, list[str]]
) -> None:
    conversation, names = long_conversation
    for query in (f"?before={names[100]}", f"?after={names[99]}", f"?message={names[100]}"):
        page = alice.get(f"/conversations/{conversation}{query}").text
        assert "<html" in page
        shown = message_ids(page)
        assert shown == names[names.index(shown[0]) : names.index(shown[-1]) + 1]
        assert f"?before={shown[0]}" in page
        assert f"?after={shown[-1]}#load-more-before" in page
        # A tab in the middle is not told of what comes at the end.
        assert 'name="parent" value=""' in page
    assert names[100] in shown


def test_query_count_is_independent_of_conversation_length(
    app: Flask, alice: WebClient, long_conversation: tuple[str, list[str]], finish_answers: Answer
) -> None:
    short = talk(alice, finish_answers, "Short")
    asked: list[str] = []
    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
    numbers = []
    for conversation in (short, long_conversation[0]):
        asked.clear()
        assert alice.get(f"/conversations/{conversation}").status_code == 200
        numbers.append(len(asked))
    assert 0 < numbers[1] <= numbers[0], numbers


def test_at_end_shows_last_page(alice: WebClient, long_conversation: tuple[str, list[str]]) -> None:
    conversation, names = long_conversation
    assert ids(alice, conversation, "?position=end") == names[-60:]


def test_tab_in_middle_gets_no_new_messages(alice: WebClient, long_conversation: tuple[str, list[str]]) -> None:
    news = alice.get(f"/conversations/{long_conversation[0]}?parent=", headers=HTMX_HEADERS)
    assert (news.status_code, news.text) == (204, "")


def test_day_link_redirects_to_first_message(
    app: Flask, alice: WebClient, long_conversation: tuple[str, list[str]]
) -> None:
    conversation, names = long_conversation
    with app.app_context():
        for name, day in ((names[50], 7), (names[51], 8), (names[52], 9)):
            row = db.session.scalars(db.select(Message).where(Message.public_id == name)).one()
            # Two in the morning in Berlin, which is still the day before in Greenwich.
            row.created_at = row.created_at.replace(year=2031, month=3, day=day, hour=0 if day == 9 else 23, minute=30)
        db.session.commit()
        db.session.remove()
    alice.client.set_cookie("chatsite_timezone", "Europe/Berlin")
    for date, name in (("2031-03-08", names[50]), ("2031-03-09", names[51])):
        found = alice.get(f"/conversations/{conversation}?date={date}")
        assert found.headers["Location"].endswith(f"?message={name}#message-{name}")
    late = alice.get(f"/conversations/{conversation}?date=2040-01-01")
    assert message_ids(late.text) == names[-60:]


@pytest.mark.parametrize("day", ["yesterday", "2026-02-30", "-1", "99999-01-01", "\u0662", "0001-01-01", "9999-12-31"])
def test_invalid_day_causes_no_server_error(
    alice: WebClient, long_conversation: tuple[str, list[str]], day: str
) -> None:
    alice.client.set_cookie("chatsite_timezone", "Pacific/Kiritimati")
    found = alice.get(f"/conversations/{long_conversation[0]}?date={day}")
    assert found.status_code in {200, 303, 422}
    assert found.status_code != 422 or "Invalid date." in found.text


@pytest.mark.parametrize("query", ["message", "before", "after"])
def test_position_in_other_conversation_gets_404(
    alice: WebClient, bob: WebClient, long_conversation: tuple[str, list[str]], finish_answers: Answer, query: str
) -> None:
    conversation, names = long_conversation
    other = ids(alice, alice.start_conversation("Other"))[0]
    assert alice.get(f"/conversations/{conversation}?{query}={other}").status_code == 404
    assert alice.get(f"/conversations/{conversation}?{query}=nothing").status_code == 404
    mine = bob.start_conversation("Mine")
    assert bob.get(f"/conversations/{mine}?{query}={names[0]}").status_code == 404


def test_list_of_questions_links_to_start_and_day(alice: WebClient, long_conversation: tuple[str, list[str]]) -> None:
    page = alice.get(f"/conversations/{long_conversation[0]}/questions").text
    assert f'href="/conversations/{long_conversation[0]}?position=start"' in page
    assert '<input class="field" type="date" name="date" required>' in page
