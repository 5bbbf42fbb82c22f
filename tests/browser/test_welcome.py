"""The front page in a browser: what it asks on the first visit, in both languages, and what fills the box."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from chatsite.engine.catalog.catalog import EMBEDDED_MODEL
from chatsite.engine.downloads import weights
from tests.browser.accessibility.axe import find_violations
from tests.browser.conftest import BrowserVisitor, serve_site
from tests.support import trained_models
from tests.support.hub_server import FakeHub, running_hub
from tests.support.served_site import ServedSite

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

BLENDERBOT = "facebook/blenderbot-400M-distill"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeHub]:
    """A hub with a tiny BlenderBot in the place of the real one."""
    folder = trained_models.make_blenderbot_model(tmp_path_factory.mktemp("repositories") / "blenderbot")
    with running_hub() as running:
        running.repositories[BLENDERBOT] = folder
        yield running


@pytest.fixture(scope="module")
def new_site(hub: FakeHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedSite]:
    """A site as `make run` starts it, whose embedded model is a tiny one."""
    folder: Path = tmp_path_factory.mktemp("new-site")
    tiny = trained_models.make_chat_model(tmp_path_factory.mktemp("tiny") / "tiny")
    weights.install_folder(
        folder / "models" / EMBEDDED_MODEL, "1", lambda scratch: Path(shutil.copytree(tiny, scratch / "made"))
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.url)
        patch.setenv("HF_HOME", str(folder / "hub"))
        patch.delenv("HF_HUB_CACHE", raising=False)
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        with serve_site(folder, DEFAULT_MODEL="auto", ALLOW_MODEL_MANAGEMENT="1") as running:
            yield running


def test_larger_model_comes_only_when_asked_for(
    new_visitor: Callable[..., BrowserVisitor], new_site: ServedSite, hub: FakeHub
) -> None:
    page = new_visitor(new_site, reduced_motion="reduce").open_tab()
    card = page.get_by_role("region", name="Get started")
    expect(card).to_contain_text("is the best that runs well here.")
    expect(page.locator("#welcome-model")).to_contain_text("Model: SmolLM2 135M Instruct.")
    assert hub.requests == []
    assert find_violations(page) == []
    # The Spanish reader is told of a model that speaks Spanish, and closes nothing for others.
    spanish = new_visitor(new_site, locale="es", reduced_motion="reduce").open_tab()
    expect(spanish.get_by_role("heading", name="¿En qué")).to_be_visible()
    expect(spanish.locator("#welcome-model")).to_contain_text("Este modelo solo entiende bien el inglés.")
    assert find_violations(spanish) == []
    spanish.get_by_role("button", name="English").click()
    expect(spanish.get_by_role("heading", name="What can I help with?")).to_be_visible()

    card.get_by_role("button", name="BlenderBot 400M").click()
    expect(page.get_by_text("The model is ready. New chats use it.")).to_be_visible()
    assert hub.requests != []
    page.get_by_role("link", name="Start chat").click()
    expect(page.locator("#welcome-model")).to_contain_text("Model: BlenderBot 400M.")
    expect(page.get_by_role("region", name="Get started").get_by_role("link", name="Import")).to_be_visible()
    page.get_by_role("button", name="Close").click()
    expect(page.locator("#first-run")).to_have_count(0)
    page.reload()
    expect(page.locator("#welcome-model")).to_be_visible()
    expect(page.locator("#first-run")).to_have_count(0)


def test_starter_fills_the_box_without_a_page(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    page.wait_for_function("window.htmx && document.readyState === 'complete'")
    page.evaluate("window.isSamePage = true")
    page.locator("#text").fill("Half a thought")
    starter = page.locator(".starters a").first
    text = starter.inner_text()
    starter.click()
    expect(page.locator("#text")).to_have_value(text)
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.press("Control+z")
    expect(page.locator("#text")).to_have_value("Half a thought")
    assert page.evaluate("window.isSamePage") is True
    assert page.url.endswith("/")


def test_dropped_file_is_imported_and_a_bad_one_says_only_why(
    new_visitor: Callable[..., BrowserVisitor], tmp_path: Path
) -> None:
    page = new_visitor(refused=True).open_tab("/imports")
    zone = page.get_by_label("Drop files here, or choose them")
    box = zone.bounding_box()
    assert box
    assert box["height"] > 80
    zone.set_input_files({"name": "bad.json", "mimeType": "application/json", "buffer": b"hello"})
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_role("heading", name="bad.json")).to_be_visible()
    expect(page.get_by_text("5 bytes")).to_be_visible()
    expect(page.get_by_role("link", name="Choose another file")).to_be_visible()
    expect(page.locator(".counts")).to_have_count(0)
    page.get_by_role("link", name="Choose another file").click()
    # A refusal stands above the form, and the chosen file stays chosen.
    page.route("**/imports?*", lambda route: route.fulfill(status=429, body="<p class='notice'>Too many.</p>"))
    zone.set_input_files({"name": "one.json", "mimeType": "application/json", "buffer": b"[]"})
    page.get_by_role("button", name="Import").click()
    expect(page.locator("#notice")).to_have_text("Too many.")
    expect(page.get_by_role("button", name="Import")).to_be_enabled()
