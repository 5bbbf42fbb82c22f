"""Whatever goes wrong, a sentence says it and what was typed stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from playwright.sync_api import expect

from chatsite import create_app
from chatsite.database import db
from chatsite.errors import as_error
from chatsite.models import RunnerState
from chatsite.services.models import runners
from tests.browser.conftest import BrowserVisitor, ask_and_wait, send_question, serve_site
from tests.support.served_site import ServedSite

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site_without_runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedSite]:
    """A site that no runner answers."""
    settings = {"RUNNER": "external", "LEASE_SECONDS": "600", "MAX_QUEUED_PER_USER": "2"}
    with serve_site(tmp_path_factory.mktemp("quiet"), **settings) as running:
        yield running


@pytest.fixture(scope="module")
def server_side_app(site_without_runner: ServedSite) -> Iterator[Flask]:
    """The same site from behind: what a runner says goes into its database."""
    app = create_app({"INSTANCE": site_without_runner.instance, "DEFAULT_MODEL": "scripted", "LOG_LEVEL": "error"})
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


def test_invalid_message_shows_error_and_keeps_text(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(refused=True).open_tab()
    send_question(page, "\u200b")
    notice = page.locator("#notice")
    expect(notice).to_have_text("Write a message first.")
    expect(page.get_by_role("textbox", name="Message")).to_have_value("\u200b")
    ask_and_wait(page, "/say Well then")
    expect(notice).to_be_empty()


def test_lost_network_keeps_text(new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor(refused=True)
    page = guest.open_tab()
    # Chromium complains about a worker that the network was taken from while it came.
    page.evaluate("navigator.serviceWorker.ready.then(() => 0)")
    guest.context.set_offline(True)
    send_question(page, "Are you there?")
    notice = page.locator("#notice")
    expect(notice).to_contain_text("Cannot connect to the site.")
    expect(page.get_by_role("textbox", name="Message")).to_have_value("Are you there?")
    guest.context.set_offline(False)
    page.keyboard.press("Enter")
    page.get_by_role("textbox", name="Message").press("Enter")
    expect(page.locator(".prose")).to_contain_text("You wrote 3 words.")
    expect(notice).to_be_empty()
    expect(page.locator(".question")).to_have_count(1)


def test_failed_answer_can_be_retried(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/fail")
    expect(page.locator(".status-note")).to_contain_text("The model could not finish this answer.")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("article[aria-busy]")).to_have_count(1)
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    assert page.locator(".prose").inner_text().count("This answer will not") == 1


def test_truncated_answer_can_be_continued(
    new_visitor: Callable[..., BrowserVisitor], tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = {"MAX_ANSWER_TOKENS": "40", "SCRIPTED_TOKENS_PER_SECOND": "400"}
    with serve_site(tmp_path_factory.mktemp("short"), **settings) as short:
        page = new_visitor(short).open_tab()
        ask_and_wait(page, "/long 40")
        expect(page.locator(".status-note")).to_have_text("Stopped at the length limit.")
        page.get_by_role("button", name="Continue", exact=True).click()
        expect(page.locator(".prose")).to_contain_text("word40")
        assert page.locator(".prose").inner_text().split() == [f"word{number}" for number in range(1, 41)]
        page.close()


@pytest.mark.usefixtures("server_side_app")
def test_waiting_status_follows_model_and_queue(
    new_visitor: Callable[..., BrowserVisitor], site_without_runner: ServedSite
) -> None:
    guest = new_visitor(site_without_runner, refused=True)
    page = guest.open_tab()
    status = page.locator("#model-status")
    expect(status).to_contain_text("No model is running.")
    send_question(page, "One")
    expect(page.locator(".status")).to_contain_text("no model is running")

    runners.heartbeat("somebody", "scripted", RunnerState.FETCHING, progress=0.25)
    expect(status).to_contain_text("is being downloaded")
    expect(status.get_by_role("progressbar")).to_have_attribute("value", "0.25")
    expect(page.locator(".status")).to_contain_text("Waiting for the model")
    runners.heartbeat("somebody", "scripted", RunnerState.FAILED, error=as_error("there is no room"))
    expect(status).to_contain_text("there is no room")
    runners.heartbeat("somebody", "scripted", RunnerState.READY)
    expect(status).to_contain_text("can make mistakes")
    assert "every" not in (status.get_attribute("hx-trigger") or "")
    expect(page.locator(".status")).to_contain_text("Next in the queue")

    other = guest.open_tab()
    send_question(other, "Two")
    expect(other.locator(".status")).to_contain_text("Queue position 2")
    third = guest.open_tab()
    send_question(third, "Three")
    expect(third.locator("#notice")).to_contain_text("You already have several answers in progress.")
    expect(third.locator("#notice")).to_contain_text("Try again in 10 seconds.")
    expect(third.get_by_role("textbox", name="Message")).to_have_value("Three")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".status-note")).to_have_text("You stopped this answer.")
    expect(other.locator(".status")).to_contain_text("Next in the queue")
