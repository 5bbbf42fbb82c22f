"""A conversation that has not begun says who answers, and offers openings that suit them."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from flask import Flask
from flask_babel import force_locale

from chatsite.engine.catalog import catalog
from chatsite.services.models.catalog import ModelCard
from chatsite.web.models.starters import (
    CHAT_STARTERS,
    CONTINUATION_STARTERS,
    INSTRUCTION_STARTERS,
    TASK_STARTERS,
    list_starters,
)
from tests.support.web_fixtures import WebClient

NAMES = {
    "blenderbot-400m-distill": CHAT_STARTERS,
    "dialogpt-medium": CHAT_STARTERS,
    "gpt2": CONTINUATION_STARTERS,
    "flan-t5-base": TASK_STARTERS,
    "qwen2.5-0.5b-instruct": INSTRUCTION_STARTERS,
}


@pytest.mark.parametrize("name", NAMES)
def test_starters_depend_on_model_family(app: Flask, name: str) -> None:
    with app.test_request_context():
        assert tuple(each.text for each in list_starters(ModelCard(catalog.resolve_entry(name), None))) == NAMES[name]


def test_starters_use_language_of_model(app: Flask) -> None:
    spanish = catalog.resolve_entry("qwen2.5-0.5b-instruct")
    with app.test_request_context(), force_locale("es"):
        assert {each.language for each in list_starters(ModelCard(spanish, None))} == {"es"}
        assert {each.text for each in list_starters(ModelCard(spanish, None))}.isdisjoint(INSTRUCTION_STARTERS)
        english = list_starters(ModelCard(replace(spanish, languages=("en",)), None))
        assert [(each.text, each.language) for each in english] == [(text, "en") for text in INSTRUCTION_STARTERS]


def test_starter_fills_composer_and_keeps_persona(alice: WebClient) -> None:
    page = alice.get("/?persona=cook").text
    first = re.search(r'<ul id="starters".*?href="([^"]+)"', page, re.DOTALL)
    assert first is not None
    assert "persona=cook" in first[1]
    assert ">I have eggs, rice and tomatoes.</textarea>" in alice.get(first[1].replace("&amp;", "&")).text


def test_introduction_shown_only_without_conversations(alice: WebClient) -> None:
    assert "No account needed" in alice.get("/").text
    alice.start_conversation()
    assert "No account needed" not in alice.get("/").text
