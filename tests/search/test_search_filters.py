"""Filters below the search box: they write operators into the query and take them out, in the reader's language."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from chatsite.services.search import filters
from chatsite.services.search.query import parse_query
from tests.support.web_fixtures import WebClient


@pytest.mark.parametrize(
    ("typed", "names", "token", "changed"),
    [
        ("bread", ("tag",), "tag:travel", "tag:travel bread"),
        ("tag:work bread", ("tag",), "tag:travel", "tag:travel bread"),
        ('bread etiqueta:"de viaje"', ("tag",), "", "bread"),
        ("after:2025 bread before:2026", ("after", "before"), "after:2024", "after:2024 bread"),
        ('"a phrase" -not by:me', ("by",), "by:model", 'by:model "a phrase" -not'),
        ("-tag:work bread", ("tag",), "", "-tag:work bread"),
        ("http://by:me", ("by",), "", "http://by:me"),
        ("", ("in",), "in:title", "in:title"),
    ],
)
def test_filter_replaces_those_of_its_kind(typed: str, names: tuple[str, ...], token: str, changed: str) -> None:
    assert filters.set_filter(typed, names, token) == changed


def test_last_word_still_counts_as_a_beginning() -> None:
    changed = filters.set_filter("brea", ("tag",), filters.make_filter("tag", "two words"))
    query = parse_query(changed)
    assert query.words[0].is_prefix
    assert query.tags == ("two words",)


def test_words_stay_when_filters_are_removed() -> None:
    assert filters.remove_filters("tag:work bread by:me after:2025 -not") == "bread -not"


def chips(text: str) -> dict[str, str]:
    """The query of each filter link, by its label."""
    found = re.findall(
        r'<a class="(?:chip|action)" href="([^"]+)"[^>]*>([^<]+)', text.partition('class="chips filters"')[2]
    )
    return {label: parse_qs(urlsplit(html.unescape(url)).query)["q"][0] for url, label in found if "q=" in url}


def test_links_write_operators_and_keep_order(alice: WebClient, finish_answers: Callable[..., None]) -> None:
    conversation = alice.start_conversation("Bread for the trip")
    finish_answers("Bake it")
    alice.send_form("PUT", f"/conversations/{conversation}/tags", text="Long trips")
    page = alice.get("/search?q=bread&sort=relevance").text
    queries = chips(page)
    assert queries["Long trips"] == 'tag:"Long trips" bread'
    assert queries["My messages"] == "by:me bread"
    assert queries["Titles only"] == "in:title bread"
    assert queries["Demo script"] == "model:scripted bread"
    assert re.fullmatch(r"after:\d{4}-\d\d-\d\d bread", queries["Last 7 days"])
    assert "sort=relevance" in page.partition('class="chips filters"')[2].partition("</nav>")[0]
    for query in queries.values():
        assert alice.get("/search", query_string={"q": query}).status_code == 200
    # One that is set is taken out by its link.
    assert chips(alice.get("/search", query_string={"q": queries["Long trips"]}).text)["Long trips"] == "bread"
    assert "Bread" in alice.get("/search", query_string={"q": 'tag:"Long trips" bread'}).text
    spanish = alice.get("/search?q=pan", headers={"Accept-Language": "es"}).text
    assert chips(spanish)["Solo títulos"] == "en:título pan"


def test_page_without_results_names_query_and_next_step(alice: WebClient) -> None:
    alice.start_conversation("Bread")
    text = html.unescape(alice.get("/search?q=xyzzy+by:me").text)
    assert "No results for “xyzzy by:me”" in text
    assert 'href="/search?q=xyzzy&sort=newest">Search without filters' in text
    assert "Search without filters" not in alice.get("/search?q=xyzzy").text


def test_snippet_is_what_is_read(alice: WebClient, finish_answers: Callable[..., None]) -> None:
    alice.start_conversation("Prices")
    finish_answers(
        "- **Sintra:** buy *bread*\n\n| | Euro a day |\n| --- | ---: |\n| Food | 70 |\n\n[map](https://e.example/xylo)"
    )
    snippet = alice.get("/search?q=bread").text.partition('class="result-snippet"')[2].partition("</span>")[0]
    assert "Sintra: buy <mark>bread</mark> Euro a day · Food · 70 map" in snippet
    # What is seen only in the source is shown there.
    assert "e.example/<mark>xylo</mark>" in alice.get("/search?q=xylo").text
