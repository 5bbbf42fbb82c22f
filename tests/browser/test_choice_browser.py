"""The story of who answers: choosing, changing, drafts that settle, and an answer that is wanted faster."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from chatsite import create_app
from chatsite.database import db, write_transaction
from chatsite.engine.scripted import ScriptedEngine
from chatsite.models import LocalModel, ModelState
from chatsite.runner.loop import Runner
from tests.browser.conftest import BrowserVisitor, ask_and_wait, send_question, serve_site, wait_for_script
from tests.browser.writer import Halting
from tests.support.served_site import ServedSite, wait_until

pytestmark = pytest.mark.browser

TEXT = " ".join(f"word{number}" for number in range(1, 61))
SMOL, BLENDER = "smollm2-135m-instruct", "blenderbot-400m-distill"


@contextmanager
def answering(site: ServedSite, engine: ScriptedEngine) -> Iterator[Callable[..., None]]:
    """A runner whose script speaks for every model; gives what says where the weights of models are."""
    app = create_app({"INSTANCE": site.instance, "DEFAULT_MODEL": "scripted", "LOG_LEVEL": "error", "DATABASE_URL": ""})
    stop = threading.Event()
    thread = threading.Thread(target=Runner(app, engine, stop).run)

    def put(*names: str, state: ModelState = ModelState.READY) -> None:
        with app.app_context():
            with write_transaction() as session:
                for name in names:
                    session.merge(LocalModel(name=name, download_state=state))
            db.session.remove()

    thread.start()
    try:
        put(SMOL, BLENDER)
        wait_until(site.is_ready, what="The runner")
        yield put
    finally:
        stop.set()
        thread.join(60)
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def site_without_runner(tmp_path: Path) -> Iterator[ServedSite]:
    """A site that nobody answers on yet."""
    with serve_site(tmp_path, RUNNER="external") as running:
        yield running


def choose(page: Page, name: str) -> None:
    """Open the list, choose, and close it with the keyboard."""
    page.locator("#model-picker-name").click()
    wait_for_script(page, "model_picker")
    page.get_by_role("radio", name=name).check()
    expect(page.get_by_role("radio", name=name)).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#model-picker-name")).to_be_focused()
    expect(page.locator("#model-picker-list")).to_be_hidden()


def test_model_change_applies_to_following_answers(
    new_visitor: Callable[..., BrowserVisitor], site_without_runner: ServedSite
) -> None:
    with answering(site_without_runner, ScriptedEngine(200)) as put:
        guest = new_visitor(site_without_runner)
        page = guest.open_tab()
        expect(page.locator("#model-picker-name")).to_contain_text("Demo script · balanced")
        choose(page, "BlenderBot 400M")
        expect(page.locator("#model-picker-name")).to_contain_text("BlenderBot 400M · precise")
        choose(page, "creative")
        expect(page.locator("#model-picker-name")).to_contain_text("BlenderBot 400M · creative")
        ask_and_wait(page, "/say The first")
        other = guest.open_tab(page.url.removeprefix(site_without_runner.url))
        choose(page, "SmolLM2 135M")
        expect(page.locator("#next-change-notice")).to_have_text("Answers from here on are by SmolLM2 135M Instruct")
        expect(page.locator("#announcer")).to_contain_text("SmolLM2 135M Instruct")
        ask_and_wait(page, "/say The second")
        expect(page.locator("#next-change-notice")).to_have_count(0)
        expect(page.locator("article.message-assistant").last.locator(".change-notice")).to_be_visible()
        ask_and_wait(page, "/say The third")
        expect(page.locator(".change-notice")).to_have_count(1)
        page.reload()
        expect(page.locator(".change-notice")).to_have_count(1)
        # The other tab learns of it when it is looked at again.
        other.evaluate("document.body.dispatchEvent(new CustomEvent('chat:refresh'))")
        expect(other.locator("#model-picker-name")).to_contain_text("SmolLM2 135M Instruct · creative")
        expect(other.locator(".prose").last).to_have_text("The third")

        put(SMOL, state=ModelState.ABSENT)
        page.reload()
        expect(page.get_by_text("is no longer available")).to_be_visible()
        page.keyboard.press("Escape")
        page.get_by_role("textbox", name="Message").fill("/say The fourth")
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_role("radio", name="BlenderBot 400M")).to_be_visible()
        expect(page.get_by_role("textbox", name="Message")).to_have_value("/say The fourth")
        page.get_by_role("radio", name="BlenderBot 400M").check()
        expect(page.locator("#model-picker-name")).to_contain_text("BlenderBot")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Send").click()
        expect(page.locator(".prose").last).to_have_text("The fourth")


def test_drafts_are_muted_until_final(
    new_visitor: Callable[..., BrowserVisitor], site_without_runner: ServedSite
) -> None:
    engine = Halting(20)
    with answering(site_without_runner, engine):
        page = new_visitor(site_without_runner).open_tab()
        send_question(page, f"/draft {TEXT}")
        expect(page.locator(".status")).to_contain_text("Comparing 10 drafts")
        quiet_ink = page.locator(".prose").evaluate("getComputedStyle(document.body).color")
        expect(page.locator(".prose")).not_to_have_css("color", quiet_ink)
        page.reload()
        expect(page.locator(".status")).to_contain_text("Comparing 10 drafts")
        first = page.locator(".prose p").first.element_handle()
        engine.go_on()
        expect(page.locator(".prose")).to_have_text(TEXT)
        expect(page.locator("article").last).not_to_have_attribute("aria-busy", "true")
        assert first.evaluate("element => element.isConnected"), "The paragraph was thrown away."
        expect(page.locator(".prose")).to_have_css("color", quiet_ink)
        expect(page.locator("#announcer")).to_contain_text("Answer finished.")


def test_answer_faster_button_finishes_answer(
    new_visitor: Callable[..., BrowserVisitor], site_without_runner: ServedSite
) -> None:
    engine = Halting(20)
    with answering(site_without_runner, engine):
        guest = new_visitor(site_without_runner)
        page = guest.open_tab()
        send_question(page, f"/draft {TEXT}")
        expect(page.get_by_role("button", name="Answer faster")).to_be_visible()
        other = guest.open_tab(page.url.removeprefix(site_without_runner.url))
        page.get_by_role("button", name="Answer faster").click()
        engine.go_on()
        for tab in (page, other):
            expect(tab.get_by_role("button", name="Answer faster")).to_be_hidden()
            expect(tab.locator(".prose")).to_have_text(TEXT)


def test_drafts_and_model_change_without_javascript(
    new_visitor: Callable[..., BrowserVisitor], site_without_runner: ServedSite
) -> None:
    engine = Halting(20)
    with answering(site_without_runner, engine):
        page = new_visitor(site_without_runner, java_script_enabled=False).open_tab()
        page.locator("#model-picker-name").click()
        page.get_by_role("radio", name="BlenderBot 400M").check()
        send_question(page, f"/draft {TEXT}")
        expect(page.locator("#model-picker-name")).to_contain_text("BlenderBot 400M · precise")
        expect(page.get_by_text("Comparing 10 drafts")).to_be_visible()
        page.get_by_role("button", name="Answer faster").click()
        expect(page.locator(".status")).to_contain_text("Writing, ")
        engine.go_on()
        expect(page.locator(".prose")).to_have_text(TEXT)
        page.locator("#model-picker-name").click()
        page.get_by_role("radio", name="SmolLM2 135M").check()
        send_question(page, "/say The second")
        expect(page.locator(".change-notice")).to_have_text("Answers from here on are by SmolLM2 135M Instruct")
        expect(page.locator(".prose").last).to_have_text("The second")


def test_model_that_arrow_keys_pass_is_not_chosen(
    new_visitor: Callable[..., BrowserVisitor], site_without_runner: ServedSite
) -> None:
    with answering(site_without_runner, ScriptedEngine(2000)):
        page = new_visitor(site_without_runner).open_tab()
        ask_and_wait(page, "/say One")
        told: list[str] = []
        page.on(
            "request", lambda request: told.append(request.post_data or "") if request.url.endswith("/model") else None
        )
        name, radios = page.locator("#model-picker-name"), page.locator(".model-options input")

        def walk(*keys: str) -> None:
            """Open the list, walk with the arrow keys, and leave it with the last key."""
            name.click()
            wait_for_script(page, "model_picker")
            page.locator(".model-options input:checked").focus()
            for key in keys[:-1]:
                page.keyboard.press(key)
            with page.expect_response(re.compile("/model$")):
                page.keyboard.press(keys[-1])
            expect(page.locator("#model-picker-list")).to_be_hidden()

        expect(name).to_contain_text("Demo script")
        first = radios.first.get_attribute("value")
        walk("ArrowUp", "ArrowUp", "Enter")
        expect(name).not_to_contain_text("Demo script")
        assert len(told) == 1, told
        assert f"model={first}" in told[0]
        expect(name).to_be_focused()
        expect(page.get_by_role("textbox", name="Message")).to_have_value("")
        walk("ArrowDown", "Escape")
        assert len(told) == 2, told
        # What is clicked is chosen at once.
        name.click()
        with page.expect_response(re.compile("/model$")):
            page.get_by_role("radio", name="Demo script").check()
        expect(name).to_contain_text("Demo script")
        page.keyboard.press("Escape")
        assert len(told) == 3, told


def test_title_of_model_arrives_by_itself(
    new_visitor: Callable[..., BrowserVisitor], site_without_runner: ServedSite
) -> None:
    with answering(site_without_runner, ScriptedEngine(2000)) as put:
        put("qwen3-0.6b")
        page = new_visitor(site_without_runner).open_tab()
        choose(page, "Qwen3 0.6B")
        expect(page.locator("#model-picker-name")).to_contain_text("Qwen3 0.6B")
        ask_and_wait(page, "/say By light. /title Rainbows and light")
        expect(page.get_by_role("heading", level=1)).to_have_text("Rainbows and light")
        expect(page).to_have_title("Rainbows and light · chatsite")
        expect(page.locator("#conversations .row-title")).to_have_text("Rainbows and light")
        expect(page.locator("#list-watch")).to_have_count(0)
