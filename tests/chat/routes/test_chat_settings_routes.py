"""The settings of a conversation: the form, what it refuses, and what the history says of a change."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from chatsite.database import db
from chatsite.models import Conversation, Status
from chatsite.services.chat import chat_settings, generation_leases
from chatsite.services.chat.chat_settings import ChatSettings
from chatsite.services.chat.generation_update import GenerationUpdate
from tests.support.web_fixtures import HTMX_HEADERS, WebClient, visible_text

Answer = Callable[..., None]


def stored(app: Flask, conversation: str) -> ChatSettings:
    """What is kept with a conversation."""
    with app.app_context():
        found = chat_settings.read_from(db.session.query(Conversation).filter_by(public_id=conversation).one())
        db.session.remove()
        return found


def change(browser: WebClient, conversation: str, **form: str) -> str:
    """Save settings; returns the page that one is led to."""
    response = browser.send_form("PATCH", f"/conversations/{conversation}/settings", htmx=False, **form)
    assert response.status_code == 303, visible_text(response.text)
    return browser.get(response.headers["Location"]).text


def value(page: str, name: str) -> str:
    """What stands in a field."""
    found = re.search(rf'name="{name}"[^>]*?value="([^"]*)"', page) or re.search(
        rf'<textarea[^>]*name="{name}"[^>]*>([^<]*)</textarea>', page
    )
    assert found, name
    return html.unescape(found.group(1))


def test_settings_apply_to_next_answer_with_notice(app: Flask, alice: WebClient, finish_answers: Answer) -> None:
    conversation = alice.start_conversation("Hello")
    finish_answers("The first.")
    page = change(alice, conversation, name="Tutor", instructions="Be patient.\r\nAsk back.", temperature="0,5")
    assert stored(app, conversation) == ChatSettings("Tutor", "Be patient.\nAsk back.", {"temperature": 0.5})
    assert "Demo script · balanced · Tutor" in visible_text(page)
    assert re.search(r'id="next-change-notice">From here on: Tutor</p>', page)
    posted = alice.post_question("More", conversation, htmx=True).text
    assert 'hx-target="#next-change-notice" hx-swap="delete"' in posted
    assert '<p class="change-notice" >From here on: Tutor</p>' in posted
    with app.app_context():
        [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
        db.session.remove()
    assert (claim.instructions, claim.generation_options) == (("Be patient.", "Ask back."), {"temperature": 0.5})
    form = alice.get(f"/conversations/{conversation}/settings").text
    assert value(form, "name") == "Tutor"
    assert value(form, "instructions") == "Be patient.\nAsk back."
    assert value(form, "temperature") == "0.5"


def test_unnamed_settings_show_generic_change_notice(alice: WebClient, finish_answers: Answer) -> None:
    conversation = alice.start_conversation("Hello")
    finish_answers()
    page = change(alice, conversation, top_k="40")
    assert "Chat settings changed" in visible_text(page)
    assert "Demo script · balanced · custom settings" in visible_text(page)
    page = change(alice, conversation)
    assert "Chat settings changed" not in visible_text(page)
    assert "custom settings" not in visible_text(page)


def test_model_and_settings_change_share_notice(app: Flask, alice: WebClient, finish_answers: Answer) -> None:
    conversation = alice.start_conversation("Hello")
    finish_answers()
    with app.app_context():
        db.session.query(Conversation).update({"model": "gpt2"})
        db.session.commit()
        db.session.remove()
    page = change(alice, conversation, name="Tutor", instructions="Be patient.")
    assert "Answers from here on are by GPT-2 · From here on: Tutor" in visible_text(page)
    assert page.count('class="change-notice"') == 1


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"temperature": "hot"}, "Creativity (temperature): enter a number from 0 to 2"),
        ({"max_new_tokens": "100000"}, "Maximum length: enter a number from 1 to 512"),
        ({"name": "n" * 81}, "up to 80 characters"),
        ({"instructions": "i" * 4001}, "4,001 characters; the maximum is 4,000"),
    ],
)
def test_invalid_settings_show_error_and_keep_input(
    app: Flask, alice: WebClient, form: dict[str, str], sentence: str
) -> None:
    conversation = alice.start_conversation("Hello")
    typed: dict[str, Any] = {"name": "Tutor", "instructions": '<b>"Be" patient</b>', "top_p": "0.5", **form}
    response = alice.send_form("PATCH", f"/conversations/{conversation}/settings", **typed)
    assert response.status_code == 422
    assert sentence in visible_text(response.text)
    assert "<b>" not in response.text
    for name, text in typed.items():
        assert value(response.text, name) == text
    assert not stored(app, conversation)


def test_persona_fills_form_without_saving(app: Flask, alice: WebClient) -> None:
    conversation = alice.start_conversation("Hello")
    page = alice.get(f"/conversations/{conversation}/settings?persona=editor").text
    assert value(page, "name") == "Plain-language editor"
    assert value(page, "instructions").startswith("You are an editor")
    assert value(page, "temperature") == "0.2"
    assert not stored(app, conversation)
    assert alice.get(f"/conversations/{conversation}/settings?persona=nobody").status_code == 404


def test_form_explains_how_model_uses_instructions(app: Flask, alice: WebClient) -> None:
    conversation = alice.start_conversation("Hello")
    address = f"/conversations/{conversation}/settings"
    for model, words in (
        ("blenderbot-400m-distill", "reads each line as something it says about itself"),
        ("flan-t5-base", "does not follow instructions"),
        ("smollm2-135m-instruct", "before the messages, for each answer"),
        ("gone", "before the messages, for each answer"),
    ):
        with app.app_context():
            db.session.query(Conversation).update({"model": model})
            db.session.commit()
            db.session.remove()
        assert words in visible_text(alice.get(address).text)
    assert alice.get(address, headers=HTMX_HEADERS).status_code == 200


def test_prompt_report_shows_instructions(app: Flask, alice: WebClient) -> None:
    conversation = alice.start_conversation("Hello")
    with app.app_context():
        generation_leases.claim("runner", 1, 5, max_attempts=2)
        db.session.remove()
    alice.send_form("DELETE", f"/conversations/{conversation}")
    page = alice.get("/?persona=tutor").text
    assert "Patient tutor Explains step by step" in visible_text(page)
    begun = alice.send_form("POST", "/messages", text="Hello", persona="tutor", idempotency_key="t").headers["Location"]
    with app.app_context():
        [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
        report = {"budget": 100, "used": 9, "turns": [[0, "user", 1, True, False]], "persona": True}
        news = GenerationUpdate(claim.attempts, "Yes.", 1, report, Status.DONE, "end")
        generation_leases.heartbeat("runner", {claim.generation_id: news}, 5)
        db.session.remove()
    [message] = re.findall(r'href="(/messages/[\w-]{16}/prompt-report)"', alice.get(begun).text)
    assert "Persona, always at the top You are a patient tutor." in visible_text(alice.get(message).text)


def test_defaults_are_those_that_the_last_answer_had(app: Flask, alice: WebClient) -> None:
    conversation = alice.start_conversation("Hello")
    address = f"/conversations/{conversation}/settings"
    assert placeholders(alice.get(address).text) == ["512"]
    options = {"temperature": 0.2, "top_p": 0.5, "top_k": 0, "beams": 1, "seed": 9, "max_new_tokens": 7}
    finish_with_options(app, options)
    page = alice.get(address).text
    assert placeholders(page) == ["0.2", "512", "0.5", "0"]
    assert re.search(r'id="slider-temperature"[^>]*value="0.2"', page)
    change(alice, conversation, temperature="1.5")
    alice.post_question("More", conversation)
    finish_with_options(app, {**options, "temperature": 1.5, "top_p": 0.75})
    page = alice.get(address).text
    assert placeholders(page) == ["0.2", "512", "0.75", "0"]
    assert re.search(r'id="slider-temperature"[^>]*value="1.5"', page)
    alice.post_question("More", conversation)
    finish_with_options(app, {"beams": 10, "temperature": 0.0, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0})
    assert '"1"' in str(re.findall(r'id="default-repetition_penalty"><option value=("[^"]+")', alice.get(address).text))
    assert placeholders(alice.get(address).text)[0] == "0.2"


def placeholders(page: str) -> list[str]:
    """What the numbers of the form show while they are empty."""
    return re.findall(r'inputmode="decimal"[^>]*placeholder="([^"]+)"', page)


def finish_with_options(app: Flask, options: dict[str, float]) -> None:
    """Answer the waiting question; the prompt report says that these options were used."""
    with app.app_context():
        [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
        report = {"budget": 100, "used": 9, "turns": [[0, "user", 1, True, False]], "options": options}
        news = GenerationUpdate(claim.attempts, "Yes.", 1, report, Status.DONE, "end")
        generation_leases.heartbeat("runner", {claim.generation_id: news}, 5)
        db.session.remove()


def test_last_question_is_answered_with_new_settings(app: Flask, alice: WebClient, finish_answers: Answer) -> None:
    conversation = alice.start_conversation("Hello")
    address = f"/conversations/{conversation}/settings"
    button = "Answer the last question with these"
    assert button not in alice.get(address).text
    assert alice.send_form("POST", f"{address}/answers", top_k="3").status_code == 404
    assert not stored(app, conversation)
    finish_answers("The first.")
    assert button in alice.get(address).text
    refused = alice.send_form("POST", f"{address}/answers", top_k="none")
    assert refused.status_code == 422
    assert value(refused.text, "top_k") == "none"
    response = alice.send_form("POST", f"{address}/answers", instructions="Be brief.", top_k="3")
    assert response.headers["Location"] == f"/conversations/{conversation}"
    assert stored(app, conversation) == ChatSettings(None, "Be brief.", {"top_k": 3})
    with app.app_context():
        [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
        assert (claim.instructions, claim.generation_options) == (("Be brief.",), {"top_k": 3})
        assert [turn.text for turn in claim.messages] == ["Hello"]
        db.session.remove()
    # While it is written there is nothing to answer again, and nothing is stored.
    assert alice.send_form("POST", f"{address}/answers", top_k="4").status_code == 404
    assert stored(app, conversation).generation_options == {"top_k": 3}
