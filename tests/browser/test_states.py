"""Every state that an answer or a page can have: it says what is going on, and fits the narrowest screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from flask import current_app
from playwright.sync_api import Page, expect

from benchmarks.seeding import entered
from chatsite.cli.demo.filling import fill
from chatsite.cli.demo.held import STATES, hold, settle
from chatsite.cli.demo.staging import name_of
from chatsite.models import RunnerState, User
from chatsite.services import conversations, links
from chatsite.web.access import COOKIE
from tests.browser.conftest import Visitor, serve
from tests.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

NARROW = {"width": 320, "height": 640}
SAID = {
    "Pending: no word yet": "Reading",
    "Streaming": "Writing",
    "Weighing": "Weighing 10 answers, 9 tokens",
    "Comparing": "Qwen2.5 0.5B Instruct",
    "Whole": "What the model saw",
    "Stopped": "You stopped this answer.",
    "Interrupted": "This answer was interrupted",
    "Failed": "out of memory",
    "Failed before the first word": "This answer failed.",
    "Cut by length": "This answer was cut",
    "Nothing to say": "The model had nothing to say.",
    "Queued, next in line": "You are next in line.",
    "Queued, second in line": "You are number 2 in line.",
}
RUNNER = {
    RunnerState.LOADING: "is being loaded",
    RunnerState.FETCHING: "is being fetched",
    RunnerState.FAILED: "No space is left on the disk.",
}
# Pages with nothing in them, and what they say then.
EMPTY = {
    "/": "There is nothing to sign up for",
    "/conversations?all=1": "Your conversations will be listed here.",
    "/archive": "Nothing is archived.",
    "/trash": "The trash is empty.",
    "/tags": "There are no tags yet.",
    "/shares": "You share nothing.",
    "/export": "There are no conversations yet.",
    "/search?q=zzz": "Nothing was found.",
    "/nowhere": "This does not exist, or it is not yours.",
}


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose answers nobody writes."""
    settings = {"RUNNER": "external", "LEASE_SECONDS": "600", "STYLEGUIDE": "1"}
    with serve(tmp_path_factory.mktemp("held"), **settings) as site:
        yield site


@pytest.fixture(scope="module")
def owner(held: Site) -> Iterator[User]:
    """Whose the demo and all states on that site are; an app on its database is entered meanwhile."""
    with entered(held.instance) as app:
        user = fill(app.config)
        hold(app.config, user)
        yield user


@pytest.fixture
def narrow(held: Site, owner: User, visitor: Callable[..., Visitor]) -> Visitor:
    """The owner on a small phone."""
    came = visitor(held, viewport=NARROW)
    token = links.terminal_token(held.instance)
    came.context.add_cookies([{"name": COOKIE, "value": token, "url": held.url}])
    return came


def fits(page: Page) -> bool:
    """Whether nothing but boxes that scroll in themselves is wider than the window."""
    return bool(
        page.evaluate(
            "[document.documentElement, document.querySelector('#main')].every("
            "(each) => each.scrollWidth <= each.clientWidth)"
        )
    )


def test_every_state_of_an_answer_says_what_it_is_and_fits(held: Site, owner: User, narrow: Visitor) -> None:
    assert {state.title for state in STATES} == set(SAID)
    names = {talk.title: talk.public_id for talk in conversations.page(owner, size=100).items}
    page = narrow.tab()
    for title, words in SAID.items():
        page.goto(f"{held.url}/conversations/{names[title]}")
        expect(page.locator("#thread")).to_contain_text(words)
        assert fits(page), title
    page.goto(f"{held.url}/conversations/{name_of('garden-talk')}")
    expect(page.locator("#cut")).to_contain_text("The model does not see what is above this line")
    assert fits(page)


def test_an_import_that_runs_and_one_that_failed_are_told_of(held: Site, narrow: Visitor) -> None:
    page = narrow.tab("/imports")
    expect(page.locator("#main")).to_contain_text("Failed: Reading this file ended in a crash")
    assert fits(page)
    page.get_by_role("link", name="chatgpt-export.zip").click()
    expect(page.locator("#main")).to_contain_text("3 imported")
    assert fits(page)


def test_a_model_that_is_not_ready_is_told_of(held: Site, narrow: Visitor) -> None:
    page = narrow.tab()
    for state, words in RUNNER.items():
        settle(current_app.config, state)
        page.goto(held.url)
        expect(page.locator("#model-status")).to_contain_text(words)
        assert fits(page), state
    settle(current_app.config, RunnerState.READY)
    # It asks again until there is nothing to wait for.
    expect(page.locator("#model-status")).to_contain_text("can be wrong")


def test_pages_with_nothing_in_them_say_so_and_fit(held: Site, visitor: Callable[..., Visitor]) -> None:
    page = visitor(held, refused=True, viewport=NARROW).tab()
    for path, words in EMPTY.items():
        page.goto(held.url + path)
        expect(page.locator("#main")).to_contain_text(words)
        assert fits(page), path


def test_the_guide_fits_too(held: Site, narrow: Visitor) -> None:
    """What axe-core says of it: test_axe.py."""
    page = narrow.tab("/styleguide")
    expect(page.get_by_role("heading", name="Weighing", exact=True)).to_be_attached()
    assert fits(page)
