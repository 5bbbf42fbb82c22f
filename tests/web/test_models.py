"""The page of models: what the cards say, how a model is pulled and removed there, and by whom."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from chatsite.database import db
from chatsite.engine import Residence, reasons
from chatsite.engine.catalogue import EMBEDDED, PREFERRED
from chatsite.engine.reasons import because
from chatsite.models import Model, ModelState, Wish
from chatsite.services import models
from chatsite.web.fragments import dom_id
from tests.conftest import close, make_app
from tests.web.conftest import HTMX, Browser, plain
from tests.web.test_templates import elements

OWN = """
["our.model-1"]
hub = "somebody/some-model"
title = "Ours <b>& best</b>"
purpose = "Knows the <script>alert(1)</script> garden."
licence = "100 %(free)s"
terms = "<i>Ask us</i>"
caution = "\\"quoted\\" & 'marked'"
languages = ["es", "qqq"]
context = 1080

[elsewhere]
folder = "nowhere"

[vast]
hub = "somebody/vast"
download = 2000000000000000
"""
WEIGHTS = f"/models/{PREFERRED}/weights"
REMOVAL = f"{WEIGHTS}/removal"
WAYS = pytest.mark.parametrize("htmx", [True, False], ids=["htmx", "plain"])
HOSTILE = ["x", "../etc/passwd", "%2e%2e", "a" * 5000, "\u0000", "'; DROP TABLE model; --", "ü", "<b>", "a/b/c", "%s"]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    """A site whose visitors may manage its models, two of which are its owner's own."""
    (tmp_path / "models.toml").write_text(OWN, "utf-8")
    made = make_app(tmp_path, MODEL="auto", MANAGE_MODELS=True)
    yield made
    close(made)


def wish(app: Flask, name: str = PREFERRED) -> Wish | None:
    """What was wished for a model."""
    with app.app_context():
        row = db.session.get(Model, name)
        db.session.remove()
        return row.wish if row else None


def card(app: Flask, html: str, name: str = PREFERRED) -> str:
    """The card of a model on the page of all, without its tags; white space counts once."""
    with app.app_context():
        place = dom_id(models.get(models.known(app.config), name))
    found = re.search(rf'<li id="{re.escape(place)}".*?</article>', html, re.DOTALL)
    assert found, place
    return plain(found[0])


def names(app: Flask, html: str) -> list[str]:
    """The models of the page, in order."""
    return re.findall(r'<a href="/models/([^"/]+)">', html)


def test_a_card_answers_what_one_asks_before_choosing(app: Flask, alice: Browser) -> None:
    text = card(app, alice.get("/models").text)
    for said in (
        "BlenderBot 400M",
        "Small talk in short turns",
        "365 million weights",
        "730 MB to fetch",
        "about the last 6 turns 128 tokens",
        "English",
        "Reddit conversations",
        "invents a life of its own",
        "Apache-2.0",
        "huggingface.co/facebook/blenderbot-400M-distill",
        "Not on this machine",
    ):
        assert said in text, said
    assert re.search(r"about \d+ MB in memory", text)


def test_ready_models_come_first_and_then_the_smaller_ones(
    app: Flask, alice: Browser, tell: Callable[..., None]
) -> None:
    tell(PREFERRED, state=ModelState.READY)
    tell("blenderbot-3b", state=ModelState.FETCHING)
    found = names(app, alice.get("/models").text)
    assert found.index(PREFERRED) < found.index("blenderbot-3b") < found.index("blenderbot-1b-distill")
    assert found[0] == PREFERRED
    assert len(found) == len(set(found))
    with app.app_context():
        assert set(found) == {each.name for each in models.cards(models.known(app.config))}
        db.session.remove()


def test_what_was_measured_here_is_told(app: Flask, alice: Browser, tell: Callable[..., None]) -> None:
    many = Residence(EMBEDDED, loaded=True, memory=312_400_000, tokens_per_second=71.31, precision="int8")
    one = Residence(PREFERRED, loaded=True, tokens_per_second=9.31, precision="fp32", batched=False)
    tell(EMBEDDED, many, one, state=ModelState.READY)
    tell(PREFERRED, many, one, state=ModelState.READY)
    html = alice.get("/models").text
    assert "takes 312 MB of memory now" in card(app, html, EMBEDDED)
    assert "71 tokens per second int8 several people at once" in card(app, html, EMBEDDED)
    assert "9.3 tokens per second fp32 one person after another" in card(app, html)


@pytest.mark.parametrize(
    ("told", "said", "moving", "offered"),
    [
        ({}, "Not on this machine", False, "Fetch"),
        ({"wish": Wish.PULL}, "Waits: nothing that could fetch it is running", True, "Cancel"),
        (
            {
                "state": ModelState.FETCHING,
                "bytes_done": 211_600_000,
                "bytes_total": 1_460_000_000,
                "bytes_per_second": 12_100_000.0,
            },
            "Being fetched 212 MB of 1.5 GB 12 MB per second 2 minutes left",
            True,
            "Cancel",
        ),
        ({"state": ModelState.FETCHING}, "Being fetched", True, "Cancel"),
        ({"state": ModelState.CONVERTING}, "Being converted", True, "Cancel"),
        (
            {"state": ModelState.FAILED, "reason": "The <Hub> slept."},
            "Failed: The &lt;Hub&gt; slept.",
            False,
            "Try again",
        ),
        ({"state": ModelState.FAILED, "reason": "Old.", "wish": Wish.PULL}, "Waits", True, "Cancel"),
        ({"state": ModelState.READY, "loading": True}, "Being loaded into memory", True, "Start a conversation"),
        ({"state": ModelState.READY, "wish": Wish.REMOVE}, "Being removed", True, None),
    ],
)
def test_every_state_has_its_words_and_its_button(
    app: Flask,
    alice: Browser,
    tell: Callable[..., None],
    told: dict[str, Any],
    said: str,
    moving: bool,
    offered: str | None,
) -> None:
    name = "blenderbot-1b-distill"
    tell(name, *([Residence(name, loaded=False)] if told.pop("loading", False) else []), **told)
    for path in ("/models", f"/models/{name}"):
        html = alice.get(path).text
        assert said in (card(app, html, name) if path == "/models" else plain(html))
        poll = f'hx-get="/models/{name}/weights?was='
        assert (poll in html) == moving
        # Without JavaScript the page renews itself as long.
        assert ('http-equiv="refresh"' in html) == moving
        panel = plain(alice.get(f"/models/{name}/weights", headers=HTMX).text)
        assert said in panel
        for button in ("Fetch", "Cancel", "Try again", "Start a conversation"):
            assert (f" {button} " in panel) == (button == offered), button


def test_a_progress_bar_has_a_name_and_a_value(alice: Browser, tell: Callable[..., None]) -> None:
    tell(PREFERRED, state=ModelState.FETCHING, bytes_done=1, bytes_total=4)
    [(_, _, bar)] = [each for each in elements(alice.get(WEIGHTS, headers=HTMX).text).found if each[1] == "progress"]
    assert (bar["value"], bar["max"], bar["aria-label"]) == ("0.25", "1", "Progress of BlenderBot 400M")
    tell(PREFERRED, state=ModelState.CONVERTING, bytes_done=4, bytes_total=4)
    [(_, _, bar)] = [each for each in elements(alice.get(WEIGHTS, headers=HTMX).text).found if each[1] == "progress"]
    assert "value" not in bar


def test_a_reader_hears_of_a_change_and_of_nothing_else(alice: Browser, tell: Callable[..., None]) -> None:
    tell(PREFERRED, state=ModelState.FETCHING, bytes_done=1, bytes_total=4)
    assert "#announcer" not in alice.get(f"{WEIGHTS}?was=fetching", headers=HTMX).text
    assert "is being fetched." in alice.get(f"{WEIGHTS}?was=waiting", headers=HTMX).text
    tell(PREFERRED, state=ModelState.READY)
    assert "BlenderBot 400M is ready." in alice.get(f"{WEIGHTS}?was=converting", headers=HTMX).text
    tell(PREFERRED, state=ModelState.FAILED, reason="No.")
    assert "There is a problem with BlenderBot 400M." in alice.get(f"{WEIGHTS}?was=fetching", headers=HTMX).text


@WAYS
def test_a_model_is_pulled_and_given_up(app: Flask, alice: Browser, htmx: bool) -> None:
    alice.get("/models")
    response = alice.send("POST", WEIGHTS, htmx)
    assert wish(app) is Wish.PULL
    if htmx:
        assert response.status_code == 200
        assert "Cancel" in response.text
        assert f'hx-get="{WEIGHTS}?was=waiting"' in response.text
    else:
        assert (response.status_code, response.headers["Location"]) == (303, f"/models/{PREFERRED}")
    assert alice.send("POST", WEIGHTS, htmx).status_code == 409
    response = alice.send("DELETE", WEIGHTS, htmx)
    assert response.status_code == (200 if htmx else 303)
    assert wish(app) is Wish.REMOVE
    assert "Being removed" in plain(alice.get("/models").text)


@WAYS
def test_a_model_is_removed_after_a_question(app: Flask, alice: Browser, tell: Callable[..., None], htmx: bool) -> None:
    name = "blenderbot-1b-distill"
    tell(name, state=ModelState.READY)
    assert f'href="/models/{name}/weights/removal"' in alice.get("/models").text
    question = alice.get(f"/models/{name}/weights/removal", headers=HTMX if htmx else {}).text
    assert "Its conversations stay and can be read" in question
    assert ("<html" in question) != htmx
    [form] = [
        each for _, tag, each in elements(question).found if tag == "form" and "DELETE" in (each.get("action") or "")
    ]
    assert wish(app, name) is None
    response = alice.send("POST", str(form["action"]), htmx)
    assert response.status_code == (200 if htmx else 303)
    assert wish(app, name) is Wish.REMOVE


def test_the_default_stays_and_what_is_not_here_cannot_go(
    app: Flask, alice: Browser, tell: Callable[..., None]
) -> None:
    tell(EMBEDDED, state=ModelState.READY)
    assert "Answers new conversations" in card(app, alice.get("/models").text, EMBEDDED)
    assert "removal" not in alice.get(f"/models/{EMBEDDED}").text
    response = alice.send("DELETE", f"/models/{EMBEDDED}/weights")
    assert response.status_code == 409
    assert "so it stays" in response.text
    assert alice.send("DELETE", WEIGHTS).status_code == 409
    assert wish(app, EMBEDDED) is wish(app) is None


def test_where_it_is_not_allowed_the_command_line_is_named(
    app: Flask, alice: Browser, tell: Callable[..., None]
) -> None:
    app.config["MANAGE_MODELS"] = False
    tell("blenderbot-1b-distill", state=ModelState.READY)
    html = alice.get("/models").text
    assert f"Whoever runs this site can fetch it: chatsite models pull {PREFERRED}" in card(app, html)
    assert "/removal" not in html
    assert 'action="/models/' not in html
    for htmx in (False, True):
        for method, path in (("POST", WEIGHTS), ("DELETE", "/models/blenderbot-1b-distill/weights")):
            response = alice.send(method, path, htmx)
            assert response.status_code == 403
            assert "chatsite models pull" in response.text
    assert alice.get(REMOVAL).status_code == 403
    assert wish(app) is wish(app, "blenderbot-1b-distill") is None


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("manageable", [True, False])
def test_an_unknown_name_is_not_found(app: Flask, alice: Browser, name: str, manageable: bool) -> None:
    app.config["MANAGE_MODELS"] = manageable
    alice.get("/models")
    tries = [
        ("GET", ""),
        ("GET", "/weights"),
        ("GET", "/weights/removal"),
        ("POST", "/weights"),
        ("DELETE", "/weights"),
    ]
    for method, rest in tries:
        for htmx in (False, True):
            response = alice.send(method, f"/models/{name}{rest}", htmx)
            assert response.status_code == 404, (method, rest)
            assert "<b>" not in response.text


def test_a_form_needs_its_token(app: Flask, alice: Browser) -> None:
    alice.get("/models")
    alice.token = "forged"
    assert alice.send("POST", WEIGHTS).status_code == 400
    assert alice.send("DELETE", WEIGHTS, htmx=True).status_code == 400
    assert wish(app) is None


def test_the_owners_own_texts_are_texts(app: Flask, alice: Browser) -> None:
    for path in ("/models", "/models/our.model-1"):
        html = alice.get(path).text
        assert "<script>alert" not in html
        assert "<b>&" not in html
        assert "<i>Ask" not in html
        text = plain(html)
        assert "Ours &lt;b&gt;&amp; best&lt;/b&gt;" in text
        assert "100 %(free)s" in text
        assert "Spanish, qqq" in text
        assert "about 2 pages" in text
    assert alice.get("/models/elsewhere").status_code == 200
    response = alice.send("POST", "/models/elsewhere/weights")
    assert response.status_code == 409
    assert "Its folder is not there." in plain(alice.get("/models/elsewhere").text)


def test_ids_are_unique_and_headings_go_down_by_one(alice: Browser, tell: Callable[..., None]) -> None:
    tell(PREFERRED, state=ModelState.FETCHING, bytes_done=1, bytes_total=4)
    tell(EMBEDDED, state=ModelState.READY)
    tell("blenderbot-1b-distill", state=ModelState.READY)
    for path in ("/models", f"/models/{EMBEDDED}", "/models/blenderbot-1b-distill/weights/removal"):
        html = alice.get(path).text
        ids = re.findall(r'\sid="([^"]+)"', html)
        assert len(ids) == len(set(ids))
        for place in re.findall(r'aria-labelledby="([^"]+)"', html):
            assert place in ids
        for place in re.findall(r'hx-target="#([^"]+)"', html):
            assert re.fullmatch(r"[\w-]+", place)
        levels = [int(level) for level in re.findall(r"<h(\d)", html.partition("<main")[2])]
        assert levels[0] == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        for button in re.findall(r"<button[^>]*>.*?</button>", html, re.DOTALL):
            assert "aria-label=" in button or plain(button).strip(), button


def test_the_page_speaks_spanish(app: Flask, alice: Browser, tell: Callable[..., None]) -> None:
    alice.client.set_cookie("chatsite_language", "es")
    tell(
        "blenderbot-1b-distill",
        state=ModelState.FETCHING,
        bytes_done=1_400_000_000,
        bytes_total=2_870_000_000,
        bytes_per_second=2_400_000,
    )
    text = card(app, alice.get("/models").text, "blenderbot-1b-distill")
    for said in ("1,4 mil millones de pesos", "1,4 GB de 2,9 GB", "quedan 10 minutos", "Debilidades", "inglés"):
        assert said in text, said


def test_every_page_leads_to_the_models(alice: Browser) -> None:
    assert 'href="/models"' in alice.get("/").text


def test_what_the_disk_has_no_room_for_is_not_offered(alice: Browser) -> None:
    page = plain(alice.get("/models/vast").text)
    assert "2,000,000.0 GB have to be fetched, and the disk has room for" in page
    assert " Fetch " not in page


def test_a_model_of_the_setting_may_have_a_name_with_a_slash(tmp_path: Path) -> None:
    made = make_app(tmp_path / "slash", MODEL="some.body/tiny", MANAGE_MODELS=True)
    client = made.test_client()
    for path in ("/models/some.body/tiny", "/models/some.body/tiny/weights"):
        page = client.get(path, headers=HTMX).text
        assert 'id="model-some_2e_body_2f_tiny-weights"' in page
        assert 'hx-post="/models/some.body/tiny/weights"' in page
    close(made)


def test_why_a_model_failed_is_told_in_the_readers_language(
    app: Flask, alice: Browser, tell: Callable[..., None]
) -> None:
    """What was written down in English is a sentence of ours, with another of them as its cause."""
    reason = because(reasons.NOT_FETCHED, file="model.bin", repo="some/model", cause=reasons.CUT_OFF)
    tell("blenderbot-1b-distill", state=ModelState.FAILED, reason=reason)
    assert reason in card(app, alice.get("/models").text, "blenderbot-1b-distill")
    alice.client.set_cookie("chatsite_language", "es")
    page = card(app, alice.get("/models").text, "blenderbot-1b-distill")
    assert "model.bin, de some/model, no se puede descargar: la conexión se corta demasiado pronto." in page
