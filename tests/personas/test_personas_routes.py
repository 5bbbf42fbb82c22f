"""Personas: beginning with one, keeping one, and what is refused."""

from __future__ import annotations

import re
import secrets

import pytest
from flask import Flask

from chatsite.database import db, write_transaction
from chatsite.models import Conversation, LocalModel, ModelState
from tests.chat.routes.test_chat_settings_routes import stored, value
from tests.support.web_fixtures import HTMX_HEADERS, WebClient, visible_text

SMOL, BLENDER = "smollm2-135m-instruct", "blenderbot-400m-distill"


def put(app: Flask, *names: str) -> None:
    with app.app_context():
        with write_transaction() as session:
            for name in names:
                session.merge(LocalModel(name=name, download_state=ModelState.READY))
        db.session.remove()


def keep(browser: WebClient, **form: str) -> str:
    """Keep a persona; returns its public id."""
    response = browser.send_form("POST", "/personas", htmx=False, **form)
    assert response.status_code == 303, visible_text(response.text)
    return re.findall(r'id="persona-([\w-]{16})"', browser.get("/personas").text)[0]


def begin(browser: WebClient, **form: str) -> str:
    """Post the first question; returns the public id of the conversation."""
    response = browser.send_form(
        "POST", "/messages", text="Hello", idempotency_key=secrets.token_hex(8), htmx=False, **form
    )
    assert response.status_code == 303, visible_text(response.text)
    return response.headers["Location"].rpartition("/")[2]


def test_conversation_starts_with_persona(app: Flask, alice: WebClient) -> None:
    front = alice.get("/").text
    assert 'href="/?persona=tutor"' in front
    page = alice.get("/?persona=tutor").text
    assert '<input type="hidden" name="persona" value="tutor">' in page
    assert "Demo script · balanced · Patient tutor" in visible_text(page)
    conversation = begin(alice, persona="tutor")
    assert stored(app, conversation).persona == "Patient tutor"
    assert (stored(app, conversation).instructions or "").startswith("You are a patient tutor")
    assert "Demo script · balanced · Patient tutor" in visible_text(alice.get(f"/conversations/{conversation}").text)
    assert not stored(app, begin(alice, persona=""))


def test_builtin_personas_are_translated(alice: WebClient) -> None:
    alice.client.set_cookie("chatsite_language", "es")
    page = alice.get("/personas").text
    assert "Patient tutor" not in page
    assert "You are a" not in page


def test_custom_persona_can_be_created_used_edited_deleted(app: Flask, alice: WebClient) -> None:
    put(app, SMOL)
    name = keep(alice, name="My <b>cook</b>", instructions="Cook.", temperature="0.1", model=SMOL)
    page = alice.get("/personas").text
    assert "My &lt;b&gt;cook&lt;/b&gt;" in page
    assert "Model: SmolLM2 135M Instruct" in visible_text(page)
    form = alice.get(f"/personas/{name}").text
    assert (value(form, "instructions"), value(form, "temperature")) == ("Cook.", "0.1")
    assert re.search(rf'value="{SMOL}" selected', form)
    offered = alice.get(f"/?persona={name}").text
    assert re.search(rf'name="model" value="{SMOL}" required checked', offered)
    chosen = alice.get(f"/model-picker?model=scripted&preset=&persona={name}", headers=HTMX_HEADERS).text
    assert "Demo script · balanced · My &lt;b&gt;cook" in visible_text(chosen)
    changed = alice.send_form("PATCH", f"/personas/{name}", name="Chef", instructions="Cook well.", model="")
    assert changed.headers["Location"] == "/personas"
    conversation = begin(alice, persona=name)
    assert (stored(app, conversation).persona, stored(app, conversation).generation_options) == ("Chef", {})
    deleted = alice.send_form("DELETE", f"/personas/{name}", htmx=False)
    assert "Chef" not in alice.get("/personas").text
    assert stored(app, conversation).persona == "Chef"
    offered = alice.get(deleted.headers["Location"]).text
    assert "Persona deleted." in visible_text(offered)
    [undo] = re.findall(r'action="(/undos/[\w-]{16})"', offered)[:1]
    assert alice.send_form("POST", undo).status_code == 303
    assert "Chef" in alice.get("/personas").text
    assert value(alice.get(f"/personas/{name}").text, "instructions") == "Cook well."
    assert alice.send_form("POST", undo).status_code == 409


def test_conversation_settings_can_be_saved_as_persona(app: Flask, alice: WebClient) -> None:
    put(app, SMOL)
    conversation = begin(alice, model=SMOL, preset="creative")
    form = alice.get(f"/conversations/{conversation}/settings").text
    assert 'formaction="/personas"' in form
    name = keep(alice, conversation=conversation, name="Mine", instructions="Be brief.")
    begun = begin(alice, persona=name)
    with app.app_context():
        found = db.session.query(Conversation).filter_by(public_id=begun).one()
        db.session.remove()
    assert (found.model, found.preset, found.instructions) == (SMOL, "creative", "Be brief.")


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"name": " "}, "Enter a name"),
        ({"name": "N"}, "Add instructions or change a setting first"),
        ({"name": "N", "instructions": "I", "seed": "-1"}, "Seed: enter a number"),
        ({"name": "N", "instructions": "I", "model": "nobody"}, "nobody is not downloaded"),
    ],
)
def test_invalid_persona_keeps_form_input(app: Flask, alice: WebClient, form: dict[str, str], sentence: str) -> None:
    response = alice.send_form("POST", "/personas", htmx=False, **form)
    assert response.status_code in {409, 422}
    assert sentence in visible_text(response.text)
    assert value(response.text, "name") == form["name"]
    assert alice.find_cookie("chatsite_visitor") is None, "nobody is stored for what was refused"
    name = keep(alice, name="Kept", instructions="Kept.")
    refused = alice.send_form("PATCH", f"/personas/{name}", htmx=False, **form)
    assert sentence in visible_text(refused.text)
    assert value(alice.get(f"/personas/{name}").text, "name") == "Kept"


def test_outsider_cannot_use_persona(app: Flask, alice: WebClient, bob: WebClient) -> None:
    name = keep(alice, name="Mine alone", instructions="Mine alone")
    for address in (f"/?persona={name}", f"/personas/new?persona={name}", f"/model-picker?persona={name}"):
        response = bob.get(address)
        assert response.status_code == 404
        assert "Mine alone" not in response.text
    refused = bob.send_form("POST", "/messages", text="My words", idempotency_key="t", persona=name)
    assert refused.status_code == 404
    assert "My words" in refused.text
    assert 'name="persona"' not in refused.text, "sent again, it begins without"
    conversation = alice.start_conversation("Mine")
    assert bob.send_form("POST", "/personas", conversation=conversation, name="N", instructions="I").status_code == 404


def test_persona_exceeding_context_is_rejected_keeping_text(app: Flask, alice: WebClient) -> None:
    put(app, BLENDER)
    long = keep(alice, name="Long", instructions="I love to travel.\n" * 20)
    response = alice.send_form(
        "POST", "/messages", text="My words", idempotency_key="t", persona=long, model=BLENDER, preset=""
    )
    assert response.status_code == 422
    assert "of the 128 tokens of BlenderBot 400M" in visible_text(response.text)
    assert "My words" in response.text
    assert "Traveler" in visible_text(alice.get(f"/?model={BLENDER}").text)
