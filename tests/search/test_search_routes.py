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
from tests.core.test_ownership import snapshot
from tests.search.test_search import talk
from tests.support.web_fixtures import HTMX_HEADERS, WebClient, visible_text


def keep(app: Flask, *texts: str) -> None:
    """Store conversations of the only visitor, with a message each."""
    with app.app_context():
        user = db.session.scalars(select(User)).one()
        for each in texts:
            talk(user, each, title=each)
        db.session.remove()


ADDRESSES = ("/search?q={}", "/search?q={}&sort=relevance", "/search?q=in:title+{}")


def test_search_finds_and_highlights_results(alice: WebClient, finish_answers: Callable[..., None]) -> None:
    name = alice.start_conversation("How hot is the oven?")
    finish_answers("The óven is <b>hot</b>, says R&D.")
    page = alice.get("/search?q=OVEN+hot")
    assert page.status_code == 200
    assert "says R&amp;D" in page.text
    assert "The <mark>óven</mark> is &lt;b&gt;<mark>hot</mark>&lt;/b&gt;" in page.text
    assert "How <mark>hot</mark> is the <mark>oven</mark>?" in page.text
    assert "3 results" in visible_text(page.text)
    [first, *_] = re.findall(r'href="(/messages/[\w-]{16})"', page.text)
    assert f"/conversations/{name}" in alice.get(first).headers["Location"]


def test_outsider_finds_nothing(
    app: Flask, alice: WebClient, bob: WebClient, new_client: Callable[[], WebClient]
) -> None:
    alice.start_conversation("My striped zebra")
    before = snapshot(app)
    for address in ADDRESSES:
        for headers in ({}, HTMX_HEADERS):
            for person in (bob, new_client()):
                response = person.get(address.format("zebra"), headers=headers, follow_redirects=True)
                assert response.status_code == 200
                assert "stripe" not in response.text
    assert "striped" in alice.get("/search?q=zebra").text
    assert snapshot(app) == before


@pytest.mark.parametrize(
    "typed", ['"', "a AND", "NEAR(", "\x00", "<script>alert(1)</script>", "é" * 2000, "%", "tag:", "-"]
)
def test_any_query_text_causes_no_error(alice: WebClient, typed: str) -> None:
    alice.start_conversation("Hello")
    for address in ADDRESSES:
        for headers in ({}, HTMX_HEADERS):
            response = alice.get(address.format(quote(typed)), headers=headers)
            assert response.status_code in {200, 303}
            assert "<script>alert" not in response.text


def test_invalid_results_page_gets_404(alice: WebClient) -> None:
    alice.start_conversation("Hello")
    for after in ("x", "-1", "9" * 40):
        assert alice.get(f"/search?q=hello&after={after}").status_code == 404
    assert alice.get("/search?q=hello&sort=nothing").status_code == 200


def test_empty_query_shows_search_help(alice: WebClient) -> None:
    for typed in ("", "   ", "***"):
        text = alice.get(f"/search?q={quote(typed)}").text
        assert "Search tips" in text
        assert "before:2026-03" in text
    assert "Type a word to search for" in alice.get("/search?q=***").text


def test_query_stays_in_search_field(alice: WebClient) -> None:
    text = alice.get("/search?q=%22a+b%22+-c&sort=relevance").text
    assert 'value="&#34;a b&#34; -c"' in text
    assert re.search(r'type="hidden" name="sort" value="relevance" form="search-form"', text), "nothing was found"
    alice.start_conversation("a b")
    assert re.search(r'value="relevance" selected', alice.get("/search?q=a&sort=relevance").text)


def test_htmx_search_returns_results_and_announces_count(alice: WebClient) -> None:
    alice.start_conversation("A zebra")
    text = alice.get("/search?q=zebra", headers=HTMX_HEADERS).text
    assert text.strip().startswith('<div id="results">')
    assert "2 results" in visible_text(text.partition('hx-target="#announcer"')[2])
    assert "No results" in visible_text(alice.get("/search?q=horse", headers=HTMX_HEADERS).text)


def test_further_results_are_rows_for_htmx_else_page(app: Flask, alice: WebClient) -> None:
    alice.start_conversation("Hello")
    keep(app, *(f"zebra {number}" for number in range(24)))
    first = alice.get("/search?q=by:me+zebra").text
    further = re.findall(r'<a class="button" href="([^"]+after=\d+)"', first)[0].replace("&amp;", "&")
    rows = alice.get(further, headers=HTMX_HEADERS).text
    assert rows.strip().startswith('<li class="result-message">')
    assert rows.count("result-message") == 4
    # The link that asked for them is gone, so the first of them has the focus.
    assert rows.index("autofocus") < rows.index("</a>")
    assert rows.count("autofocus") == 1
    assert 'id="load-more-results"' not in rows
    page = alice.get(further).text
    assert page.count('class="result-message"') == 4
    assert 'id="search-words"' in page


def test_search_is_one_entry_that_opens_the_palette(alice: WebClient) -> None:
    name = alice.start_conversation("Hello")
    for address in ("/", f"/conversations/{name}", "/models", "/search"):
        page = alice.get(address).text
        sidebar = page[page.index('<nav id="sidebar"') : page.index("</nav>")]
        assert sidebar.count('popovertarget="palette"') == 1
        assert "<input type" not in sidebar.replace('<input type="hidden"', "")
        # Without scripts it is a link.
        assert re.search(r'<noscript><a class="entry" href="/search">.*?Search', sidebar, re.DOTALL)


def test_query_is_not_logged(alice: WebClient, capfd: pytest.CaptureFixture[str]) -> None:
    alice.get("/search?q=very-private-words")
    alice.get("/palette?q=very-private-words", headers=HTMX_HEADERS)
    assert "private" not in "".join(capfd.readouterr())


def test_search_help_shows_spanish_filters(alice: WebClient) -> None:
    text = alice.get("/search", headers={"Accept-Language": "es"}).text
    assert "?q=en:t%C3%ADtulo" in text
