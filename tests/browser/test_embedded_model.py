"""The whole story once more with the embedded model: what a newcomer sees after `make run`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from chatsite.settings import ROOT
from tests.browser.conftest import BrowserVisitor, ask_and_wait, choose_action, open_new_conversation, send_question
from tests.support.served_site import ServedSite, running_site, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

MODELS = Path(os.environ.get("CHATSITE_TEST_MODELS") or ROOT / "instance" / "models")
FETCHING_SECONDS = 240
STORY = "Write a very long story about a river that wanted to become a mountain."


@pytest.fixture(scope="module")
def model_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedSite]:
    """A site with the embedded model, which is fetched now if no earlier run has left it."""
    folder = tmp_path_factory.mktemp("model-site")
    MODELS.mkdir(parents=True, exist_ok=True)
    (folder / "models").symlink_to(MODELS)
    with running_site(folder, wait_until_ready=False, DEFAULT_MODEL="smollm2-135m-instruct") as running:
        wait_until(running.is_ready, seconds=FETCHING_SECONDS, what="The fetching of the model")
        yield running


def length(page: Page) -> int:
    """How many characters of the last answer are on the page."""
    return len(page.locator(".prose").last.inner_text())


def grows(page: Page) -> None:
    """See the last answer grow twice."""
    for _ in range(2):
        before = length(page)
        page.wait_for_function(
            "before => [...document.querySelectorAll('.prose')].at(-1).innerText.length > before", arg=before
        )


def test_conversation_with_embedded_model(new_visitor: Callable[..., BrowserVisitor], model_site: ServedSite) -> None:
    page = new_visitor(model_site).open_tab()
    expect(page.get_by_text("SmolLM2 135M Instruct").first).to_be_visible()
    ask_and_wait(page, "What is the capital of France?")
    expect(page.locator(".prose").last).to_contain_text("Paris")
    page.locator(".signature").click()
    expect(page.locator(".stats")).to_contain_text(re.compile(r"Tokens per second\s*[\d.,]+"))
    first = page.url

    open_new_conversation(page)
    send_question(page, STORY)
    grows(page)
    expect(page.locator("#conversations .row-title")).to_have_count(2)
    page.reload()
    grows(page)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("You stopped this answer.").first).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    stopped = length(page)
    assert stopped > 0

    page.go_back()
    page.go_back()
    expect(page).to_have_url(first)
    expect(page.locator(".prose").last).to_contain_text("Paris")
    choose_action(page, "What is the capital of France?", "link", "Rename")
    page.get_by_role("textbox", name="Title").fill("France")
    page.keyboard.press("Enter")
    expect(page).to_have_title("France · chatsite")
    choose_action(page, "France", "button", "Delete")
    expect(page).to_have_url(re.compile(r"/\?undo="))
    expect(page.locator("#conversations .row-title")).to_have_count(1)


def test_conversation_with_embedded_model_without_javascript(
    new_visitor: Callable[..., BrowserVisitor], model_site: ServedSite
) -> None:
    page = new_visitor(model_site, java_script_enabled=False).open_tab()
    send_question(page, "What is the capital of France?")
    expect(page.locator(".prose").last).to_contain_text("Paris")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    send_question(page, STORY)
    expect(page.locator(".prose")).to_have_count(2)
    expect(page.locator(".prose").last).to_contain_text(re.compile(r"\w+ \w+ \w+"))
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("You stopped this answer.").first).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
