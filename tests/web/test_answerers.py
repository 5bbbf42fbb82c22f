"""Who answers: what the composer offers, what a choice changes, and what the history says of it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask

from chatsite.database import db, write
from chatsite.engine import Options, Request
from chatsite.engine.scripted import read
from chatsite.models import Conversation, Model, ModelState, Status
from chatsite.runner.receipts import compact
from chatsite.services import claims
from tests.web.conftest import HTMX, Browser, message_ids

SMOL, BLENDER = "smollm2-135m-instruct", "blenderbot-400m-distill"
Put = Callable[..., None]
Answer = Callable[..., None]


@pytest.fixture
def put(app: Flask) -> Put:
    """Says of models where their weights are, as a runner does."""

    def write_down(*names: str, state: ModelState = ModelState.READY) -> None:
        with app.app_context():
            with write() as session:
                for name in names:
                    session.merge(Model(name=name, state=state))
            db.session.remove()

    return write_down


@pytest.fixture(autouse=True)
def _weights(put: Put) -> None:
    put(SMOL, BLENDER)


@pytest.fixture
def reply(app: Flask) -> Answer:
    """Answers the waiting question; `options` are those of the receipt."""

    def write_down(text: str = "Yes.", status: Status = Status.DONE, reason: str = "end", **options: object) -> None:
        with app.app_context():
            [claim] = claims.claim("runner", 1, 5, 2)
            receipt = compact(read(Request(1, claim.turns, Options(seed=1))), claim.turns)
            receipt["options"] |= options
            news = claims.Written(claim.attempt, text, 2, receipt, status, reason)
            claims.record("runner", {claim.generation_id: news}, 5)
            db.session.remove()

    return write_down


def words(html: str) -> str:
    """What a reader sees."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", html))


def chosen(html: str) -> list[str]:
    """The values of the radio buttons that are on."""
    return re.findall(r'<input id="answerer-\w+-\d" type="radio" name="\w+" value="([^"]*)" required checked>', html)


def stored(app: Flask, conversation: str) -> tuple[str | None, str | None]:
    """What is kept of the choice."""
    with app.app_context():
        found = db.session.query(Conversation).filter_by(public_id=conversation).one()
        db.session.remove()
        return found.model, found.preset


def test_the_composer_says_who_answers_and_offers_who_is_here(alice: Browser, put: Put) -> None:
    put("gpt2", state=ModelState.ABSENT)
    page = alice.get("/").text
    assert "Who answers: Demo script · balanced" in words(page)
    assert chosen(page) == ["scripted", ""]
    assert set(re.findall(r'name="model" value="([^"]*)"', page)) == {SMOL, BLENDER, "scripted"}
    assert 'href="/models"' in page


def test_a_new_conversation_begins_with_who_was_chosen(app: Flask, alice: Browser) -> None:
    offered = alice.get(f"/answerer?model={BLENDER}&preset=", headers=HTMX)
    assert "BlenderBot 400M · precise" in words(offered.text)
    assert chosen(offered.text) == [BLENDER, ""]
    plain = alice.get(f"/answerer?model={BLENDER}&preset=creative")
    assert plain.headers["Location"] == f"/?model={BLENDER}&preset=creative"
    assert chosen(alice.get(plain.headers["Location"]).text) == [BLENDER, "creative"]
    posted = alice.send("POST", "/messages", text="Hi", token="t", conversation="", model=BLENDER, preset="balanced")
    conversation = posted.headers["Location"].rpartition("/")[2]
    assert stored(app, conversation) == (BLENDER, "balanced")
    page = alice.get(posted.headers["Location"]).text
    assert "Who answers: BlenderBot 400M · fast" in words(page)
    assert "Weighs ten answers" in page


def test_without_a_choice_a_conversation_gets_the_default(app: Flask, alice: Browser) -> None:
    assert stored(app, alice.start()) == ("scripted", None)


def test_a_choice_is_kept_and_told_at_the_end_of_the_history(app: Flask, alice: Browser, reply: Answer) -> None:
    conversation = alice.start()
    reply()
    path = f"/conversations/{conversation}"
    changed = alice.send("PATCH", f"{path}/answerer", htmx=True, model=SMOL, preset="")
    assert 'hx-target="#thread" hx-swap="beforeend"><p class="handover" id="next-answerer">' in changed.text
    assert "SmolLM2 135M Instruct answers from here on" in words(changed.text)
    assert "SmolLM2 135M Instruct · balanced" in words(changed.text)
    assert stored(app, conversation) == (SMOL, None)
    page = alice.get(path).text
    assert page.count("answers from here on</p>") == 1
    assert page.index('id="next-answerer"') > page.index("Yes.")
    back = alice.send("PATCH", f"{path}/answerer", htmx=True, model="scripted", preset="")
    assert "answers from here on</p>" not in back.text
    assert 'hx-target="#next-answerer" hx-swap="delete"' in back.text
    assert "next-answerer" not in alice.get(path).text


def test_without_javascript_the_choice_travels_with_the_next_question(
    app: Flask, alice: Browser, reply: Answer
) -> None:
    conversation = alice.start()
    reply()
    form = {"conversation": conversation, "token": "t2", "model": SMOL, "preset": "creative"}
    assert alice.send("POST", "/messages", text="More", **form).status_code == 303
    assert stored(app, conversation) == (SMOL, "creative")
    plain = alice.send("POST", f"/conversations/{conversation}/answerer?_method=PATCH", model=BLENDER, preset="")
    assert plain.headers["Location"].endswith(f"/conversations/{conversation}")
    assert stored(app, conversation) == (BLENDER, None)


def test_the_answer_of_another_model_says_so(alice: Browser, reply: Answer) -> None:
    conversation = alice.start()
    reply()
    form = {"conversation": conversation, "model": SMOL, "preset": ""}
    posted = alice.send("POST", "/messages", htmx=True, text="More", token="t2", **form).text
    assert posted.count("SmolLM2 135M Instruct answers from here on") == 1
    assert 'hx-target="#next-answerer" hx-swap="delete"' in posted
    assert 'class="handover" id=' not in posted
    reply()
    alice.send("POST", "/messages", text="Still", token="t3", **form)
    reply()
    page = alice.get(f"/conversations/{conversation}").text
    assert page.count("answers from here on</p>") == 1
    second = message_ids(page)[3]
    assert re.search(rf'<article id="message-{second}"[^>]*>\s*<p class="handover" >SmolLM2', page)


def test_a_change_of_manner_is_no_change_of_hands(alice: Browser, reply: Answer) -> None:
    conversation = alice.start()
    reply()
    path = f"/conversations/{conversation}"
    changed = alice.send("PATCH", f"{path}/answerer", htmx=True, preset="creative").text
    assert "Demo script · creative" in words(changed)
    assert "answers from here on</p>" not in changed + alice.get(path).text


@pytest.mark.parametrize("model", ["nobody", "gpt2", "<b>x</b>", "\u0000", "a" * 3000])
@pytest.mark.parametrize("htmx", [False, True])
def test_who_is_not_here_is_refused_with_a_sentence(app: Flask, alice: Browser, model: str, htmx: bool) -> None:
    conversation = alice.start()
    ways = [
        alice.send("PATCH", f"/conversations/{conversation}/answerer", htmx, model=model),
        alice.send("POST", "/messages", htmx, text="Keep me", conversation=conversation, token="t2", model=model),
        alice.send("POST", "/messages", htmx, text="Keep me", conversation="", token="t3", model=model),
    ]
    for response in ways:
        assert response.status_code == 409
        assert "is not on this machine" in response.text
        assert "<b>x" not in response.text
    assert htmx or "Keep me" in ways[1].text
    assert stored(app, conversation) == ("scripted", None)
    refused = alice.client.get("/", query_string={"model": model})
    assert refused.status_code == 409


def test_a_manner_that_nobody_offers(alice: Browser) -> None:
    conversation = alice.start()
    response = alice.send("PATCH", f"/conversations/{conversation}/answerer", preset="wild")
    assert response.status_code == 422
    assert "precise, balanced or creative" in response.text


def test_a_model_that_was_removed_leaves_everything_and_another_can_answer(
    app: Flask, alice: Browser, reply: Answer, put: Put
) -> None:
    posted = alice.send("POST", "/messages", text="Hi", token="t", conversation="", model=SMOL, preset="")
    path = posted.headers["Location"]
    conversation = path.rpartition("/")[2]
    reply()
    put(SMOL, state=ModelState.ABSENT)
    page = alice.get(path).text
    assert "SmolLM2 135M Instruct is not on this machine any more." in words(page)
    assert '<details id="answerer" class="answerer" open>' in page
    assert chosen(page) == [""], "No model is chosen, so that the browser asks for one."
    assert "Yes." in page
    refused = alice.ask("Still there?", conversation, "t2")
    assert refused.status_code == 409
    assert "Still there?" in refused.text
    form = {"conversation": conversation, "token": "t3", "model": BLENDER, "preset": ""}
    assert alice.send("POST", "/messages", text="Still there?", **form).status_code == 303
    assert "is not on this machine" not in words(alice.get(path).text)


def test_nothing_is_said_of_the_window_of_a_model_that_did_not_answer_yet(alice: Browser, reply: Answer) -> None:
    conversation = alice.start("word " * 20)
    reply()
    path = f"/conversations/{conversation}"
    assert "of 2,000 tokens" in words(alice.get(path).text)
    changed = alice.send("PATCH", f"{path}/answerer", htmx=True, model=SMOL, preset="").text
    assert 'hx-target="#gauge"' in changed
    assert "tokens" not in words(changed)
    assert "tokens" not in words(alice.send("PUT", f"{path}/draft", htmx=True, text="a" * 40).text)


def test_an_answer_that_was_hurried_says_so(alice: Browser, reply: Answer) -> None:
    conversation = alice.start()
    reply(fallback="busy")
    page = alice.get(f"/conversations/{conversation}").text
    assert "Written the fast way, because many answers were waiting" in page
    receipt = alice.get(f"/messages/{message_ids(page)[-1]}/receipt").text
    assert "In haste fast instead of precise Many answers were waiting" in words(receipt)


def test_a_receipt_tells_how_answers_were_weighed(alice: Browser, reply: Answer) -> None:
    conversation = alice.start()
    reply(beams=10, length_penalty=0.65, no_repeat_ngram=3, encoder_no_repeat_ngram=3, min_new_tokens=20, top_p=0.9)
    name = message_ids(alice.get(f"/conversations/{conversation}").text)[-1]
    text = words(alice.get(f"/messages/{name}/receipt").text)
    for part in ("Beams 10", "Length penalty 0.65", "No repeats 3", "No echo 3", "Least length 20"):
        assert part in text
    for part in ("Seed", "Top-p"):
        assert part not in text, "Nothing is drawn where answers are weighed."


def test_one_task_a_message_has_no_history_and_the_line_says_so(app: Flask, alice: Browser) -> None:
    conversation = alice.start("First task")
    for text in ("First result", "Second result"):
        with app.app_context():
            [claim] = claims.claim("runner", 1, 5, 2)
            receipt = compact(read(Request(1, claim.turns[-1:])), claim.turns) | {"family": "text-to-text", "frame": 1}
            early = [[0, "user", 2, False, False], [1, "assistant", 2, False, False]] if len(claim.turns) > 1 else []
            receipt["turns"] = [*early, *receipt["turns"]]
            news = claims.Written(claim.attempt, text, 2, receipt, Status.DONE, "end")
            claims.record("runner", {claim.generation_id: news}, 5)
            db.session.remove()
        page = alice.get(f"/conversations/{conversation}").text
        assert page.index('id="cut"') > page.index(text)
        alice.ask("Second task", conversation)
    receipt_page = words(alice.get(f"/messages/{message_ids(page)[-1]}/receipt").text)
    assert "by its nature it has no history" in receipt_page
    assert receipt_page.index("First task") < receipt_page.index("above this line") < receipt_page.index("Second task")


def test_it_speaks_spanish(alice: Browser, reply: Answer) -> None:
    conversation = alice.start()
    reply(fallback="busy", beams=10)
    alice.client.set_cookie("chatsite_language", "es")
    path = f"/conversations/{conversation}"
    changed = words(alice.send("PATCH", f"{path}/answerer", htmx=True, model=BLENDER, preset="balanced").text)
    assert "BlenderBot 400M · rápido" in changed
    assert "BlenderBot 400M responde a partir de aquí" in changed
    assert "answers" not in changed
    assert "Escrita de la manera rápida" in alice.get(path).text


def test_another_model_can_answer_the_same_question(app: Flask, alice: Browser, reply: Answer) -> None:
    response = alice.send("POST", "/messages", text="Hello", model=SMOL)
    conversation = response.headers["Location"].rpartition("/")[2]
    reply()
    page = alice.get(f"/conversations/{conversation}").text
    message = message_ids(page)[-1]
    # Where several could answer it is asked who is to.
    assert f'hx-get="/messages/{message}/versions"' in page
    asked = alice.get(f"/messages/{message}/versions", headers=HTMX).text
    assert f'name="model" value="{BLENDER}"' in asked
    made = alice.send("POST", f"/messages/{message}/versions", htmx=True, model=BLENDER)
    assert made.status_code == 200
    assert stored(app, conversation)[0] == BLENDER
    reply("Good day.")
    page = alice.get(f"/conversations/{conversation}").text
    assert "Good day." in page
    assert "2/2" in words(page)
