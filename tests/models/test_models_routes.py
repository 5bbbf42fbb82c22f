"""The page of models: what the cards say, in which order, and how states are shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from chatsite.database import db
from chatsite.engine.catalog.catalog import EMBEDDED_MODEL, PREFERRED_MODEL
from chatsite.engine.types import ModelStatus
from chatsite.errors import download_reasons
from chatsite.models import LocalModel, ModelState, RequestedAction
from chatsite.services.models import catalog
from chatsite.web.core.templating import dom_id
from tests.conftest import close_app, make_app
from tests.core.test_templates import elements
from tests.support.web_fixtures import HTMX_HEADERS, WebClient, visible_text

OWN = """
["our.model-1"]
hub = "somebody/some-model"
title = "Ours <b>& best</b>"
purpose = "Knows the <script>alert(1)</script> garden."
license = "100 %(free)s"
terms = "<i>Ask us</i>"
limitations = "\\"quoted\\" & 'marked'"
languages = ["es", "qqq"]
context = 1080

[elsewhere]
folder = "nowhere"

[vast]
hub = "somebody/vast"
download = 2000000000000000
"""
WEIGHTS = f"/models/{PREFERRED_MODEL}/weights"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    """A site whose visitors may manage its models, two of which are its owner's own."""
    (tmp_path / "models.toml").write_text(OWN, "utf-8")
    made = make_app(tmp_path, DEFAULT_MODEL="auto", ALLOW_MODEL_MANAGEMENT=True)
    yield made
    close_app(made)


def requested(app: Flask, name: str = PREFERRED_MODEL) -> RequestedAction | None:
    """What was wished for a model."""
    with app.app_context():
        row = db.session.get(LocalModel, name)
        db.session.remove()
        return row.requested_action if row else None


def card(app: Flask, html: str, name: str = PREFERRED_MODEL) -> str:
    """The card of a model on the page of all, without its tags; white space counts once."""
    with app.app_context():
        place = dom_id(catalog.get_card(catalog.read_catalog_config(app.config), name))
    found = re.search(rf'<tbody id="{re.escape(place)}".*?</article>', html, re.DOTALL)
    assert found, place
    return visible_text(found[0])


def names(app: Flask, html: str) -> list[str]:
    """The models of the page, in order."""
    return re.findall(r'<h3 [^>]*><a href="/models/([^"/]+)">', html)


def test_model_card_shows_specifications(app: Flask, alice: WebClient) -> None:
    text = card(app, alice.get("/models").text)
    for said in (
        "BlenderBot 400M",
        "Small talk in short messages",
        "365 million parameters",
        "730 MB to download",
        "about the last 6 messages 128 tokens",
        "English",
        "Reddit conversations",
        "makes up a life of its own",
        "Apache-2.0",
        "huggingface.co/facebook/blenderbot-400M-distill",
        "Available",
    ):
        assert said in text, said
    assert re.search(r"about \d+ MB in memory", text)


def test_models_sorted_by_readiness_then_size(
    app: Flask, alice: WebClient, record_model_status: Callable[..., None]
) -> None:
    record_model_status(PREFERRED_MODEL, download_state=ModelState.READY)
    record_model_status("blenderbot-3b", download_state=ModelState.FETCHING)
    found = names(app, alice.get("/models").text)
    assert found.index(PREFERRED_MODEL) < found.index("blenderbot-3b") < found.index("blenderbot-1b-distill")
    # The groups come first: assistants, small talk, tasks, and those of earlier days.
    assert found.index("qwen3-0.6b") < found.index(PREFERRED_MODEL) < found.index("flan-t5-base") < found.index("gpt2")
    assert found.index("flan-t5-base") < found.index("t5-small")
    assert len(found) == len(set(found))
    with app.app_context():
        assert set(found) == {each.name for each in catalog.list_cards(catalog.read_catalog_config(app.config))}
        db.session.remove()


def test_model_card_shows_measured_memory_and_speed(
    app: Flask, alice: WebClient, record_model_status: Callable[..., None]
) -> None:
    many = ModelStatus(
        EMBEDDED_MODEL, is_loaded=True, memory_bytes=312_400_000, tokens_per_second=71.31, precision="int8"
    )
    one = ModelStatus(PREFERRED_MODEL, is_loaded=True, tokens_per_second=9.31, precision="fp32", is_batched=False)
    record_model_status(EMBEDDED_MODEL, many, one, download_state=ModelState.READY)
    record_model_status(PREFERRED_MODEL, many, one, download_state=ModelState.READY)
    html = alice.get("/models").text
    assert "uses 312 MB of memory now" in card(app, html, EMBEDDED_MODEL)
    assert "71 tokens per second int8 several people at once" in card(app, html, EMBEDDED_MODEL)
    assert "9.3 tokens per second fp32 one at a time" in card(app, html)


@pytest.mark.parametrize(
    ("told", "said", "moving", "offered"),
    [
        ({}, "Available", False, "Download"),
        ({"requested": RequestedAction.PULL}, "Waiting for the worker to start", True, "Cancel"),
        (
            {
                "download_state": ModelState.FETCHING,
                "bytes_done": 211_600_000,
                "bytes_total": 1_460_000_000,
                "bytes_per_second": 12_100_000.0,
            },
            "Downloading… 212 MB of 1.5 GB 12 MB per second 2 minutes left",
            True,
            "Cancel",
        ),
        ({"download_state": ModelState.FETCHING}, "Downloading", True, "Cancel"),
        ({"download_state": ModelState.CONVERTING}, "Converting", True, "Cancel"),
        (
            {"download_state": ModelState.FAILED, "error": "The <Hub> slept."},
            "Failed: The &lt;Hub&gt; slept.",
            False,
            "Try again",
        ),
        (
            {"download_state": ModelState.FAILED, "error": "Old.", "requested": RequestedAction.PULL},
            "Waiting",
            True,
            "Cancel",
        ),
        (
            {"download_state": ModelState.READY, "loading": True},
            "Loading",
            True,
            "Start chat",
        ),
        ({"download_state": ModelState.READY, "requested": RequestedAction.REMOVE}, "Removing", True, None),
    ],
)
def test_model_states_show_status_and_button(
    app: Flask,
    alice: WebClient,
    record_model_status: Callable[..., None],
    told: dict[str, Any],
    said: str,
    moving: bool,
    offered: str | None,
) -> None:
    name = "blenderbot-1b-distill"
    record_model_status(name, *([ModelStatus(name, is_loaded=False)] if told.pop("loading", False) else []), **told)
    for path in ("/models", f"/models/{name}"):
        html = alice.get(path).text
        assert said in (card(app, html, name) if path == "/models" else visible_text(html))
        poll = f'hx-get="/models/{name}/weights?known_state='
        assert (poll in html) == moving
        # Without JavaScript the page renews itself as long.
        assert ('http-equiv="refresh"' in html) == moving
        panel = visible_text(alice.get(f"/models/{name}/weights", headers=HTMX_HEADERS).text)
        assert said in panel
        for button in ("Download", "Cancel", "Try again", "Start chat"):
            assert (f" {button} " in panel) == (button == offered), button


def test_progress_bar_has_label_and_value(alice: WebClient, record_model_status: Callable[..., None]) -> None:
    record_model_status(PREFERRED_MODEL, download_state=ModelState.FETCHING, bytes_done=1, bytes_total=4)
    [(_, _, bar)] = [
        each for each in elements(alice.get(WEIGHTS, headers=HTMX_HEADERS).text).found if each[1] == "progress"
    ]
    assert (bar["value"], bar["max"], bar["aria-label"]) == ("0.25", "1", "Progress of BlenderBot 400M")
    record_model_status(PREFERRED_MODEL, download_state=ModelState.CONVERTING, bytes_done=4, bytes_total=4)
    [(_, _, bar)] = [
        each for each in elements(alice.get(WEIGHTS, headers=HTMX_HEADERS).text).found if each[1] == "progress"
    ]
    assert "value" not in bar


def test_only_state_changes_are_announced(alice: WebClient, record_model_status: Callable[..., None]) -> None:
    record_model_status(PREFERRED_MODEL, download_state=ModelState.FETCHING, bytes_done=1, bytes_total=4)
    assert "#announcer" not in alice.get(f"{WEIGHTS}?known_state=fetching", headers=HTMX_HEADERS).text
    assert "is being downloaded." in alice.get(f"{WEIGHTS}?known_state=waiting", headers=HTMX_HEADERS).text
    record_model_status(PREFERRED_MODEL, download_state=ModelState.READY)
    assert "BlenderBot 400M is ready." in alice.get(f"{WEIGHTS}?known_state=converting", headers=HTMX_HEADERS).text
    record_model_status(PREFERRED_MODEL, download_state=ModelState.FAILED, error="No.")
    assert (
        "There is a problem with BlenderBot 400M."
        in alice.get(f"{WEIGHTS}?known_state=fetching", headers=HTMX_HEADERS).text
    )


def test_configured_model_texts_are_escaped(app: Flask, alice: WebClient) -> None:
    for path in ("/models", "/models/our.model-1"):
        html = alice.get(path).text
        assert "<script>alert" not in html
        assert "<b>&" not in html
        assert "<i>Ask" not in html
        text = visible_text(html)
        assert "Ours &lt;b&gt;&amp; best&lt;/b&gt;" in text
        assert "100 %(free)s" in text
        assert "Spanish, qqq" in text
        assert "about 2 pages" in text
    assert alice.get("/models/elsewhere").status_code == 200
    response = alice.send_form("POST", "/models/elsewhere/weights")
    assert response.status_code == 409
    assert "Its folder does not exist." in visible_text(alice.get("/models/elsewhere").text)


def test_ids_are_unique_and_heading_levels_continuous(
    alice: WebClient, record_model_status: Callable[..., None]
) -> None:
    record_model_status(PREFERRED_MODEL, download_state=ModelState.FETCHING, bytes_done=1, bytes_total=4)
    record_model_status(EMBEDDED_MODEL, download_state=ModelState.READY)
    record_model_status("blenderbot-1b-distill", download_state=ModelState.READY)
    for path in ("/models", f"/models/{EMBEDDED_MODEL}", "/models/blenderbot-1b-distill/weights/removal"):
        html = alice.get(path).text
        ids = re.findall(r'\sid="([^"]+)"', html)
        assert len(ids) == len(set(ids))
        for place in re.findall(r'aria-labelledby="([^"]+)"', html):
            # The sheet gets the heading that names it when it is opened.
            assert place in ids or place == "sheet-title"
        for place in re.findall(r'hx-target="#([^"]+)"', html):
            assert re.fullmatch(r"[\w-]+", place)
        levels = [int(level) for level in re.findall(r"<h(\d)", html.partition("<main")[2])]
        assert levels[0] == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        for button in re.findall(r"<button[^>]*>.*?</button>", html, re.DOTALL):
            assert "aria-label=" in button or visible_text(button).strip(), button


def test_models_page_is_translated_to_spanish(
    app: Flask, alice: WebClient, record_model_status: Callable[..., None]
) -> None:
    alice.client.set_cookie("chatsite_language", "es")
    record_model_status(
        "blenderbot-1b-distill",
        download_state=ModelState.FETCHING,
        bytes_done=1_400_000_000,
        bytes_total=2_870_000_000,
        bytes_per_second=2_400_000,
    )
    text = card(app, alice.get("/models").text, "blenderbot-1b-distill")
    for said in ("1,4 mil millones de parámetros", "1,4 GB de 2,9 GB", "quedan 10 minutos", "Limitaciones", "inglés"):
        assert said in text, said


def test_sidebar_links_to_models(alice: WebClient) -> None:
    assert 'href="/models"' in alice.get("/").text


def test_download_exceeding_disk_space_is_not_offered(alice: WebClient) -> None:
    page = visible_text(alice.get("/models/vast").text)
    assert "Not enough disk space: 2,000,000.0 GB needed," in page
    assert " Download " not in page


def test_configured_model_name_may_contain_slash(tmp_path: Path) -> None:
    made = make_app(tmp_path / "slash", DEFAULT_MODEL="some.body/tiny", ALLOW_MODEL_MANAGEMENT=True)
    client = made.test_client()
    for path in ("/models/some.body/tiny", "/models/some.body/tiny/weights"):
        page = client.get(path, headers=HTMX_HEADERS).text
        assert 'id="model-some_2e_body_2f_tiny-weights"' in page
        assert 'hx-post="/models/some.body/tiny/weights"' in page
    close_app(made)


def test_failure_reason_is_translated(app: Flask, alice: WebClient, record_model_status: Callable[..., None]) -> None:
    """What was written down is one of our errors, with another of them as its cause."""
    reason = download_reasons.FileDownloadError(
        file="model.bin", repo="some/model", cause=download_reasons.ConnectionClosedError()
    )
    record_model_status("blenderbot-1b-distill", download_state=ModelState.FAILED, error=reason)
    assert str(reason) in card(app, alice.get("/models").text, "blenderbot-1b-distill")
    alice.client.set_cookie("chatsite_language", "es")
    page = card(app, alice.get("/models").text, "blenderbot-1b-distill")
    assert "no se puede descargar model.bin de some/model: la conexión se corta demasiado pronto." in page
