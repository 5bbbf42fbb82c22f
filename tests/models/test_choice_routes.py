"""Model: what the composer offers, what a choice changes, and what the history says of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from chatsite.database import db, write_transaction
from chatsite.engine.scripted import build_report
from chatsite.engine.types import GenerationOptions, Request
from chatsite.models import Conversation, LocalModel, ModelState, Status
from chatsite.runner.prompt_reports import serialize_prompt_report
from chatsite.services.chat import generation_leases
from chatsite.services.chat.generation_update import GenerationUpdate
from tests.support.web_fixtures import HTMX_HEADERS, WebClient, message_ids

SMOL, BLENDER = "smollm2-135m-instruct", "blenderbot-400m-distill"
Put = Callable[..., None]
Answer = Callable[..., None]


@pytest.fixture
def set_model_state(app: Flask) -> Put:
    """Says of models where their weights are, as a runner does."""

    def write_down(*names: str, state: ModelState = ModelState.READY) -> None:
        with app.app_context():
            with write_transaction() as session:
                for name in names:
                    session.merge(LocalModel(name=name, download_state=state))
            db.session.remove()

    return write_down


@pytest.fixture(autouse=True)
def _ready_models(set_model_state: Put) -> None:
    set_model_state(SMOL, BLENDER)


@pytest.fixture
def answer_with_report(app: Flask) -> Answer:
    """Answers the waiting question; `options` are those of the receipt."""

    def write_down(text: str = "Yes.", status: Status = Status.DONE, reason: str = "end", **options: object) -> None:
        with app.app_context():
            [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
            report = serialize_prompt_report(
                build_report(Request(1, claim.messages, GenerationOptions(seed=1))), claim.messages
            )
            report["options"] |= options
            news = GenerationUpdate(claim.attempts, text, 2, report, status, reason)
            generation_leases.heartbeat("runner", {claim.generation_id: news}, 5)
            db.session.remove()

    return write_down


def words(html: str) -> str:
    """What a reader sees."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", html))


def chosen(html: str) -> list[str]:
    """The values of the radio buttons that are on."""
    return re.findall(
        r'<input id="model-picker-\w+-\d" type="radio" name="\w+" value="([^"]*)" required checked>', html
    )


def stored(app: Flask, conversation: str) -> tuple[str | None, str | None]:
    """What is kept of the choice."""
    with app.app_context():
        found = db.session.query(Conversation).filter_by(public_id=conversation).one()
        db.session.remove()
        return found.model, found.preset


def test_model_picker_offers_only_ready_models(alice: WebClient, set_model_state: Put) -> None:
    set_model_state("gpt2", state=ModelState.ABSENT)
    page = alice.get("/").text
    assert "Model: Demo script · balanced" in words(page)
    assert chosen(page) == ["scripted", ""]
    assert set(re.findall(r'name="model" value="([^"]*)"', page)) == {SMOL, BLENDER, "scripted"}
    assert 'href="/models"' in page


def test_new_conversation_uses_chosen_model_and_preset(app: Flask, alice: WebClient) -> None:
    offered = alice.get(f"/model-picker?model={BLENDER}&preset=", headers=HTMX_HEADERS)
    assert "BlenderBot 400M · precise" in words(offered.text)
    assert chosen(offered.text) == [BLENDER, ""]
    plain = alice.get(f"/model-picker?model={BLENDER}&preset=creative")
    assert plain.headers["Location"] == f"/?model={BLENDER}&preset=creative"
    assert chosen(alice.get(plain.headers["Location"]).text) == [BLENDER, "creative"]
    posted = alice.send_form(
        "POST", "/messages", text="Hi", idempotency_key="t", conversation="", model=BLENDER, preset="balanced"
    )
    conversation = posted.headers["Location"].rpartition("/")[2]
    assert stored(app, conversation) == (BLENDER, "balanced")
    page = alice.get(posted.headers["Location"]).text
    assert "Model: BlenderBot 400M · fast" in words(page)
    assert "Compares ten drafts" in page


def test_conversation_without_choice_uses_default_model(app: Flask, alice: WebClient) -> None:
    assert stored(app, alice.start_conversation()) == ("scripted", None)


def test_model_change_is_stored_and_shown_after_last_message(
    app: Flask, alice: WebClient, answer_with_report: Answer
) -> None:
    conversation = alice.start_conversation()
    answer_with_report()
    path = f"/conversations/{conversation}"
    changed = alice.send_form("PATCH", f"{path}/model", htmx=True, model=SMOL, preset="")
    assert 'hx-target="#thread" hx-swap="beforeend"><p class="change-notice" id="next-change-notice">' in changed.text
    assert "Answers from here on are by SmolLM2 135M Instruct" in words(changed.text)
    assert "SmolLM2 135M Instruct · balanced" in words(changed.text)
    assert stored(app, conversation) == (SMOL, None)
    page = alice.get(path).text
    assert page.count("Answers from here on are by") == 1
    assert page.index('id="next-change-notice"') > page.index("Yes.")
    back = alice.send_form("PATCH", f"{path}/model", htmx=True, model="scripted", preset="")
    assert "Answers from here on are by" not in back.text
    assert 'hx-target="#next-change-notice" hx-swap="delete"' in back.text
    assert "next-change-notice" not in alice.get(path).text


def test_model_choice_is_posted_with_message_without_javascript(
    app: Flask, alice: WebClient, answer_with_report: Answer
) -> None:
    conversation = alice.start_conversation()
    answer_with_report()
    form: dict[str, Any] = {"conversation": conversation, "idempotency_key": "t2", "model": SMOL, "preset": "creative"}
    assert alice.send_form("POST", "/messages", text="More", **form).status_code == 303
    assert stored(app, conversation) == (SMOL, "creative")
    plain = alice.send_form("POST", f"/conversations/{conversation}/model?_method=PATCH", model=BLENDER, preset="")
    assert plain.headers["Location"].endswith(f"/conversations/{conversation}")
    assert stored(app, conversation) == (BLENDER, None)


def test_answer_of_other_model_shows_change_notice(alice: WebClient, answer_with_report: Answer) -> None:
    conversation = alice.start_conversation()
    answer_with_report()
    form: dict[str, Any] = {"conversation": conversation, "model": SMOL, "preset": ""}
    posted = alice.send_form("POST", "/messages", htmx=True, text="More", idempotency_key="t2", **form).text
    assert posted.count("Answers from here on are by SmolLM2 135M Instruct") == 1
    assert 'hx-target="#next-change-notice" hx-swap="delete"' in posted
    assert 'class="change-notice" id=' not in posted
    answer_with_report()
    alice.send_form("POST", "/messages", text="Still", idempotency_key="t3", **form)
    answer_with_report()
    page = alice.get(f"/conversations/{conversation}").text
    assert page.count("Answers from here on are by") == 1
    second = message_ids(page)[3]
    assert re.search(
        rf'<article id="message-{second}"[^>]*>\s*<p class="change-notice" >Answers from here on are by SmolLM2', page
    )


def test_preset_change_shows_no_change_notice(alice: WebClient, answer_with_report: Answer) -> None:
    conversation = alice.start_conversation()
    answer_with_report()
    path = f"/conversations/{conversation}"
    changed = alice.send_form("PATCH", f"{path}/model", htmx=True, preset="creative").text
    assert "Demo script · creative" in words(changed)
    assert "Answers from here on are by" not in changed + alice.get(path).text


@pytest.mark.parametrize("model", ["nobody", "gpt2", "<b>x</b>", "\u0000", "a" * 3000])
@pytest.mark.parametrize("htmx", [False, True])
def test_unavailable_model_shows_error(app: Flask, alice: WebClient, model: str, htmx: bool) -> None:
    conversation = alice.start_conversation()
    ways = [
        alice.send_form("PATCH", f"/conversations/{conversation}/model", htmx, model=model),
        alice.send_form(
            "POST", "/messages", htmx, text="Keep me", conversation=conversation, idempotency_key="t2", model=model
        ),
        alice.send_form("POST", "/messages", htmx, text="Keep me", conversation="", idempotency_key="t3", model=model),
    ]
    for response in ways:
        assert response.status_code == 409
        assert "is not downloaded" in response.text
        assert "<b>x" not in response.text
    assert htmx or "Keep me" in ways[1].text
    assert stored(app, conversation) == ("scripted", None)
    refused = alice.client.get("/", query_string={"model": model})
    assert refused.status_code == 409


def test_unknown_preset_is_rejected(alice: WebClient) -> None:
    conversation = alice.start_conversation()
    response = alice.send_form("PATCH", f"/conversations/{conversation}/model", preset="wild")
    assert response.status_code == 422
    assert "precise, balanced or creative" in response.text


def test_conversation_of_removed_model_continues_with_another(
    app: Flask, alice: WebClient, answer_with_report: Answer, set_model_state: Put
) -> None:
    posted = alice.send_form(
        "POST", "/messages", text="Hi", idempotency_key="t", conversation="", model=SMOL, preset=""
    )
    path = posted.headers["Location"]
    conversation = path.rpartition("/")[2]
    answer_with_report()
    set_model_state(SMOL, state=ModelState.ABSENT)
    page = alice.get(path).text
    assert "SmolLM2 135M Instruct is no longer available." in words(page)
    assert '<details id="model-picker" class="model-picker" open>' in page
    assert chosen(page) == [""], "No model is chosen, so that the browser asks for one."
    assert "Yes." in page
    refused = alice.post_question("Still there?", conversation, "t2")
    assert refused.status_code == 409
    assert "Still there?" in refused.text
    form: dict[str, Any] = {"conversation": conversation, "idempotency_key": "t3", "model": BLENDER, "preset": ""}
    assert alice.send_form("POST", "/messages", text="Still there?", **form).status_code == 303
    assert "is no longer available" not in words(alice.get(path).text)


def test_context_meter_is_empty_after_model_change(alice: WebClient, answer_with_report: Answer) -> None:
    conversation = alice.start_conversation("word " * 20)
    answer_with_report()
    path = f"/conversations/{conversation}"
    assert "of 2,000 tokens" in words(alice.get(path).text)
    changed = alice.send_form("PATCH", f"{path}/model", htmx=True, model=SMOL, preset="").text
    assert 'hx-target="#context-meter"' in changed
    assert "tokens" not in words(changed)
    assert "tokens" not in words(alice.send_form("PUT", f"{path}/draft", htmx=True, text="a" * 40).text)


def test_answer_with_fast_fallback_shows_note(alice: WebClient, answer_with_report: Answer) -> None:
    conversation = alice.start_conversation()
    answer_with_report(fallback="busy")
    page = alice.get(f"/conversations/{conversation}").text
    assert "Written in fast mode because the server was busy" in page
    report = alice.get(f"/messages/{message_ids(page)[-1]}/prompt-report").text
    assert "Fast mode (busy) fast mode instead of precise The queue was long" in words(report)


def test_prompt_report_shows_beam_search_settings(alice: WebClient, answer_with_report: Answer) -> None:
    conversation = alice.start_conversation()
    answer_with_report(
        beams=10, length_penalty=0.65, no_repeat_ngram=3, encoder_no_repeat_ngram=3, min_new_tokens=20, top_p=0.9
    )
    name = message_ids(alice.get(f"/conversations/{conversation}").text)[-1]
    text = words(alice.get(f"/messages/{name}/prompt-report").text)
    for part in (
        "Drafts compared (beams) 10",
        "Length penalty 0.65",
        "Block repeated phrases 3",
        "Block phrases copied from the chat 3",
        "Minimum length 20",
    ):
        assert part in text
    for part in ("Seed", "Top-p"):
        assert part not in text, "Nothing is drawn where answers are weighed."


def test_context_boundary_of_single_turn_model(app: Flask, alice: WebClient) -> None:
    conversation = alice.start_conversation("First task")
    for text in ("First result", "Second result"):
        with app.app_context():
            [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
            report = serialize_prompt_report(build_report(Request(1, claim.messages[-1:])), claim.messages) | {
                "family": "text-to-text",
                "frame": 1,
            }
            early = [[0, "user", 2, False, False], [1, "assistant", 2, False, False]] if len(claim.messages) > 1 else []
            report["turns"] = [*early, *report["turns"]]
            news = GenerationUpdate(claim.attempts, text, 2, report, Status.DONE, "end")
            generation_leases.heartbeat("runner", {claim.generation_id: news}, 5)
            db.session.remove()
        page = alice.get(f"/conversations/{conversation}").text
        assert page.index('id="context-boundary"') > page.index(text)
        alice.post_question("Second task", conversation)
    report_page = words(alice.get(f"/messages/{message_ids(page)[-1]}/prompt-report").text)
    assert "without history" in report_page
    assert report_page.index("First task") < report_page.index("above this line") < report_page.index("Second task")


def test_model_change_is_translated_to_spanish(alice: WebClient, answer_with_report: Answer) -> None:
    conversation = alice.start_conversation()
    answer_with_report(fallback="busy", beams=10)
    alice.client.set_cookie("chatsite_language", "es")
    path = f"/conversations/{conversation}"
    changed = words(alice.send_form("PATCH", f"{path}/model", htmx=True, model=BLENDER, preset="balanced").text)
    assert "BlenderBot 400M · rápido" in changed
    assert "A partir de aquí responde BlenderBot 400M" in changed
    assert "answers" not in changed
    assert "Escrita en modo rápido" in alice.get(path).text


def test_regenerate_with_another_model_adds_version(app: Flask, alice: WebClient, answer_with_report: Answer) -> None:
    response = alice.send_form("POST", "/messages", text="Hello", model=SMOL)
    conversation = response.headers["Location"].rpartition("/")[2]
    answer_with_report()
    page = alice.get(f"/conversations/{conversation}").text
    message = message_ids(page)[-1]
    assert f'href="/messages/{message}/versions"' in page
    asked = alice.get(f"/messages/{message}/versions", headers=HTMX_HEADERS).text
    assert f'name="model" value="{BLENDER}"' in asked
    made = alice.send_form("POST", f"/messages/{message}/versions", htmx=True, model=BLENDER)
    assert made.status_code == 200
    assert stored(app, conversation)[0] == BLENDER
    answer_with_report("Good day.")
    page = alice.get(f"/conversations/{conversation}").text
    assert "Good day." in page
    assert "2/2" in words(page)
