"""What browsers may fetch before it is asked for, and when they are to forget it."""

from __future__ import annotations

import json
from collections.abc import Callable

from chatsite.config import ROOT
from tests.web.conftest import HTMX, Browser

CHROMIUM = {"Sec-CH-UA": '"Chromium";v="140"'}
RULES = json.loads((ROOT / "static" / "prefetch.json").read_text(encoding="utf-8"))


def test_a_page_names_the_rules_and_a_fragment_does_not(alice: Browser) -> None:
    address = alice.get("/").headers["Speculation-Rules"].strip('"')
    response = alice.client.get(address, buffered=True)
    assert response.mimetype == "application/speculationrules+json"
    assert response.json == RULES
    assert "immutable" in response.headers["Cache-Control"]
    assert "Speculation-Rules" not in alice.get("/conversations", headers=HTMX).headers
    assert "Speculation-Rules" not in alice.get("/healthz").headers


def test_every_change_makes_chromium_forget_what_it_fetched(alice: Browser) -> None:
    alice.get("/")
    form = {"csrf_token": alice.token, "text": "Hello"}
    assert alice.client.post("/messages", data=form, headers=CHROMIUM).headers["Clear-Site-Data"] == '"prefetchCache"'
    # Others would complain of a word that they do not know.
    assert "Clear-Site-Data" not in alice.client.post("/messages", data=form).headers
    assert "Clear-Site-Data" not in alice.client.get("/", headers=CHROMIUM).headers


def test_what_is_fetched_ahead_is_pages_and_never_files_or_streams(alice: Browser, answer: Callable[..., None]) -> None:
    places = RULES["prefetch"][0]["where"]["and"][0]["href_matches"]
    for path in ("/export", "/messages/:name/stream", "/conversations/:name/export", "/links/:name", "/sw.js"):
        assert path not in places
    for path in places:
        if ":" not in path:
            assert alice.get(path).mimetype == "text/html"
