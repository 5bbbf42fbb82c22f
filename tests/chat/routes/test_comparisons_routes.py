"""Comparing: who is asked, what the page shows, and going on with one."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask

from chatsite.database import db
from chatsite.models import Generation
from tests.personas.test_personas_routes import BLENDER, SMOL, put
from tests.support.web_fixtures import WebClient, message_ids, visible_text

Answer = Callable[..., None]


@pytest.fixture(autouse=True)
def _ready_models(app: Flask) -> None:
    put(app, SMOL, BLENDER)


def compare(browser: WebClient, *models: str, htmx: bool = False, **form: str) -> str:
    """Ask several models; returns the address of the conversation, or for htmx what comes back."""
    browser.get("/")
    headers = {"HX-Request": "true", "HX-Request-Type": "partial"} if htmx else {}
    data: dict[str, object] = {"csrf_token": browser.csrf_token, "text": "Hello", "idempotency_key": "t", **form}
    data |= {"comparing": "1", "compare": list(models)}
    response = browser.client.post("/messages", data=data, headers=headers)
    assert response.status_code == (200 if htmx else 303), visible_text(response.text)
    return response.text if htmx else response.headers["Location"]


def names(page: str) -> list[str]:
    """Who answers in each column."""
    return re.findall(r'<h2 class="compared-name">([^<]+)</h2>', page)


def test_compared_answers_show_columns_while_streaming_and_after(alice: WebClient, finish_answers: Answer) -> None:
    address = compare(alice, "scripted", BLENDER, SMOL)
    page = alice.get(address).text
    assert names(page) == ["Demo script", "BlenderBot 400M", "SmolLM2 135M Instruct"]
    assert page.count("hx-sse:connect") == 3
    assert len(message_ids(page)) == len(set(message_ids(page))) == 4
    assert 'http-equiv="refresh"' in page
    finish_answers("All the same.")
    page = alice.get(address).text
    assert page.count("All the same.") == 3
    assert page.count("Continue with this answer") == 3
    assert 'http-equiv="refresh"' not in page
    assert 'class="change-notice"' not in page


def test_htmx_post_returns_all_compared_answers(alice: WebClient) -> None:
    body = compare(alice, SMOL, BLENDER, htmx=True)
    assert sorted(names(body)) == ["BlenderBot 400M", "SmolLM2 135M Instruct"]
    assert body.count("hx-sse:connect") == 2
    assert 'hx-target="#draft" hx-swap="outerHTML"' in body


def test_each_column_finishes_separately(alice: WebClient) -> None:
    page = alice.get(compare(alice, SMOL, BLENDER)).text
    first = message_ids(page)[1]
    finished = alice.get(f"/messages/{first}", headers={"HX-Request": "true", "HX-Request-Type": "partial"}).text
    assert f'hx-target="#message-{first}" hx-swap="outerMorph"' in finished
    assert names(finished) == []
    assert 'next-change-notice" hx-swap="delete' in finished


def test_stop_cancels_all_compared_answers(alice: WebClient) -> None:
    address = compare(alice, SMOL, BLENDER)
    page = alice.get(address).text
    alice.send_form("DELETE", f"/messages/{message_ids(page)[1]}/stream")
    assert visible_text(alice.get(address).text).count("You stopped this answer.") == 2


@pytest.mark.parametrize("htmx", [True, False])
def test_selecting_answer_ends_comparison(alice: WebClient, finish_answers: Answer, htmx: bool) -> None:
    address = compare(alice, "scripted", BLENDER)
    finish_answers("Words.")
    question, first, second = message_ids(alice.get(address).text)
    response = alice.send_form("POST", f"/messages/{second}/selection", htmx=htmx)
    if htmx:
        assert f'hx-target="#message-{first}-comparison" hx-swap="outerHTML"' in response.text
        assert "Continuing with BlenderBot 400M's answer." in response.text
        assert names(response.text) == []
    else:
        assert response.headers["Location"] == address
    page = alice.get(address).text
    assert message_ids(page) == [question, second]
    assert names(page) == []
    assert "BlenderBot 400M · precise" in visible_text(page)
    assert alice.send_form("POST", f"/messages/{question}/selection").status_code == 404


def test_comparison_within_existing_conversation(alice: WebClient, finish_answers: Answer) -> None:
    conversation = alice.start_conversation("First")
    finish_answers()
    address = compare(alice, SMOL, "scripted", conversation=conversation, idempotency_key="t2")
    page = alice.get(address).text
    assert names(page) == ["Demo script", "SmolLM2 135M Instruct"], "who answers anyway comes first"
    finish_answers()
    alice.post_question("And then?", conversation)
    page = alice.get(address).text
    assert names(page) == []
    assert len(message_ids(page)) == 6


@pytest.mark.parametrize(
    ("models", "status", "sentence"),
    [
        ((SMOL,), 422, "Choose two or three models"),
        ((SMOL, SMOL), 422, "Choose two or three models"),
        ((SMOL, BLENDER, "scripted", "gpt2"), 422, "Choose two or three models"),
        ((SMOL, "nobody"), 409, "nobody is not downloaded"),
    ],
)
def test_invalid_model_selection_is_rejected(
    app: Flask, alice: WebClient, models: tuple[str, ...], status: int, sentence: str
) -> None:
    alice.get("/")
    form: dict[str, object] = {"csrf_token": alice.csrf_token, "text": "My words", "idempotency_key": "t"}
    form |= {"comparing": "1", "compare": list(models)}
    response = alice.client.post("/messages", data=form)
    assert response.status_code == status
    assert sentence in visible_text(response.text)
    assert "My words" in response.text
    with app.app_context():
        assert db.session.execute(db.text("SELECT count(*) FROM message")).scalar() == 0
        db.session.remove()


def test_model_picker_offers_comparison_with_several_models(app: Flask, alice: WebClient) -> None:
    page = alice.get("/").text
    assert len(re.findall(r'type="checkbox" name="compare"', page)) == 3
    # The current model is ticked, and the switch is off.
    assert re.findall(r'name="compare" value="([^"]+)" checked', page) == ["scripted"]
    assert not re.search(r'name="comparing" value="1" checked', page)
    chosen = choose(alice, f"compare={SMOL}&compare={BLENDER}")
    assert chips(chosen) == ["SmolLM2 135M Instruct", "BlenderBot 400M"]
    assert len(re.findall(r'name="compare" value="[^"]+" checked', chosen)) == 2
    assert re.search(r'name="comparing" value="1" checked', chosen)
    with app.app_context():
        db.session.execute(db.text("DELETE FROM model"))
        db.session.commit()
        db.session.remove()
    page = alice.get("/").text
    assert 'name="compare"' not in page
    assert 'name="comparing"' not in page


def choose(browser: WebClient, query: str) -> str:
    """What the picker of a new conversation becomes with the switch on."""
    return browser.get(
        f"/model-picker?model=scripted&preset=&comparing=1&{query}",
        headers={"HX-Request": "true", "HX-Request-Type": "partial"},
    ).text


def chips(html: str) -> list[str]:
    """Who is named beside the picker."""
    return re.findall(r'class="compare-chip"[^>]*><span>([^<]+)</span>', html)


def test_chips_leave_models_out(alice: WebClient) -> None:
    three = f"compare=scripted&compare={SMOL}&compare={BLENDER}"
    assert len(chips(choose(alice, three))) == 3
    assert len(re.findall(r'name="compare"[^>]* disabled', choose(alice, three))) == 0
    left = choose(alice, f"{three}&without={SMOL}")
    assert chips(left) == ["BlenderBot 400M", "Demo script"]
    over = choose(alice, f"compare=scripted&compare={SMOL}&without={SMOL}")
    assert chips(over) == []
    assert not re.search(r'name="comparing" value="1" checked', over)
    # Nothing is chosen in the place of what was left out.
    assert "Demo script</b> · balanced" in over


def test_fourth_model_cannot_be_ticked(app: Flask, alice: WebClient) -> None:
    put(app, "gpt2")
    chosen = choose(alice, f"compare=scripted&compare={SMOL}&compare={BLENDER}")
    assert re.findall(r'name="compare" value="([^"]+)" disabled', chosen) == ["gpt2"]


def test_boxes_below_a_switch_that_is_off_compare_nothing(alice: WebClient) -> None:
    data = {"comparing": "", "compare": [SMOL, BLENDER], "text": "Hello", "idempotency_key": "t"}
    alice.get("/")
    response = alice.client.post("/messages", data={"csrf_token": alice.csrf_token, **data})
    assert names(alice.get(response.headers["Location"]).text) == []


def test_model_is_not_stored_while_comparing(alice: WebClient, finish_answers: Answer) -> None:
    conversation = alice.start_conversation("First")
    finish_answers()
    path = f"/conversations/{conversation}/model"
    shown = alice.send_form("PATCH", path, htmx=True, model=SMOL, comparing="1", compare=BLENDER).text
    assert "Comparing BlenderBot 400M" in shown
    assert "Demo script</b> · balanced" in visible_html(alice.get(f"/conversations/{conversation}").text)
    alice.send_form("PATCH", path, htmx=True, model=SMOL)
    assert "SmolLM2 135M Instruct</b> · balanced" in visible_html(alice.get(f"/conversations/{conversation}").text)


def visible_html(html: str) -> str:
    return re.sub(r"\s+", " ", html)


def test_current_model_that_is_gone_does_not_prevent_comparison(app: Flask, alice: WebClient) -> None:
    conversation = alice.start_conversation("First")
    with app.app_context():
        db.session.execute(db.text("UPDATE conversation SET model = 'gone'"))
        db.session.execute(db.text("UPDATE generation SET status = 'done'"))
        db.session.commit()
        db.session.remove()
    address = compare(alice, SMOL, BLENDER, conversation=conversation, idempotency_key="t2")
    assert sorted(names(alice.get(address).text)) == ["BlenderBot 400M", "SmolLM2 135M Instruct"]


def set_times(app: Flask, *seconds: float) -> None:
    """Let the compared answers have ended so many seconds after their question."""
    with app.app_context():
        for generation, after in zip(
            db.session.scalars(db.select(Generation).order_by(Generation.id)), seconds, strict=True
        ):
            generation.finished_at = generation.created_at + timedelta(seconds=after)
        db.session.commit()
        db.session.remove()


def foot(page: str) -> str:
    return visible_text(page.partition('class="comparison-foot"')[2].partition("</section>")[0])


def test_foot_says_which_answer_was_done_first(app: Flask, alice: WebClient, finish_answers: Answer) -> None:
    address = compare(alice, SMOL, BLENDER)
    page = alice.get(address).text
    assert "Done first" not in foot(page)
    assert "Regenerate" not in foot(page)
    finish_answers("Words.")
    set_times(app, 8.14, 3.2)
    page = alice.get(address).text
    assert "Done first: SmolLM2 135M Instruct, after 3.2 s · BlenderBot 400M: 8.1 s" in foot(page)
    assert "Regenerate both" in foot(page)
    # The end of the stream of either brings it to an open page.
    first, second = message_ids(page)[1:]
    for answer in (first, second):
        ended = alice.get(f"/messages/{answer}", headers={"HX-Request": "true", "HX-Request-Type": "partial"}).text
        assert f'hx-target="#message-{first}-compared" hx-swap="outerMorph"' in ended
        assert "Done first: SmolLM2" in visible_text(ended)
    set_times(app, 3.2, 3.25)
    assert "Done first" not in foot(alice.get(address).text), "at the same time"


@pytest.mark.parametrize("change", ["status = 'stopped'", "created_at = datetime(created_at, '+9 seconds')"])
def test_foot_does_not_compare_what_cannot_be_compared(
    app: Flask, alice: WebClient, finish_answers: Answer, change: str
) -> None:
    address = compare(alice, SMOL, BLENDER)
    finish_answers("Words.")
    set_times(app, 8.1, 3.2)
    with app.app_context():
        db.session.execute(db.text(f"UPDATE generation SET {change} WHERE model = '{SMOL}'"))
        db.session.commit()
        db.session.remove()
    page = alice.get(address).text
    assert "Done first" not in foot(page)
    assert "Regenerate both" in foot(page)


@pytest.mark.parametrize("htmx", [True, False])
def test_all_models_are_asked_once_more(alice: WebClient, finish_answers: Answer, htmx: bool) -> None:
    address = compare(alice, SMOL, BLENDER, "scripted")
    finish_answers("Words.")
    page = alice.get(address).text
    assert "Regenerate all" in foot(page)
    question, *old = message_ids(page)
    response = alice.send_form("POST", f"/messages/{old[1]}/comparison", htmx=htmx)
    if htmx:
        assert f'hx-target="#message-{old[0]}-comparison" hx-swap="outerHTML' in response.text
        assert names(response.text) == names(page)
        assert response.text.count("hx-sse:connect") == 3
    else:
        assert response.headers["Location"] == address
    again = alice.send_form("POST", f"/messages/{old[1]}/comparison", htmx=False)
    assert again.status_code == 409, "the old ones are no comparison any more"
    finish_answers("Other words.")
    page = alice.get(address).text
    assert message_ids(page)[0] == question
    assert not set(message_ids(page)[1:]) & set(old)
    assert names(page) == ["Demo script", "BlenderBot 400M", "SmolLM2 135M Instruct"]
    assert page.count("Other words.") == 3
    alice.send_form("POST", f"/messages/{message_ids(page)[1]}/selection")
    assert "4/6" in visible_text(alice.get(address).text), "the old answers are versions"


def test_comparison_is_regenerated_by_its_owner_alone(alice: WebClient, bob: WebClient, finish_answers: Answer) -> None:
    page = alice.get(compare(alice, SMOL, BLENDER)).text
    answer = message_ids(page)[1]
    assert alice.send_form("POST", f"/messages/{answer}/comparison").status_code == 409, "it is being written"
    finish_answers("Words.")
    assert bob.send_form("POST", f"/messages/{answer}/comparison").status_code == 404
    assert alice.send_form("POST", f"/messages/{message_ids(page)[0]}/comparison").status_code == 409


def test_stale_tab_gets_compared_answers_beside_each_other(alice: WebClient, finish_answers: Answer) -> None:
    conversation = alice.start_conversation("First")
    finish_answers("Written.")
    page = alice.get(f"/conversations/{conversation}").text
    last_known = message_ids(page)[-1]
    compare(alice, SMOL, BLENDER, conversation=conversation, idempotency_key="other")
    headers = {"HX-Request": "true", "HX-Request-Type": "partial"}
    refreshed = alice.get(f"/conversations/{conversation}?parent={last_known}", headers=headers).text
    assert sorted(names(refreshed)) == ["BlenderBot 400M", "SmolLM2 135M Instruct"]
