"""Personas: beginning with one, keeping one, and what is refused."""

from __future__ import annotations

import re
import secrets

import pytest
from flask import Flask

from chatsite.database import db, write
from chatsite.models import Conversation, Model, ModelState
from tests.web.conftest import HTMX, Browser, plain
from tests.web.test_settings import stored, value

SMOL, BLENDER = "smollm2-135m-instruct", "blenderbot-400m-distill"


def put(app: Flask, *names: str) -> None:
    with app.app_context():
        with write() as session:
            for name in names:
                session.merge(Model(name=name, state=ModelState.READY))
        db.session.remove()


def keep(browser: Browser, **form: str) -> str:
    """Keep a persona; returns its public id."""
    response = browser.send("POST", "/personas", **form)
    assert response.status_code == 303, plain(response.text)
    return re.findall(r'id="persona-([\w-]{16})"', browser.get("/personas").text)[0]


def begin(browser: Browser, **form: str) -> str:
    """Post the first question; returns the public id of the conversation."""
    response = browser.send("POST", "/messages", text="Hello", token=secrets.token_hex(8), **form)
    assert response.status_code == 303, plain(response.text)
    return response.headers["Location"].rpartition("/")[2]


def test_a_conversation_begins_with_a_persona(app: Flask, alice: Browser) -> None:
    front = alice.get("/").text
    assert 'href="/?persona=tutor"' in front
    page = alice.get("/?persona=tutor").text
    assert '<input type="hidden" name="persona" value="tutor">' in page
    assert "Demo script · balanced · Patient tutor" in plain(page)
    conversation = begin(alice, persona="tutor")
    assert stored(app, conversation).persona == "Patient tutor"
    assert (stored(app, conversation).instructions or "").startswith("You are a patient tutor")
    assert "Demo script · balanced · Patient tutor" in plain(alice.get(f"/conversations/{conversation}").text)
    assert not stored(app, begin(alice, persona=""))


def test_those_that_come_with_the_site_speak_the_visitors_language(alice: Browser) -> None:
    alice.client.set_cookie("chatsite_language", "es")
    page = alice.get("/personas").text
    assert "Patient tutor" not in page
    assert "You are a" not in page


def test_a_persona_of_ones_own(app: Flask, alice: Browser) -> None:
    put(app, SMOL)
    name = keep(alice, name="My <b>cook</b>", instructions="Cook.", temperature="0.1", model=SMOL)
    page = alice.get("/personas").text
    assert "My &lt;b&gt;cook&lt;/b&gt;" in page
    assert "Answered by SmolLM2 135M Instruct" in plain(page)
    form = alice.get(f"/personas/{name}").text
    assert (value(form, "instructions"), value(form, "temperature")) == ("Cook.", "0.1")
    assert re.search(rf'value="{SMOL}" selected', form)
    offered = alice.get(f"/?persona={name}").text
    assert re.search(rf'name="model" value="{SMOL}" required checked', offered)
    chosen = alice.get(f"/answerer?model=scripted&preset=&persona={name}", headers=HTMX).text
    assert "Demo script · balanced · My &lt;b&gt;cook" in plain(chosen)
    changed = alice.send("PATCH", f"/personas/{name}", name="Chef", instructions="Cook well.", model="")
    assert changed.headers["Location"] == "/personas"
    conversation = begin(alice, persona=name)
    assert (stored(app, conversation).persona, stored(app, conversation).numbers) == ("Chef", {})
    assert "Chef" in alice.get(f"/personas/{name}/deletion").text
    alice.send("DELETE", f"/personas/{name}")
    assert "Chef" not in alice.get("/personas").text
    assert stored(app, conversation).persona == "Chef"


def test_the_settings_of_a_conversation_are_kept_as_one(app: Flask, alice: Browser) -> None:
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
        ({"name": " "}, "Give it a name"),
        ({"name": "N"}, "Write instructions or set a number first"),
        ({"name": "N", "instructions": "I", "seed": "-1"}, "Seed: write a number"),
        ({"name": "N", "instructions": "I", "model": "nobody"}, "nobody is not on this machine"),
    ],
)
def test_what_is_no_persona_stays_in_the_form(app: Flask, alice: Browser, form: dict[str, str], sentence: str) -> None:
    response = alice.send("POST", "/personas", **form)
    assert response.status_code in {409, 422}
    assert sentence in plain(response.text)
    assert value(response.text, "name") == form["name"]
    assert alice.client.get_cookie("chatsite_visitor") is None, "nobody is stored for what was refused"
    name = keep(alice, name="Kept", instructions="Kept.")
    refused = alice.send("PATCH", f"/personas/{name}", **form)
    assert sentence in plain(refused.text)
    assert value(alice.get(f"/personas/{name}").text, "name") == "Kept"


def test_nobody_begins_with_the_persona_of_another(app: Flask, alice: Browser, bob: Browser) -> None:
    name = keep(alice, name="Mine alone", instructions="Mine alone")
    for address in (f"/?persona={name}", f"/personas/new?persona={name}", f"/answerer?persona={name}"):
        response = bob.get(address)
        assert response.status_code == 404
        assert "Mine alone" not in response.text
    refused = bob.send("POST", "/messages", text="My words", token="t", persona=name)
    assert refused.status_code == 404
    assert "My words" in refused.text
    assert 'name="persona"' not in refused.text, "sent again, it begins without"
    conversation = alice.start("Mine")
    assert bob.send("POST", "/personas", conversation=conversation, name="N", instructions="I").status_code == 404


def test_a_persona_that_leaves_no_room_is_refused_with_the_text_kept(app: Flask, alice: Browser) -> None:
    put(app, BLENDER)
    long = keep(alice, name="Long", instructions="I love to travel.\n" * 20)
    response = alice.send("POST", "/messages", text="My words", token="t", persona=long, model=BLENDER, preset="")
    assert response.status_code == 422
    assert "of the 128 tokens that BlenderBot 400M sees" in plain(response.text)
    assert "My words" in response.text
    assert "Traveller" in plain(alice.get(f"/?model={BLENDER}").text)
