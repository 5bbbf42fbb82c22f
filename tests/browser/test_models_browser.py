"""The page of models in a browser: one is read about, fetched from a hub, talked with, and removed again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait, open_new_conversation, serve_site
from tests.support import trained_models
from tests.support.hub_server import FakeHub, running_hub
from tests.support.served_site import ServedSite

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

REPOSITORY = "somebody/tiny"
OWN = f"""
[tiny]
hub = "{REPOSITORY}"
title = "Tiny"
purpose = "Knows foxes and nothing else."
license = "MIT"
terms = "Do with it what you like."
family = "chat"
languages = ["en"]
parameters = 70000
context = 256

[lost]
hub = "somebody/lost"
title = "Lost"
"""
PULL_SECONDS = 4


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeHub]:
    """A hub that has one tiny model and sends it within a few seconds."""
    folder = trained_models.make_chat_model(tmp_path_factory.mktemp("repositories") / "tiny")
    with running_hub() as running:
        running.repositories[REPOSITORY] = folder
        running.bytes_per_second = (folder / "model.safetensors").stat().st_size / PULL_SECONDS
        yield running


@pytest.fixture(scope="module")
def models_site(hub: FakeHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedSite]:
    """A site whose visitors may manage its models, and which knows no other hub than ours."""
    folder: Path = tmp_path_factory.mktemp("models-site")
    (folder / "models.toml").write_text(OWN, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.url)
        patch.setenv("HF_HOME", str(folder / "hub"))
        patch.delenv("HF_HUB_CACHE", raising=False)
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        with serve_site(folder, ALLOW_MODEL_MANAGEMENT="1") as running:
            yield running


def card(page: Page, title: str = "Tiny") -> Locator:
    """The card of a model."""
    return page.get_by_role("article", name=title)


def open_card(page: Page, title: str = "Tiny") -> None:
    """Open the row of a model in the table, if it is closed."""
    toggle = page.locator(".model-toggle").filter(has_text=re.compile(f"^{title}$"))
    if toggle.count() and not toggle.evaluate("(element) => element.open"):
        toggle.locator("summary").click()


def fetch(page: Page, title: str = "Tiny") -> None:
    """Have a model fetched."""
    open_card(page, title)
    card(page, title).get_by_role("button", name=f"Download {title}").click()


def remove(page: Page) -> None:
    """Remove the tiny model as a visitor does, and see it gone."""
    open_card(page)
    card(page).get_by_role("link", name="Remove Tiny").click()
    expect(page.get_by_text("Remove Tiny from this server?")).to_be_visible()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(card(page)).to_contain_text("Available")


def test_model_can_be_downloaded_used_and_removed(
    new_visitor: Callable[..., BrowserVisitor], models_site: ServedSite
) -> None:
    page = new_visitor(models_site).open_tab("/")
    page.get_by_role("navigation").get_by_role("link", name="Overview").click()
    page.get_by_role("link", name="Models").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Models")
    expect(card(page)).to_be_hidden()
    open_card(page)
    expect(card(page)).to_contain_text("Knows foxes and nothing else.")
    expect(card(page).get_by_text("Do with it what you like.")).to_be_hidden()
    card(page).get_by_text("License and sources").click()
    expect(card(page).get_by_text("Do with it what you like.")).to_be_visible()

    told: list[str] = []
    page.on("request", lambda request: told.append(request.url.partition("known_state=")[2]))
    fetch(page)
    bar = card(page).get_by_role("progressbar", name="Progress of Tiny")
    expect(bar).to_have_attribute("value", re.compile(r"0\.\d+"))
    expect(card(page).locator(".progress-status")).to_be_focused()
    expect(card(page)).to_contain_text("left")
    first, height = float(bar.get_attribute("value") or 0), card(page).bounding_box()
    page.wait_for_function("first => document.querySelector('progress').value > first", arg=first)
    # Nothing moves while the numbers do, and what was opened stays open.
    assert card(page).bounding_box() == height
    expect(card(page).get_by_text("Do with it what you like.")).to_be_visible()
    expect(page.locator("#announcer")).to_have_text("Tiny is ready.")
    expect(card(page).get_by_text("Ready", exact=True)).to_be_visible()
    expect(bar).to_have_count(0)
    # A phase that the reader knows is not told as news, so each question names the one that it belongs to.
    assert list(filter(None, told))[-1] in {"fetching", "converting"}, told

    card(page).get_by_role("link", name="Start chat").click()
    ask_and_wait(page, "Tell me about foxes.")
    expect(page.locator(".prose")).to_contain_text("A fox is a small wild animal")
    page.locator(".signature").click()
    expect(page.locator(".report .settings")).to_contain_text(re.compile("tiny", re.IGNORECASE))
    expect(page.locator(".report")).to_contain_text("Tell me about foxes.")
    conversation = page.url

    open_new_conversation(page)
    expect(page.locator("#welcome")).to_contain_text("Model: Demo script.")
    page.locator("#model-picker-name").click()
    page.get_by_role("radio", name="Tiny").check()
    expect(page.locator("#welcome")).to_contain_text("Model: Tiny. Knows foxes and nothing else.")
    expect(page.locator("#model-status")).to_contain_text("Tiny can make mistakes.")
    page.locator("#welcome-model").get_by_role("link", name="Tiny").click()
    expect(page).to_have_url(f"{models_site.url}/models/tiny")
    page.get_by_role("link", name="All models").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Models")
    open_card(page)
    expect(card(page)).to_contain_text("tokens per second")
    remove(page)
    assert not (models_site.instance / "models" / "tiny").exists()
    page.goto(conversation)
    expect(page.get_by_text("is no longer available").first).to_be_visible()
    expect(page.locator(".prose")).to_contain_text("A fox is a small wild animal")


def test_canceled_download_can_be_restarted(
    new_visitor: Callable[..., BrowserVisitor], models_site: ServedSite
) -> None:
    page = new_visitor(models_site).open_tab("/models/tiny")
    fetch(page)
    expect(card(page).get_by_role("progressbar")).to_be_visible()
    card(page).get_by_role("button", name="Cancel Tiny").click()
    expect(card(page)).to_contain_text("Available")
    fetch(page)
    expect(card(page).get_by_text("Ready", exact=True)).to_be_visible()
    remove(page)


def test_download_conflict_with_other_tab_shows_error(
    new_visitor: Callable[..., BrowserVisitor], models_site: ServedSite
) -> None:
    guest = new_visitor(models_site, refused=True)
    one, other = guest.open_tab("/models"), guest.open_tab("/models")
    fetch(one)
    fetch(other)
    expect(other.get_by_text("This model is already being downloaded or removed.")).to_be_in_viewport()
    expect(card(one).get_by_text("Ready", exact=True)).to_be_visible()
    remove(one)


def test_failed_download_shows_reason_and_retry(
    new_visitor: Callable[..., BrowserVisitor], models_site: ServedSite
) -> None:
    page = new_visitor(models_site).open_tab("/models")
    fetch(page, "Lost")
    expect(card(page, "Lost")).to_contain_text("Failed:")
    expect(card(page, "Lost")).to_contain_text("somebody/lost")
    expect(card(page, "Lost").get_by_role("button", name="Try again Lost")).to_be_visible()
    # Its card is open, and the page begins at its top all the same.
    page.set_viewport_size({"width": 1280, "height": 400})
    page.goto("/overview")
    page.locator("#main").get_by_role("link", name=re.compile("^Models")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Models")
    expect(card(page, "Lost")).to_contain_text("Failed:")
    page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    expect(card(page, "Lost")).not_to_be_in_viewport()
    expect(page.get_by_role("heading", level=1)).to_be_in_viewport()


def test_model_download_and_removal_without_javascript(
    new_visitor: Callable[..., BrowserVisitor], models_site: ServedSite
) -> None:
    page = new_visitor(models_site, java_script_enabled=False).open_tab("/models")
    fetch(page)
    expect(page).to_have_url(re.compile("/models/tiny$"))
    expect(card(page).get_by_role("progressbar")).to_be_visible()
    # The page renews itself.
    expect(card(page).get_by_text("Ready", exact=True)).to_be_visible()
    remove(page)


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_models_page_fits_window_with_large_targets(
    new_visitor: Callable[..., BrowserVisitor], models_site: ServedSite, width: int
) -> None:
    touch = width < 1000
    page = new_visitor(
        models_site, viewport={"width": width, "height": 800}, has_touch=touch, is_mobile=touch
    ).open_tab("/models")
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    fits = "[document.documentElement, document.querySelector('#main')].every(e => e.scrollWidth <= e.clientWidth)"
    assert page.evaluate(fits)
    # A link within a sentence is as high as its line.
    for control in page.locator("#main :is(a:not(p a), button, summary):visible").all() if touch else []:
        box = control.bounding_box()
        assert box
        assert box["height"] >= 44, control.evaluate("(element) => element.outerHTML.slice(0, 120)")


def test_first_visit_stays_within_request_budget(
    new_visitor: Callable[..., BrowserVisitor], models_site: ServedSite
) -> None:
    guest = new_visitor(models_site)
    asked: list[str] = []
    guest.context.on("request", lambda request: asked.append(request.url))
    page = guest.open_tab("/models")
    page.wait_for_load_state("networkidle")
    assert len([url for url in asked if not url.startswith("data:")]) <= 10, asked
