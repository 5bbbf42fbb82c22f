"""The settings of a conversation: the form, what it refuses, and what the history says of a change."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import pytest
from flask import Flask

from chatsite.database import db
from chatsite.models import Conversation
from chatsite.services import claims, settings
from chatsite.services.settings import Settings
from tests.web.conftest import HTMX, Browser, plain

Answer = Callable[..., None]


def stored(app: Flask, conversation: str) -> Settings:
    """What is kept with a conversation."""
    with app.app_context():
        found = settings.of(db.session.query(Conversation).filter_by(public_id=conversation).one())  # type: ignore[arg-type]
        db.session.remove()
        return found


def change(browser: Browser, conversation: str, **form: str) -> str:
    """Save settings; returns the page that one is led to."""
    response = browser.send("PATCH", f"/conversations/{conversation}/settings", **form)
    assert response.status_code == 303, plain(response.text)
    return browser.get(response.headers["Location"]).text


def value(page: str, name: str) -> str:
    """What stands in a field."""
    found = re.search(rf'name="{name}"[^>]*?value="([^"]*)"', page) or re.search(
        rf'<textarea[^>]*name="{name}"[^>]*>([^<]*)</textarea>', page
    )
    assert found, name
    return html.unescape(found.group(1))


def test_settings_hold_from_the_next_answer_on_and_the_history_says_so(
    app: Flask, alice: Browser, answer: Answer
) -> None:
    conversation = alice.start("Hello")
    answer("The first.")
    page = change(alice, conversation, name="Tutor", instructions="Be patient.\r\nAsk back.", temperature="0,5")
    assert stored(app, conversation) == Settings("Tutor", "Be patient.\nAsk back.", {"temperature": 0.5})
    assert "Demo script · balanced · Tutor" in plain(page)
    assert re.search(r'id="next-answerer">From here on: Tutor</p>', page)
    posted = alice.ask("More", conversation, htmx=True).text
    assert 'hx-target="#next-answerer" hx-swap="delete"' in posted
    assert '<p class="handover" >From here on: Tutor</p>' in posted
    with app.app_context():
        [claim] = claims.claim("runner", 1, 5, 2)
        db.session.remove()
    assert (claim.instructions, claim.numbers) == (("Be patient.", "Ask back."), {"temperature": 0.5})
    form = alice.get(f"/conversations/{conversation}/settings").text
    assert value(form, "name") == "Tutor"
    assert value(form, "instructions") == "Be patient.\nAsk back."
    assert value(form, "temperature") == "0.5"


def test_settings_without_a_name_say_only_that_they_changed(alice: Browser, answer: Answer) -> None:
    conversation = alice.start("Hello")
    answer()
    page = change(alice, conversation, top_k="40")
    assert "Settings changed here" in plain(page)
    assert "Demo script · balanced · own settings" in plain(page)
    page = change(alice, conversation)
    assert "Settings changed here" not in plain(page)
    assert "own settings" not in plain(page)


def test_another_model_and_other_settings_are_one_line(app: Flask, alice: Browser, answer: Answer) -> None:
    conversation = alice.start("Hello")
    answer()
    with app.app_context():
        db.session.query(Conversation).update({"model": "gpt2"})
        db.session.commit()
        db.session.remove()
    page = change(alice, conversation, name="Tutor", instructions="Be patient.")
    assert "GPT-2 answers from here on · From here on: Tutor" in plain(page)
    assert page.count('class="handover"') == 1


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"temperature": "hot"}, "Temperature: write a number from 0 to 2"),
        ({"max_new_tokens": "100000"}, "Greatest length: write a number from 1 to 512"),
        ({"name": "n" * 81}, "at most 80 characters"),
        ({"instructions": "i" * 4001}, "4001 characters; at most 4000"),
        ({"instructions": "a\x07b"}, "control characters"),
    ],
)
def test_what_cannot_be_kept_is_said_and_stays_in_the_form(
    app: Flask, alice: Browser, form: dict[str, str], sentence: str
) -> None:
    conversation = alice.start("Hello")
    typed = {"name": "Tutor", "instructions": '<b>"Be" patient</b>', "top_p": "0.5", **form}
    response = alice.send("PATCH", f"/conversations/{conversation}/settings", **typed)
    assert response.status_code == 422
    assert sentence in plain(response.text)
    assert "<b>" not in response.text
    for name, text in typed.items():
        assert value(response.text, name) == text
    assert not stored(app, conversation)


def test_a_persona_fills_the_form_and_changes_nothing(app: Flask, alice: Browser) -> None:
    conversation = alice.start("Hello")
    page = alice.get(f"/conversations/{conversation}/settings?persona=editor").text
    assert value(page, "name") == "Plain-language editor"
    assert value(page, "instructions").startswith("You are an editor")
    assert value(page, "temperature") == "0.2"
    assert not stored(app, conversation)
    assert alice.get(f"/conversations/{conversation}/settings?persona=nobody").status_code == 404


def test_the_form_says_how_a_model_reads_instructions(app: Flask, alice: Browser) -> None:
    conversation = alice.start("Hello")
    address = f"/conversations/{conversation}/settings"
    for model, words in (
        ("blenderbot-400m-distill", "reads each line as something it says about itself"),
        ("flan-t5-base", "reads no instructions"),
        ("smollm2-135m-instruct", "before the conversation, each time it answers"),
        ("gone", "before the conversation, each time it answers"),
    ):
        with app.app_context():
            db.session.query(Conversation).update({"model": model})
            db.session.commit()
            db.session.remove()
        assert words in plain(alice.get(address).text)
    assert alice.get(address, headers=HTMX).status_code == 200


def test_what_the_model_was_told_stands_in_the_receipt(app: Flask, alice: Browser) -> None:
    conversation = alice.start("Hello")
    with app.app_context():
        claims.claim("runner", 1, 5, 2)
        db.session.remove()
    alice.send("DELETE", f"/conversations/{conversation}")
    page = alice.get("/?persona=tutor").text
    assert "It speaks as “Patient tutor”" in plain(page)
    begun = alice.send("POST", "/messages", text="Hello", persona="tutor", token="t").headers["Location"]
    with app.app_context():
        [claim] = claims.claim("runner", 1, 5, 2)
        receipt = {"budget": 100, "used": 9, "turns": [[0, "user", 1, True, False]], "persona": True}
        news = claims.Written(claim.attempt, "Yes.", 1, receipt, claims.Status.DONE, "end")
        claims.record("runner", {claim.generation_id: news}, 5)
        db.session.remove()
    [message] = re.findall(r'href="(/messages/[\w-]{16}/receipt)"', alice.get(begun).text)
    assert "Persona, always at the top You are a patient tutor." in plain(alice.get(message).text)
