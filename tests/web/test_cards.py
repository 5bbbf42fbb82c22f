"""What pages tell of models in words: who is to answer, how they stand, and what their numbers mean."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from chatsite.database import db, write
from chatsite.engine.catalogue import EMBEDDED, PREFERRED
from chatsite.models import Conversation, ModelState, RunnerState, Wish
from chatsite.services import models, runners
from chatsite.services.models import Card
from chatsite.web import i18n
from chatsite.web.cards import window
from chatsite.web.fragments import dom_id
from tests.web.conftest import HTMX, Browser, plain


@pytest.mark.parametrize(
    ("of_runner", "told", "said"),
    [
        (None, {"state": ModelState.READY}, "No model is running at the moment."),
        ("other", {"state": ModelState.READY}, "BlenderBot 400M can be wrong."),
        ("other", {}, "BlenderBot 400M is not on this machine."),
        ("other", {"wish": Wish.PULL}, "BlenderBot 400M is being fetched."),
        (
            "other",
            {"state": ModelState.FETCHING, "bytes_done": 1, "bytes_total": 4},
            "BlenderBot 400M is being fetched.",
        ),
        ("other", {"state": ModelState.FAILED, "reason": "<Full>."}, "BlenderBot 400M cannot be loaded: &lt;Full&gt;."),
        (PREFERRED, {}, "BlenderBot 400M is being loaded."),
    ],
)
def test_the_line_in_the_composer_speaks_of_the_model_that_is_chosen(
    app: Flask, alice: Browser, tell: Callable[..., None], of_runner: str | None, told: dict[str, Any], said: str
) -> None:
    tell(PREFERRED, **told)
    with app.app_context():
        if of_runner:
            state = RunnerState.LOADING if of_runner == PREFERRED else RunnerState.READY
            runners.beat("somebody", of_runner, state)
        db.session.remove()
    html = alice.get(f"/model/status?model={EMBEDDED}&model={PREFERRED}", headers=HTMX).text
    assert said in plain(html)
    assert ("every 2s" in html) == ("wrong" not in said and "not on" not in said)
    assert ('value="0.25"' in html) == ("bytes_done" in told)


@pytest.mark.parametrize("name", ["x", "../etc", "a" * 5000, "\u0000", "'; DROP TABLE model; --", "<b>", "%s"])
def test_the_line_knows_no_unknown_model(alice: Browser, name: str) -> None:
    assert alice.get("/model/status", query_string={"model": name}, headers=HTMX).status_code == 404


def test_a_conversation_whose_model_nobody_knows_any_more_is_shown(app: Flask, alice: Browser) -> None:
    conversation = alice.start("Hello")
    with app.app_context():
        with write() as session:
            session.execute(update(Conversation).values(model="<gone>"))
        db.session.remove()
    page = alice.get(f"/conversations/{conversation}")
    assert page.status_code == 200
    assert "<gone>" not in page.text


def test_a_new_conversation_introduces_the_model_that_was_chosen(alice: Browser, tell: Callable[..., None]) -> None:
    tell("blenderbot-1b-distill", state=ModelState.READY)
    front, chosen = alice.get("/").text, alice.get("/?model=blenderbot-1b-distill").text
    assert "You are talking with Demo script." in re.sub(r"<[^>]*>", "", front)
    assert "You are talking with BlenderBot 1B." in re.sub(r"<[^>]*>", "", chosen)
    assert 'href="/models/blenderbot-1b-distill"' in chosen
    assert "model=blenderbot-1b-distill&amp;text=" in chosen or "&amp;model=blenderbot-1b-distill" in chosen


def test_models_have_ids_of_their_own_that_selectors_can_name(app: Flask) -> None:
    with app.app_context():
        entry = models.get(models.known(app.config), EMBEDDED).entry
        db.session.remove()
    ids = [
        dom_id(Card(replace(entry, name=name), None)) for name in ("a.b", "a/b", "a_b", "a-b", "A-b", "a_2e_b", "ü b")
    ]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z0-9_-]+", each) for each in ids)


@pytest.mark.parametrize(
    ("family", "context", "said"),
    [
        ("blenderbot", 128, "about the last 6 turns"),
        ("dialogue", 20, "about the last 1 turn"),
        ("chat", 8192, "about 15 pages"),
        ("continuation", 100, "about 1 page"),
        ("text-to-text", 512, "one message at a time, and nothing of what came before"),
        ("chat", 0, ""),
    ],
)
def test_a_window_is_told_in_words(app: Flask, family: str, context: int, said: str) -> None:
    with app.test_request_context():
        entry = models.get(models.known(app.config), EMBEDDED).entry
        assert window(replace(entry, family=family, context=context)) == said
        db.session.remove()


@pytest.mark.parametrize(
    ("count", "english", "spanish"),
    [
        (0, "0 MB", "0 MB"),
        (5, "1 MB", "1 MB"),
        (729_900_000, "730 MB", "730 MB"),
        (999_499_999, "999 MB", "999 MB"),
        (999_500_000, "1.0 GB", "1,0 GB"),
        (2_875_000_000, "2.9 GB", "2,9 GB"),
    ],
)
def test_sizes_are_written_as_the_language_writes_them(app: Flask, count: int, english: str, spanish: str) -> None:
    for language, said in (("en", english), ("es", spanish)):
        with app.test_request_context(headers={"Accept-Language": language}):
            assert i18n.size(count) == said.replace(" ", "\N{NO-BREAK SPACE}")


def test_spans_of_time_and_large_counts_are_told_in_words(app: Flask) -> None:
    with app.test_request_context(headers={"Accept-Language": "es"}):
        assert [i18n.duration(seconds) for seconds in (0, 42, 200)] == ["1 segundo", "42 segundos", "3 minutos"]
        assert [i18n.compact(count) for count in (364_802_560, 2_696_268_800)] == ["365 millones", "2,7 mil millones"]
        assert [i18n.language(code) for code in ("en", "qqq")] == ["inglés", "qqq"]
