"""A conversation that has not begun says who answers, and offers openings that suit them."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from flask import Flask
from flask_babel import force_locale

from chatsite.engine import catalogue
from chatsite.services.models import Card
from chatsite.web.welcome import BEGINNINGS, ORDERS, TALK, TASKS, openings
from tests.web.conftest import Browser

NAMES = {
    "blenderbot-400m-distill": TALK,
    "dialogpt-medium": TALK,
    "gpt2": BEGINNINGS,
    "flan-t5-base": ORDERS,
    "qwen2.5-0.5b-instruct": TASKS,
}


@pytest.mark.parametrize("name", NAMES)
def test_openings_suit_the_model(app: Flask, name: str) -> None:
    with app.test_request_context():
        assert tuple(each.text for each in openings(Card(catalogue.resolve(name), None))) == NAMES[name]


def test_openings_are_in_a_language_that_the_model_reads(app: Flask) -> None:
    spanish = catalogue.resolve("qwen2.5-0.5b-instruct")
    with app.test_request_context(), force_locale("es"):
        assert {each.language for each in openings(Card(spanish, None))} == {"es"}
        assert {each.text for each in openings(Card(spanish, None))}.isdisjoint(TASKS)
        english = openings(Card(replace(spanish, languages=("en",)), None))
        assert [(each.text, each.language) for each in english] == [(text, "en") for text in TASKS]


def test_an_opening_leads_into_the_box_and_keeps_what_was_chosen(alice: Browser) -> None:
    page = alice.get("/?persona=cook").text
    first = re.search(r'<ul id="welcome-openings".*?href="([^"]+)"', page, re.DOTALL)
    assert first is not None
    assert "persona=cook" in first[1]
    assert f">{TASKS[0]}</textarea>" in alice.get(first[1].replace("&amp;", "&")).text


def test_only_who_has_no_conversation_is_told_what_this_is(alice: Browser) -> None:
    assert "There is nothing to sign up for" in alice.get("/").text
    alice.start()
    assert "There is nothing to sign up for" not in alice.get("/").text
