"""The search page and the box in the sidebar: one's own, never an error, never in the log."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

import pytest
from flask import Flask
from sqlalchemy import select

from chatsite.database import db
from chatsite.models import User
from tests.services.test_search import talk
from tests.web.conftest import HTMX, Browser, plain
from tests.web.test_access import snapshot


def keep(app: Flask, *texts: str) -> None:
    """Store conversations of the only visitor, with a message each."""
    with app.app_context():
        user = db.session.scalars(select(User)).one()
        for each in texts:
            talk(user, each, title=each)
        db.session.remove()


ADDRESSES = ("/search?q={}", "/search?q={}&sort=relevance", "/search/quick?q={}", "/search?q=in:title+{}")


def test_it_works(alice: Browser, answer: Callable[..., None]) -> None:
    name = alice.start("How hot is the oven?")
    answer("The óven is <b>hot</b>, says R&D.")
    page = alice.get("/search?q=OVEN+hot")
    assert page.status_code == 200
    assert "says R&amp;D" in page.text
    assert "The <mark>óven</mark> is &lt;b&gt;<mark>hot</mark>&lt;/b&gt;" in page.text
    assert "How <mark>hot</mark> is the <mark>oven</mark>?" in page.text
    assert "3 results" in plain(page.text)
    [first, *_] = re.findall(r'href="(/messages/[\w-]{16})"', page.text)
    assert f"/conversations/{name}" in alice.get(first).headers["Location"]


def test_nobody_finds_what_is_not_theirs(
    app: Flask, alice: Browser, bob: Browser, browser: Callable[[], Browser]
) -> None:
    alice.start("My striped zebra")
    before = snapshot(app)
    for address in ADDRESSES:
        for headers in ({}, HTMX):
            for person in (bob, browser()):
                response = person.get(address.format("zebra"), headers=headers, follow_redirects=True)
                assert response.status_code == 200
                assert "stripe" not in response.text
    assert "striped" in alice.get("/search?q=zebra").text
    assert snapshot(app) == before


@pytest.mark.parametrize(
    "typed", ['"', "a AND", "NEAR(", "\x00", "<script>alert(1)</script>", "é" * 2000, "%", "tag:", "-"]
)
def test_nothing_that_is_typed_is_an_error(alice: Browser, typed: str) -> None:
    alice.start("Hello")
    for address in ADDRESSES:
        for headers in ({}, HTMX):
            response = alice.get(address.format(quote(typed)), headers=headers)
            assert response.status_code in {200, 303}
            assert "<script>alert" not in response.text


def test_a_page_that_there_is_not_is_not_found(alice: Browser) -> None:
    alice.start("Hello")
    for after in ("x", "-1", "9" * 40):
        assert alice.get(f"/search?q=hello&after={after}").status_code == 404
    assert alice.get("/search?q=hello&sort=nothing").status_code == 200


def test_without_words_it_says_what_one_can_look_for(alice: Browser) -> None:
    for typed in ("", "   ", "***"):
        text = alice.get(f"/search?q={quote(typed)}").text
        assert "What you can look for" in text
        assert "before:2026-03" in text
    assert "no word in this" in alice.get("/search?q=***").text


def test_what_was_typed_stays_in_the_box(alice: Browser) -> None:
    text = alice.get("/search?q=%22a+b%22+-c&sort=relevance").text
    assert 'value="&#34;a b&#34; -c"' in text
    assert re.search(r'value="relevance" checked', text)


def test_htmx_gets_the_results_and_their_number_is_announced(alice: Browser) -> None:
    alice.start("A zebra")
    text = alice.get("/search?q=zebra", headers=HTMX).text
    assert text.strip().startswith('<div id="found">')
    assert "2 results" in plain(text.partition('hx-target="#announcer"')[2])
    assert "Nothing was found" in plain(alice.get("/search?q=horse", headers=HTMX).text)


def test_further_pages_are_rows_for_htmx_and_pages_without(app: Flask, alice: Browser) -> None:
    alice.start("Hello")
    keep(app, *(f"zebra {number}" for number in range(24)))
    first = alice.get("/search?q=by:me+zebra").text
    further = re.findall(r'<a class="button" href="([^"]+after=\d+)"', first)[0].replace("&amp;", "&")
    rows = alice.get(further, headers=HTMX).text
    assert rows.strip().startswith('<li class="found-message">')
    assert rows.count("found-message") == 4
    # The link that asked for them is gone, so the first of them has the focus.
    assert rows.index("autofocus") < rows.index("</a>")
    assert rows.count("autofocus") == 1
    assert 'id="further"' not in rows
    page = alice.get(further).text
    assert page.count('class="found-message"') == 4
    assert 'id="search-words"' in page


def test_the_box_is_on_every_page_but_the_search_page(alice: Browser) -> None:
    name = alice.start("Hello")
    for address in ("/", f"/conversations/{name}", "/models"):
        assert 'id="search-box"' in alice.get(address).text
    assert 'id="search-box"' not in alice.get("/search").text


def test_the_box_shows_the_first_results(app: Flask, alice: Browser) -> None:
    alice.start("Hello")
    keep(app, *(f"zebra {number}" for number in range(9)))
    text = alice.get("/search/quick?q=zeb", headers=HTMX).text
    assert text.count('class="found-message"') == 6
    assert text.count('class="found-title"') == 5
    assert 'href="/search?q=zeb"' in text
    assert "<li" not in alice.get("/search/quick?q=", headers=HTMX).text
    assert alice.get("/search/quick?q=zeb").headers["Location"] == "/search?q=zeb"


def test_what_is_looked_for_is_not_in_the_log(alice: Browser, capfd: pytest.CaptureFixture[str]) -> None:
    alice.get("/search?q=very-private-words")
    alice.get("/search/quick?q=very-private-words", headers=HTMX)
    assert "private" not in "".join(capfd.readouterr())


def test_spanish_filters_are_shown_to_those_who_read_spanish(alice: Browser) -> None:
    text = alice.get("/search", headers={"Accept-Language": "es"}).text
    assert "?q=en:t%C3%ADtulo" in text
