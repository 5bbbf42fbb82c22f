"""Whatever goes wrong, a sentence says it and what was typed stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from playwright.sync_api import expect

from chatsite import create_app
from chatsite.database import db
from chatsite.models import RunnerState
from chatsite.services import runners
from tests.browser.conftest import Visitor, ask, ask_and_wait, serve
from tests.site import Site

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def quiet_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that no runner answers."""
    settings = {"RUNNER": "external", "LEASE_SECONDS": "600", "QUEUE_PER_USER": "2"}
    with serve(tmp_path_factory.mktemp("quiet"), **settings) as running:
        yield running


@pytest.fixture(scope="module")
def backstage(quiet_site: Site) -> Iterator[Flask]:
    """The same site from behind: what a runner says goes into its database."""
    app = create_app({"INSTANCE": quiet_site.instance, "MODEL": "scripted", "LOG_LEVEL": "error"})
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


MISTAKES = [
    ("x" * 4001, "This message has 4001 characters; at most 4000 are possible. Shorten it a little."),
    ("x" * 120_000, "This is too large to be sent."),
    ("bell\x07", "This message holds control characters, which are no text. Remove them and send it again."),
]


@pytest.mark.parametrize(("text", "sentence"), MISTAKES, ids=["long", "too large", "control"])
def test_a_mistake_keeps_the_text(visitor: Callable[..., Visitor], text: str, sentence: str) -> None:
    page = visitor(refused=True).tab()
    ask(page, text)
    notice = page.locator("#notice")
    expect(notice).to_have_text(sentence)
    expect(page.get_by_role("textbox", name="Message")).to_have_value(text)
    ask_and_wait(page, "/say Well then")
    expect(notice).to_be_empty()


def test_a_lost_network_keeps_the_text(visitor: Callable[..., Visitor]) -> None:
    guest = visitor(refused=True)
    page = guest.tab()
    # Chromium complains about a worker that the network was taken from while it came.
    page.evaluate("navigator.serviceWorker.ready.then(() => 0)")
    guest.context.set_offline(True)
    ask(page, "Are you there?")
    notice = page.locator("#notice")
    expect(notice).to_contain_text("The site cannot be reached.")
    expect(page.get_by_role("textbox", name="Message")).to_have_value("Are you there?")
    guest.context.set_offline(False)
    page.keyboard.press("Enter")
    page.get_by_role("textbox", name="Message").press("Enter")
    expect(page.locator(".prose")).to_contain_text("You wrote 3 words.")
    expect(notice).to_be_empty()
    expect(page.locator(".question")).to_have_count(1)


def test_a_second_question_waits_for_the_first_answer(visitor: Callable[..., Visitor]) -> None:
    guest = visitor(refused=True)
    page = guest.tab()
    ask(page, "/long 1500")
    expect(page.locator(".prose")).to_contain_text("word5")
    page.get_by_role("textbox", name="Message").fill("Too early")
    page.get_by_role("textbox", name="Message").press("Enter")
    expect(page.locator("#notice")).to_contain_text("An answer is still being written here.")
    expect(page.get_by_role("textbox", name="Message")).to_have_value("Too early")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    expect(page.locator("#notice")).to_be_empty()
    page.get_by_role("textbox", name="Message").press("Enter")
    expect(page.locator(".prose").last).to_contain_text("You wrote 2 words.")


def test_a_failed_answer_is_tried_again(visitor: Callable[..., Visitor]) -> None:
    page = visitor().tab()
    ask_and_wait(page, "/fail")
    expect(page.locator(".ending-note")).to_contain_text("This answer failed.")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("article[aria-busy]")).to_have_count(1)
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    assert page.locator(".prose").inner_text().count("This answer will not") == 1


def test_an_answer_cut_by_its_length_goes_on(
    visitor: Callable[..., Visitor], tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = {"ANSWER_TOKENS": "40", "SCRIPTED_TOKENS_PER_SECOND": "400"}
    with serve(tmp_path_factory.mktemp("short"), **settings) as short:
        page = visitor(short).tab()
        ask_and_wait(page, "/long 40")
        expect(page.locator(".ending-note")).to_contain_text("reached the longest length")
        page.get_by_role("button", name="Continue", exact=True).click()
        expect(page.locator(".prose")).to_contain_text("word40")
        assert page.locator(".prose").inner_text().split() == [f"word{number}" for number in range(1, 41)]
        page.close()


def test_waiting_is_told_as_it_is(visitor: Callable[..., Visitor], quiet_site: Site, backstage: Flask) -> None:
    guest = visitor(quiet_site, refused=True)
    page = guest.tab()
    status = page.locator("#model-status")
    expect(status).to_contain_text("No model is running at the moment.")
    ask(page, "One")
    expect(page.locator(".status")).to_contain_text("no model is running")

    runners.beat("somebody", "scripted", RunnerState.FETCHING, 0.25)
    expect(status).to_contain_text("is being fetched")
    expect(status.get_by_role("progressbar")).to_have_attribute("value", "0.25")
    expect(page.locator(".status")).to_contain_text("Waiting for the model")
    runners.beat("somebody", "scripted", RunnerState.FAILED, reason="there is no room")
    expect(status).to_contain_text("there is no room")
    runners.beat("somebody", "scripted", RunnerState.READY)
    expect(status).to_contain_text("can be wrong")
    assert "every" not in (status.get_attribute("hx-trigger") or "")
    expect(page.locator(".status")).to_contain_text("You are next in line.")

    other = guest.tab()
    ask(other, "Two")
    expect(other.locator(".status")).to_contain_text("You are number 2 in line.")
    third = guest.tab()
    ask(third, "Three")
    expect(third.locator("#notice")).to_contain_text("You are already waiting for several answers.")
    expect(third.locator("#notice")).to_contain_text("Try again in 10 seconds.")
    expect(third.get_by_role("textbox", name="Message")).to_have_value("Three")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".ending-note")).to_have_text("You stopped this answer.")
    expect(other.locator(".status")).to_contain_text("You are next in line.")
