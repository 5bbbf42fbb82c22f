"""What pages tell of models in words: who is to answer, how they stand, and what their numbers mean."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from chatsite import i18n
from chatsite.database import db, write_transaction
from chatsite.engine.catalog.catalog import EMBEDDED_MODEL, PREFERRED_MODEL
from chatsite.models import Conversation, ModelState, RequestedAction, RunnerState
from chatsite.services.models import catalog, runners
from chatsite.services.models.catalog import ModelCard
from chatsite.web.core.templating import dom_id
from chatsite.web.models.views import describe_context_window
from tests.support.web_fixtures import HTMX_HEADERS, WebClient, visible_text


@pytest.mark.parametrize(
    ("of_runner", "told", "said"),
    [
        (None, {"download_state": ModelState.READY}, "No model is running."),
        ("other", {"download_state": ModelState.READY}, "BlenderBot 400M can make mistakes."),
        ("other", {}, "BlenderBot 400M is not downloaded."),
        ("other", {"requested": RequestedAction.PULL}, "BlenderBot 400M is being downloaded."),
        (
            "other",
            {"download_state": ModelState.FETCHING, "bytes_done": 1, "bytes_total": 4},
            "BlenderBot 400M is being downloaded.",
        ),
        (
            "other",
            {"download_state": ModelState.FAILED, "error": "<Full>."},
            "BlenderBot 400M cannot be loaded: &lt;Full&gt;.",
        ),
        (PREFERRED_MODEL, {}, "BlenderBot 400M is loading."),
    ],
)
def test_composer_status_describes_chosen_model(
    app: Flask,
    alice: WebClient,
    record_model_status: Callable[..., None],
    of_runner: str | None,
    told: dict[str, Any],
    said: str,
) -> None:
    record_model_status(PREFERRED_MODEL, **told)
    with app.app_context():
        if of_runner:
            state = RunnerState.LOADING if of_runner == PREFERRED_MODEL else RunnerState.READY
            runners.heartbeat("somebody", of_runner, state)
        db.session.remove()
    html = alice.get(f"/model-status?model={EMBEDDED_MODEL}&model={PREFERRED_MODEL}", headers=HTMX_HEADERS).text
    assert said in visible_text(html)
    assert ("every 2s" in html) == ("mistakes" not in said and "not downloaded" not in said)
    assert ('value="0.25"' in html) == ("bytes_done" in told)


@pytest.mark.parametrize("name", ["x", "../etc", "a" * 5000, "\u0000", "'; DROP TABLE model; --", "<b>", "%s"])
def test_composer_status_of_unknown_model_gets_404(alice: WebClient, name: str) -> None:
    assert alice.get("/model-status", query_string={"model": name}, headers=HTMX_HEADERS).status_code == 404


def test_conversation_with_unknown_model_is_shown(app: Flask, alice: WebClient) -> None:
    conversation = alice.start_conversation("Hello")
    with app.app_context():
        with write_transaction() as session:
            session.execute(update(Conversation).values(model="<gone>"))
        db.session.remove()
    page = alice.get(f"/conversations/{conversation}")
    assert page.status_code == 200
    assert "<gone>" not in page.text


def test_new_conversation_page_introduces_chosen_model(
    alice: WebClient, record_model_status: Callable[..., None]
) -> None:
    record_model_status("blenderbot-1b-distill", download_state=ModelState.READY)
    front, chosen = alice.get("/").text, alice.get("/?model=blenderbot-1b-distill").text
    assert "Model: Demo script." in re.sub(r"<[^>]*>", "", front)
    assert "Model: BlenderBot 1B." in re.sub(r"<[^>]*>", "", chosen)
    assert 'href="/models/blenderbot-1b-distill"' in chosen
    assert "model=blenderbot-1b-distill&amp;text=" in chosen or "&amp;model=blenderbot-1b-distill" in chosen


def test_model_dom_ids_are_unique_and_selector_safe(app: Flask) -> None:
    with app.app_context():
        entry = catalog.get_card(catalog.read_catalog_config(app.config), EMBEDDED_MODEL).entry
        db.session.remove()
    ids = [
        dom_id(ModelCard(replace(entry, name=name), None))
        for name in ("a.b", "a/b", "a_b", "a-b", "A-b", "a_2e_b", "ü b")
    ]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z0-9_-]+", each) for each in ids)


@pytest.mark.parametrize(
    ("family", "context", "said"),
    [
        ("blenderbot", 128, "about the last 6 messages"),
        ("dialogue", 20, "about the last 1 message"),
        ("chat", 8192, "about 15 pages"),
        ("continuation", 100, "about 1 page"),
        ("text-to-text", 512, "one message at a time, without history"),
        ("chat", 0, ""),
    ],
)
def test_context_window_is_described_in_words(app: Flask, family: str, context: int, said: str) -> None:
    with app.test_request_context():
        entry = catalog.get_card(catalog.read_catalog_config(app.config), EMBEDDED_MODEL).entry
        assert describe_context_window(replace(entry, family=family, context_tokens=context)) == said
        db.session.remove()


@pytest.mark.parametrize(
    ("count", "english", "spanish"),
    [
        (0, "0 bytes", "0 bytes"),
        (600, "600 bytes", "600 bytes"),
        (1_400, "1 kB", "1 kB"),
        (999_499, "999 kB", "999 kB"),
        (999_500, "1 MB", "1 MB"),
        (729_900_000, "730 MB", "730 MB"),
        (999_499_999, "999 MB", "999 MB"),
        (999_500_000, "1.0 GB", "1,0 GB"),
        (2_875_000_000, "2.9 GB", "2,9 GB"),
    ],
)
def test_sizes_are_formatted_for_locale(app: Flask, count: int, english: str, spanish: str) -> None:
    for language, said in (("en", english), ("es", spanish)):
        with app.test_request_context(headers={"Accept-Language": language}):
            assert i18n.format_bytes(count) == said.replace(" ", "\N{NO-BREAK SPACE}")


def test_durations_and_large_counts_are_formatted_for_locale(app: Flask) -> None:
    with app.test_request_context(headers={"Accept-Language": "es"}):
        assert [i18n.format_duration(seconds) for seconds in (0, 42, 200)] == ["1 segundo", "42 segundos", "3 minutos"]
        assert [i18n.format_compact(count) for count in (364_802_560, 2_696_268_800)] == [
            "365 millones",
            "2,7 mil millones",
        ]
        assert [i18n.language_name(code) for code in ("en", "qqq")] == ["inglés", "qqq"]
