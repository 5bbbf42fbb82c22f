"""What stands under an answer: all that is done with the latest one, and less under those before it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from chatsite.database import db
from chatsite.models import Message
from tests.chat.routes.test_comparisons_routes import compare
from tests.chat.routes.test_versions import ids, talk
from tests.personas.test_personas_routes import BLENDER, SMOL, put
from tests.support.web_fixtures import HTMX_HEADERS, WebClient, visible_text

Answer = Callable[..., None]
THUMBS = ("Good answer", "Bad answer")


def rows_under_answers(alice: WebClient, conversation: str) -> dict[str, str]:
    """The HTML of each answer of a conversation, by its public id."""
    html = alice.get(f"/conversations/{conversation}").text
    return dict(
        re.findall(
            r'<article id="message-([\w-]{16})" class="message message-assistant".*?(<footer.*?)</article>',
            html,
            re.DOTALL,
        )
    )


def get_menu(alice: WebClient, answer: str) -> str:
    """The menu of an answer."""
    return alice.get(f"/messages/{answer}/actions", headers=HTMX_HEADERS).text


def test_only_latest_answer_has_thumbs_and_arrow_at_hand(alice: WebClient, finish_answers: Answer) -> None:
    conversation = talk(alice, finish_answers, "One", "Two")
    (older, older_row), (latest, latest_row) = rows_under_answers(alice, conversation).items()
    for row in (older_row, latest_row):
        assert all(f'aria-label="{label}"' in row for label in ("Copy this answer", "Regenerate", "More"))
    assert [f'aria-label="{label}"' in older_row for label in (*THUMBS, "Regenerate with…")] == [False] * 3
    assert [f'aria-label="{label}"' in latest_row for label in (*THUMBS, "Regenerate with…")] == [True] * 3
    older_menu, latest_menu = get_menu(alice, older), get_menu(alice, latest)
    assert [label in older_menu for label in THUMBS] == [True] * 2
    assert [label in latest_menu for label in THUMBS] == [False] * 2
    # Fingers have no arrow under any answer, and a mouse has one under the latest.
    assert [menu.count('class="touch-only"') for menu in (older_menu, latest_menu)] == [0, 1]
    assert [menu.count("Regenerate with…") for menu in (older_menu, latest_menu)] == [1, 1]
    # Without scripts the menu is a page with the form that its buttons belong to.
    assert 'id="action-form"' in alice.get(f"/messages/{older}/actions").text


@pytest.mark.parametrize("htmx", [False, True])
def test_older_answer_is_rated_in_its_menu(alice: WebClient, finish_answers: Answer, htmx: bool) -> None:
    conversation = talk(alice, finish_answers, "One", "Two")
    older = ids(alice, conversation)[1]
    [address] = set(re.findall(r'formaction="([^"]+/rating[^"]+)"', get_menu(alice, older)))
    rated = alice.send_form("POST", address, htmx, value="1")
    if htmx:
        # They come to where they stand under other answers, with the focus on the one that was pressed.
        assert f'hx-target="#message-{older} .more-button" hx-swap="beforebegin"' in rated.text
        assert re.search(r'aria-label="Good answer" aria-pressed="true" autofocus', rated.text)
    else:
        assert rated.headers["Location"].endswith(f"#message-{older}")
    row = rows_under_answers(alice, conversation)[older]
    assert re.search(r'aria-label="Good answer" aria-pressed="true"', row)
    # What was given can be taken back there, and the menu has the note.
    assert f'formaction="/messages/{older}/rating?_method=DELETE"' in row
    assert [label in get_menu(alice, older) for label in (*THUMBS, 'name="note"')] == [False, False, True]


def test_compared_answers_all_have_thumbs(app: Flask, alice: WebClient, finish_answers: Answer) -> None:
    put(app, SMOL, BLENDER)
    conversation = compare(alice, SMOL, BLENDER).rpartition("/")[2]
    finish_answers()
    assert [row.count('class="tool thumbs-') for row in rows_under_answers(alice, conversation).values()] == [2, 2]


def test_time_of_answer_is_in_its_menu(alice: WebClient, finish_answers: Answer) -> None:
    conversation = talk(alice, finish_answers, "One")
    answer = ids(alice, conversation)[1]
    assert "timestamp" not in rows_under_answers(alice, conversation)[answer]
    assert re.search(r"Link to this answer<time [^>]+>\w+ \d+, \d{4}, \d+:\d\d", get_menu(alice, answer))


def set_times(app: Flask, names: list[str], *moments: datetime) -> None:
    """Set when messages were written."""
    with app.app_context():
        for name, moment in zip(names, moments, strict=True):
            db.session.execute(update(Message).where(Message.public_id == name).values(created_at=moment))
        db.session.commit()
        db.session.remove()


def find_days(html: str) -> list[str]:
    """The lines between days."""
    return [visible_text(line).strip() for line in re.findall(r'<p class="day-line">(.*?)</p>', html)]


def test_line_between_days_names_the_day(app: Flask, alice: WebClient, finish_answers: Answer) -> None:
    conversation = talk(alice, finish_answers, "One", "Two", "Three")
    names = ids(alice, conversation)
    evening = datetime.fromisoformat("2025-03-07T22:30:00+00:00")
    # A question and its answer are stored in one moment.
    asked = [evening, evening + timedelta(hours=2), evening + timedelta(days=3, hours=2)]
    set_times(app, names, *(moment for moment in asked for _ in range(2)))
    address = f"/conversations/{conversation}"
    both = ["Mar 8, 2025", "Mar 11, 2025"]
    for zone, days in (
        ("UTC", both),
        # Two hours east of it the evening is the next day already.
        ("Europe/Helsinki", ["Mar 11, 2025"]),
    ):
        alice.client.set_cookie(alice.cookie_name("chatsite_timezone"), zone)
        assert find_days(alice.get(address).text) == days, zone
    # The same line stands there where the question is the first of a page, and where it comes alone.
    alice.client.set_cookie(alice.cookie_name("chatsite_timezone"), "UTC")
    assert find_days(alice.get(f"{address}?after={names[1]}", headers=HTMX_HEADERS).text) == both
    assert find_days(alice.get(f"/messages/{names[2]}", headers=HTMX_HEADERS).text) == ["Mar 8, 2025"]
