"""Every state that an answer or a page can have: it says what is going on, and fits the narrowest screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from flask import current_app
from playwright.sync_api import Page, expect

from benchmarks.support.seed_data import open_app
from chatsite.devtools.demo.build import stable_id
from chatsite.devtools.demo.seed import seed_conversations
from chatsite.devtools.demo.seed_states import ANSWER_EXAMPLES, record_heartbeat, seed_all_states
from chatsite.models import RunnerState, User
from chatsite.services.accounts import terminal_links
from chatsite.services.chat import conversations
from tests.browser.conftest import BrowserVisitor, serve_site
from tests.support.served_site import ServedSite

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

NARROW = {"width": 320, "height": 640}
SAID = {
    "Pending: no word yet": "Reading",
    "Streaming": "Writing",
    "Thinking": "24 tokens",
    "Thought first": "Thought for 1 s · 48 tokens",
    "Weighing": "Comparing 10 drafts, 9 tokens",
    "Comparing": "Qwen2.5 0.5B Instruct",
    "Whole": "Read your message",
    "Stopped": "You stopped this answer.",
    "Interrupted": "The model crashed while writing this answer.",
    "Failed": "The computer ran out of memory.",
    "Failed before the first word": "This answer failed.",
    "Cut by length": "Stopped at the length limit.",
    "Nothing to say": "The model returned an empty answer.",
    "Queued, next in line": "Next in the queue",
    "Queued, second in line": "Queue position 2",
}
RUNNER = {
    RunnerState.LOADING: "is loading",
    RunnerState.FETCHING: "is being downloaded",
    RunnerState.FAILED: "No space is left on the disk.",
}
# Pages with nothing in them, and what they say then.
EMPTY = {
    "/": "No account needed",
    "/conversations?all=1": "Your chats will appear here.",
    "/archive": "No archived chats.",
    "/trash": "The trash is empty.",
    "/tags": "No tags yet.",
    "/shares": "No shared links.",
    "/export": "No chats yet.",
    "/search?q=zzz": "No results for “zzz”",
    "/nowhere": "Page not found.",
}


@pytest.fixture(scope="module")
def site_without_runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedSite]:
    """A site whose answers nobody writes."""
    settings = {"RUNNER": "external", "LEASE_SECONDS": "600", "STYLEGUIDE": "1"}
    with serve_site(tmp_path_factory.mktemp("held"), **settings) as site:
        yield site


@pytest.fixture(scope="module")
def owner(site_without_runner: ServedSite) -> Iterator[User]:
    """Whose the demo and all states on that site are; an app on its database is entered meanwhile."""
    with open_app(site_without_runner.instance) as app:
        user = seed_conversations(app.config)
        seed_all_states(app.config, user)
        yield user


@pytest.fixture
def owner_on_phone(
    site_without_runner: ServedSite, owner: User, new_visitor: Callable[..., BrowserVisitor]
) -> BrowserVisitor:
    """The owner on a small phone."""
    came = new_visitor(site_without_runner, viewport=NARROW)
    token = terminal_links.terminal_token(site_without_runner.instance)
    came.context.add_cookies(
        [{"name": site_without_runner.user_cookie, "value": token, "url": site_without_runner.url}]
    )
    return came


def fits(page: Page) -> bool:
    """Whether nothing but boxes that scroll in themselves is wider than the window."""
    return bool(
        page.evaluate(
            "[document.documentElement, document.querySelector('#main')].every("
            "(each) => each.scrollWidth <= each.clientWidth)"
        )
    )


def test_answer_states_show_status_and_fit_narrow_screen(
    site_without_runner: ServedSite, owner: User, owner_on_phone: BrowserVisitor
) -> None:
    assert {state.title for state in ANSWER_EXAMPLES} == set(SAID)
    names = {talk.title: talk.public_id for talk in conversations.list_page(owner, size=100).items}
    page = owner_on_phone.open_tab()
    for title, words in SAID.items():
        page.goto(f"{site_without_runner.url}/conversations/{names[title]}")
        expect(page.locator("#thread")).to_contain_text(words)
        assert fits(page), title
    page.goto(f"{site_without_runner.url}/conversations/{stable_id('garden-talk')}")
    expect(page.locator("#context-boundary")).to_contain_text("The model cannot see messages above this line")
    assert fits(page)


def test_running_and_failed_imports_are_shown(site_without_runner: ServedSite, owner_on_phone: BrowserVisitor) -> None:
    page = owner_on_phone.open_tab("/imports")
    expect(page.locator("#main")).to_contain_text("Importing this file failed repeatedly and was stopped.")
    assert fits(page)
    page.get_by_role("link", name="chatgpt-export.zip").click()
    expect(page.locator("#main")).to_contain_text("3 imported")
    assert fits(page)


def test_model_status_shows_unready_model(site_without_runner: ServedSite, owner_on_phone: BrowserVisitor) -> None:
    page = owner_on_phone.open_tab()
    for state, words in RUNNER.items():
        record_heartbeat(current_app.config, state)
        page.goto(site_without_runner.url)
        expect(page.locator("#model-status")).to_contain_text(words)
        assert fits(page), state
    record_heartbeat(current_app.config, RunnerState.READY)
    # It asks again until there is nothing to wait for.
    expect(page.locator("#model-status")).to_contain_text("can make mistakes")


def test_empty_pages_show_empty_state_and_fit(
    site_without_runner: ServedSite, new_visitor: Callable[..., BrowserVisitor]
) -> None:
    page = new_visitor(site_without_runner, refused=True, viewport=NARROW).open_tab()
    for path, words in EMPTY.items():
        page.goto(site_without_runner.url + path)
        expect(page.locator("#main")).to_contain_text(words)
        assert fits(page), path


def test_styleguide_fits_narrow_screen(site_without_runner: ServedSite, owner_on_phone: BrowserVisitor) -> None:
    """What axe-core says of it: test_axe.py."""
    page = owner_on_phone.open_tab("/styleguide")
    expect(page.get_by_role("heading", name="Weighing", exact=True)).to_be_attached()
    assert fits(page)
