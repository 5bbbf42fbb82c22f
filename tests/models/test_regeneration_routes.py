"""Regenerate: one click uses the model that answered; the menu asks for another style or another model."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask

from chatsite.database import db, write_transaction
from chatsite.models import Generation, LocalModel, ModelState, Status
from chatsite.services.chat import generation_leases
from chatsite.services.chat.variations import SENTENCES, Variation
from tests.support.web_fixtures import HTMX_HEADERS, WebClient, message_ids, visible_text

SMOL, BLENDER = "smollm2-135m-instruct", "blenderbot-400m-distill"
Answer = Callable[..., None]


@pytest.fixture(autouse=True)
def _ready_models(app: Flask) -> None:
    with app.app_context():
        with write_transaction() as session:
            for name in (SMOL, BLENDER):
                session.merge(LocalModel(name=name, download_state=ModelState.READY))
        db.session.remove()


def start(alice: WebClient, answer: Answer, model: str = SMOL) -> tuple[str, str]:
    """A conversation with an answer of a model: their paths."""
    path = alice.send_form("POST", "/messages", text="Why is the sky blue?", model=model).headers["Location"]
    answer("Because of scattering.")
    return path, f"/messages/{message_ids(alice.get(path).text)[-1]}"


def latest(app: Flask) -> tuple[str | None, str | None, str | None]:
    """Model, style and instructions of the newest generation."""
    with app.app_context():
        row = db.session.query(Generation).order_by(Generation.id.desc()).first()
        assert row
        found = row.model, row.preset, row.instructions
        db.session.remove()
        return found


def test_click_uses_model_that_answered(app: Flask, alice: WebClient, finish_answers: Answer) -> None:
    path, answer = start(alice, finish_answers)
    alice.send_form("PATCH", f"{path}/model", model=BLENDER)
    assert alice.send_form("POST", f"{answer}/versions").status_code == 303
    assert latest(app)[0] == SMOL
    finish_answers("Rayleigh.")
    # The model that was chosen for what comes next stays chosen.
    assert "BlenderBot 400M · " in visible_text(alice.get(path).text).replace(" ·", " ·")
    alice.send_form("POST", "/messages", text="And red?", conversation=path.rpartition("/")[2])
    assert latest(app)[0] == BLENDER


def test_model_that_is_gone_is_replaced_by_chosen_one(app: Flask, alice: WebClient, finish_answers: Answer) -> None:
    path, answer = start(alice, finish_answers)
    alice.send_form("PATCH", f"{path}/model", model=BLENDER)
    with app.app_context():
        with write_transaction() as session:
            session.merge(LocalModel(name=SMOL, download_state=ModelState.ABSENT))
        db.session.remove()
    assert alice.send_form("POST", f"{answer}/versions").status_code == 303
    assert latest(app)[0] == BLENDER


def test_variation_is_told_to_model_for_this_answer_alone(app: Flask, alice: WebClient, finish_answers: Answer) -> None:
    path, answer = start(alice, finish_answers)
    menu = alice.get(f"{answer}/versions", headers=HTMX_HEADERS).text
    labels = re.findall(r'name="(variation|preset|model)" value="([\w.-]+)"', menu)
    assert labels == [
        ("variation", "shorter"),
        ("variation", "simpler"),
        ("preset", "precise"),
        ("preset", "creative"),
        ("model", BLENDER),
        ("model", "scripted"),
    ]
    assert alice.send_form("POST", f"{answer}/versions", variation="shorter").status_code == 303
    sentence = SENTENCES[Variation.SHORTER]["en"]
    assert latest(app) == (SMOL, None, sentence)
    finish_answers("Scattering.", Status.STOPPED, "cancelled")
    page = alice.get(path).text
    assert "Settings changed here" not in page
    again = message_ids(page)[-1]
    # Another try is asked for the same; what comes next is not.
    assert alice.send_form("POST", f"/messages/{again}/generations", mode="retry").status_code == 303
    assert latest(app)[2] == sentence
    finish_answers("Scattering.")
    alice.send_form("POST", "/messages", text="And red?", conversation=path.rpartition("/")[2])
    assert latest(app)[2] is None
    finish_answers("Dusk.")
    assert "Settings changed here" not in alice.get(path).text


def test_history_says_that_answer_was_to_be_shorter(alice: WebClient, finish_answers: Answer) -> None:
    path, _ = start(alice, finish_answers)
    alice.send_form("POST", "/messages", text="And red?", conversation=path.rpartition("/")[2])
    finish_answers("Dusk.")
    answer = f"/messages/{message_ids(alice.get(path).text)[-1]}"
    alice.client.set_cookie(alice.cookie_name("chatsite_language"), "es")
    made = alice.send_form("POST", f"{answer}/versions", htmx=True, variation="simpler")
    assert "Pediste una respuesta más sencilla" in made.text
    finish_answers("Evening.")
    assert alice.get(path).text.count("Pediste una respuesta más sencilla") == 1


def test_style_is_for_this_answer_alone(app: Flask, alice: WebClient, finish_answers: Answer) -> None:
    path, answer = start(alice, finish_answers, BLENDER)
    menu = alice.get(f"{answer}/versions", headers=HTMX_HEADERS).text
    assert "variation" not in menu
    assert 'value="precise"' not in menu, "that is how it answered"
    alice.send_form("POST", f"{answer}/versions", preset="creative")
    assert latest(app)[:2] == (BLENDER, "creative")
    finish_answers("Dreams.")
    # From there, the way back is on offer.
    again = message_ids(alice.get(path).text)[-1]
    menu = alice.get(f"/messages/{again}/versions", headers=HTMX_HEADERS).text
    assert 'value="precise"' in menu
    assert 'value="creative"' not in menu
    alice.send_form("POST", "/messages", text="And red?", conversation=path.rpartition("/")[2])
    assert latest(app)[:2] == (BLENDER, None)


def test_page_of_many_answers_loads_variations_with_one_query(
    app: Flask, alice: WebClient, finish_answers: Answer
) -> None:
    path, _ = start(alice, finish_answers)
    conversation = path.rpartition("/")[2]
    counts = []
    for _ in range(3):
        alice.send_form("POST", "/messages", text="Why?", conversation=conversation)
        finish_answers("Because.")
        answer = message_ids(alice.get(path).text)[-1]
        alice.send_form("POST", f"/messages/{answer}/versions", variation="shorter")
        finish_answers("So.")
        counts.append(_count_queries(app, alice, path))
    assert counts[0] == counts[-1]


def _count_queries(app: Flask, alice: WebClient, path: str) -> int:
    from sqlalchemy import event

    statements: list[str] = []

    def note(*args: object) -> None:
        statements.append(str(args[2]))

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    alice.get(path)
    event.remove(engine, "before_cursor_execute", note)
    return len(statements)


def test_claim_reads_variation(app: Flask, alice: WebClient, finish_answers: Answer) -> None:
    _, answer = start(alice, finish_answers)
    alice.send_form("POST", f"{answer}/versions", variation="shorter")
    with app.app_context():
        [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
        db.session.remove()
    assert claim.instructions == (SENTENCES[Variation.SHORTER]["en"],)
