"""The story of who answers: choosing, changing, drafts that settle, and an answer that is wanted faster."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from chatsite import create_app
from chatsite.database import db, write
from chatsite.engine.scripted import ScriptedEngine
from chatsite.models import Model, ModelState
from chatsite.runner.loop import Runner
from tests.browser.conftest import Visitor, ask, ask_and_wait, serve
from tests.site import Site, until

pytestmark = pytest.mark.browser

TEXT = " ".join(f"word{number}" for number in range(1, 61))
SMOL, BLENDER = "smollm2-135m-instruct", "blenderbot-400m-distill"


@contextmanager
def answering(site: Site, speed: float) -> Iterator[Callable[..., None]]:
    """A runner whose script speaks for every model; gives what says where the weights of models are."""
    app = create_app({"INSTANCE": site.instance, "MODEL": "scripted", "LOG_LEVEL": "error", "DATABASE_URL": ""})
    stop = threading.Event()
    thread = threading.Thread(target=Runner(app, ScriptedEngine(speed), stop).run)

    def put(*names: str, state: ModelState = ModelState.READY) -> None:
        with app.app_context():
            with write() as session:
                for name in names:
                    session.merge(Model(name=name, state=state))
            db.session.remove()

    thread.start()
    try:
        put(SMOL, BLENDER)
        until(site.ready, what="The runner")
        yield put
    finally:
        stop.set()
        thread.join(20)
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[Site]:
    """A site that nobody answers on yet."""
    with serve(tmp_path, RUNNER="external") as running:
        yield running


def choose(page: Page, name: str) -> None:
    """Open the list, choose, and close it with the keyboard."""
    page.locator("#answerer-name").click()
    page.get_by_role("radio", name=name).check()
    expect(page.get_by_role("radio", name=name)).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#answerer-name")).to_be_focused()
    expect(page.locator("#answerer-list")).to_be_hidden()


def test_another_model_answers_from_here_on(visitor: Callable[..., Visitor], quiet: Site) -> None:
    with answering(quiet, 200) as put:
        guest = visitor(quiet)
        page = guest.tab()
        expect(page.locator("#answerer-name")).to_contain_text("Demo script · balanced")
        choose(page, "BlenderBot 400M")
        expect(page.locator("#answerer-name")).to_contain_text("BlenderBot 400M · precise")
        choose(page, "creative")
        expect(page.locator("#answerer-name")).to_contain_text("BlenderBot 400M · creative")
        ask_and_wait(page, "/say The first")
        other = guest.tab(page.url.removeprefix(quiet.url))
        choose(page, "SmolLM2 135M")
        expect(page.locator("#next-answerer")).to_have_text("SmolLM2 135M Instruct answers from here on")
        expect(page.locator("#announcer")).to_contain_text("SmolLM2 135M Instruct")
        ask_and_wait(page, "/say The second")
        expect(page.locator("#next-answerer")).to_have_count(0)
        expect(page.locator("article.message-assistant").last.locator(".handover")).to_be_visible()
        ask_and_wait(page, "/say The third")
        expect(page.locator(".handover")).to_have_count(1)
        page.reload()
        expect(page.locator(".handover")).to_have_count(1)
        # The other tab learns of it when it is looked at again.
        other.evaluate("document.body.dispatchEvent(new CustomEvent('refresh'))")
        expect(other.locator("#answerer-name")).to_contain_text("SmolLM2 135M Instruct · creative")
        expect(other.locator(".prose").last).to_have_text("The third")

        put(SMOL, state=ModelState.ABSENT)
        page.reload()
        expect(page.get_by_text("is not on this machine any more")).to_be_visible()
        page.keyboard.press("Escape")
        page.get_by_role("textbox", name="Message").fill("/say The fourth")
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_role("radio", name="BlenderBot 400M")).to_be_visible()
        expect(page.get_by_role("textbox", name="Message")).to_have_value("/say The fourth")
        page.get_by_role("radio", name="BlenderBot 400M").check()
        expect(page.locator("#answerer-name")).to_contain_text("BlenderBot")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Send").click()
        expect(page.locator(".prose").last).to_have_text("The fourth")


def test_drafts_are_quiet_and_then_settle(visitor: Callable[..., Visitor], quiet: Site) -> None:
    with answering(quiet, 60):
        page = visitor(quiet).tab()
        ask(page, f"/draft {TEXT}")
        expect(page.locator(".status")).to_contain_text("Weighing 10 answers")
        quiet_ink = page.locator(".prose").evaluate("getComputedStyle(document.body).color")
        expect(page.locator(".prose")).not_to_have_css("color", quiet_ink)
        page.reload()
        expect(page.locator(".status")).to_contain_text("Weighing 10 answers")
        first = page.locator(".prose p").first.element_handle()
        expect(page.locator(".prose")).to_have_text(TEXT)
        expect(page.locator("article").last).not_to_have_attribute("aria-busy", "true")
        assert first.evaluate("element => element.isConnected"), "The paragraph was thrown away."
        expect(page.locator(".prose")).to_have_css("color", quiet_ink)
        expect(page.locator("#announcer")).to_contain_text("The answer is finished.")


def test_an_answer_that_is_wanted_faster(visitor: Callable[..., Visitor], quiet: Site) -> None:
    with answering(quiet, 40):
        guest = visitor(quiet)
        page = guest.tab()
        ask(page, f"/draft {TEXT}")
        expect(page.get_by_role("button", name="Answer faster")).to_be_visible()
        other = guest.tab(page.url.removeprefix(quiet.url))
        page.get_by_role("button", name="Answer faster").click()
        for tab in (page, other):
            expect(tab.get_by_role("button", name="Answer faster")).to_be_hidden()
            expect(tab.locator(".prose")).to_have_text(TEXT)


def test_drafts_without_javascript(visitor: Callable[..., Visitor], quiet: Site) -> None:
    with answering(quiet, 40):
        page = visitor(quiet, java_script_enabled=False).tab()
        page.locator("#answerer-name").click()
        page.get_by_role("radio", name="BlenderBot 400M").check()
        ask(page, f"/draft {TEXT}")
        expect(page.locator("#answerer-name")).to_contain_text("BlenderBot 400M · precise")
        expect(page.get_by_text("Weighing 10 answers")).to_be_visible()
        page.get_by_role("button", name="Answer faster").click()
        expect(page.locator(".status")).to_contain_text("Writing, ")
        expect(page.locator(".prose")).to_have_text(TEXT)
        page.locator("#answerer-name").click()
        page.get_by_role("radio", name="SmolLM2 135M").check()
        ask(page, "/say The second")
        expect(page.locator(".handover")).to_have_text("SmolLM2 135M Instruct answers from here on")
        expect(page.locator(".prose").last).to_have_text("The second")
