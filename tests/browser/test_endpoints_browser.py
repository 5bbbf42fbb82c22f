"""Other servers in a browser: one is found, added, talked with, stopped, compared, lost, and taken away again."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Locator, Page, expect

from chatsite.engine.catalog.endpoints import NAME_BY_PORT
from tests.browser.accessibility.axe import find_violations
from tests.browser.conftest import BrowserVisitor, ask_and_wait, open_new_conversation, send_question, serve_site
from tests.support.model_server import SILENCE, HttpRequest, ModelServer, head, openai_stream, with_models, words_of
from tests.support.served_site import ServedSite

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

TEXT = "Foxes are red and quick."


@dataclass
class Owl:
    """A server with one model at a usual port. What is asked for at length is written up to its third word."""

    name: str
    server: ModelServer
    abandoned: threading.Event = field(default_factory=threading.Event)

    @property
    def model(self) -> str:
        return f"{self.name}/owl"

    def restart(self) -> None:
        """Listen again, and write every answer to its end."""
        self.server = ModelServer(with_models(answer_whole, "owl"), self.server.port)


def answer(request: HttpRequest) -> Iterable[object]:
    """Write the text, or where it is asked for at length, up to its third word."""
    if "at length" in str(request.body["messages"][-1]):
        yield head()
        yield from list(openai_stream(words_of(TEXT)))[:4]
        yield SILENCE
    yield from answer_whole(request)


def answer_whole(request: HttpRequest) -> Iterable[object]:
    """Write the text to its end."""
    yield head()
    usage = {"prompt_tokens": 20, "completion_tokens": 6, "total_tokens": 26}
    yield from openai_stream(words_of(TEXT), usage)


@pytest.fixture
def owl() -> Iterator[Owl]:
    """The server, at the first usual port that is free on this machine."""
    for port, name in NAME_BY_PORT.items():
        with socket.socket() as probe:
            is_taken = probe.connect_ex(("127.0.0.1", port)) == 0
        if not is_taken:
            made = Owl(name, ModelServer(with_models(answer, "owl"), port))
            yield made
            made.server.close()
            return
    pytest.skip("All usual ports of this machine are taken.")


@pytest.fixture
def endpoint_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedSite]:
    """A site whose visitors may manage its models."""
    with serve_site(tmp_path_factory.mktemp("endpoint-site"), ALLOW_MODEL_MANAGEMENT="1") as running:
        yield running


def card(page: Page, owl: Owl) -> Locator:
    """The card of the server."""
    return page.get_by_role("article", name=owl.name)


def find_server(page: Page, owl: Owl) -> None:
    """Look for servers, and wait until the one that is there was found."""
    page.goto("/models")
    page.get_by_role("button", name="Look for servers on this computer").click()
    expect(page.locator("#endpoint-search-status")).to_be_focused()
    expect(card(page, owl)).to_contain_text("Found, not added")
    expect(page.locator("#announcer")).to_contain_text("Found:")
    expect(page.locator("#announcer")).to_contain_text(owl.name)


def add_server(page: Page, owl: Owl) -> None:
    """Add the server that was found."""
    card(page, owl).get_by_role("button", name=f"Add {owl.name}").click()
    expect(card(page, owl)).to_contain_text("Ready")


def choose(page: Page) -> None:
    """Choose the model of the server for the next answers."""
    page.locator("#model-picker-name").click()
    page.get_by_role("radio", name="owl").check()
    expect(page.locator("#model-picker-name")).to_contain_text("owl")
    page.locator("#model-picker-name").click()


def ask_at_length(page: Page) -> None:
    """Ask for an answer that is written up to its third word."""
    send_question(page, "Tell me at length.")
    expect(page.locator(".question").last).to_contain_text("Tell me at length.")
    expect(page.locator("article.message-assistant").last).to_contain_text("Foxes are")


def test_server_is_found_added_used_compared_lost_and_removed(
    new_visitor: Callable[..., BrowserVisitor], endpoint_site: ServedSite, owl: Owl
) -> None:
    page = new_visitor(endpoint_site, reduced_motion="reduce").open_tab("/")
    find_server(page, owl)
    assert find_violations(page) == []
    spanish = new_visitor(endpoint_site, locale="es-ES", reduced_motion="reduce").open_tab("/models")
    expect(card(spanish, owl)).to_contain_text("Encontrado, sin añadir")
    assert find_violations(spanish) == []
    add_server(page, owl)
    expect(card(page, owl)).to_contain_text("Your messages stay on this computer")

    # Its model is chosen, and answers.
    open_new_conversation(page)
    choose(page)
    ask_and_wait(page, "What are foxes like?")
    expect(page.locator(".prose").last).to_have_text(TEXT)
    page.locator(".signature").click()
    expect(page.locator(".report")).to_contain_text("20 of")
    expect(page.locator(".report")).to_contain_text("counted by the server")
    page.locator(".report-panel-close").click()

    # A long answer is stopped: the server sees that nobody reads any more.
    ask_at_length(page)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".status-note")).to_have_text("You stopped this answer.")
    assert owl.server.asked("/chat/completions")[-1].was_abandoned.wait(60)

    # It is compared with the model of this machine.
    page.locator("#model-picker-name").click()
    page.get_by_role("switch", name="Compare").check()
    page.get_by_role("checkbox", name="Demo script").check()
    expect(page.locator("#compare-chips")).to_contain_text("owl")
    page.locator("#model-picker-name").click()
    send_question(page, "/say Local words.")
    comparison = page.locator(".comparison").last
    expect(comparison).to_contain_text("Local words.")
    expect(comparison).to_contain_text(TEXT)

    # It dies in the middle: what was written stays, with the reason; once it is back, another try answers.
    open_new_conversation(page)
    choose(page)
    ask_at_length(page)
    owl.server.close()
    expect(page.locator(".status-note")).to_contain_text(f"{owl.name} cannot be reached.")
    expect(page.locator(".prose").last).to_contain_text("Foxes are")
    page.goto("/models")
    expect(card(page, owl)).to_contain_text("Failed:")
    assert find_violations(page) == []
    owl.restart()
    card(page, owl).get_by_role("button", name=f"Check again {owl.name}").click()
    expect(card(page, owl)).to_contain_text("Ready")

    page.go_back()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("article.message-assistant").last).to_contain_text(TEXT)
    expect(page.locator(".status-note")).to_have_count(0)

    # It is taken from the site; its conversations can be read.
    page.goto("/models")
    card(page, owl).get_by_role("button", name=f"Remove {owl.name}").click()
    expect(card(page, owl)).to_contain_text("Found, not added")
    page.get_by_role("link", name="What are foxes like?").first.click()
    expect(page.locator(".prose").first).to_have_text(TEXT)
    expect(page.locator("#model-picker-list")).to_contain_text("no longer available")


def test_server_is_found_and_added_without_javascript(
    new_visitor: Callable[..., BrowserVisitor], endpoint_site: ServedSite, owl: Owl
) -> None:
    page = new_visitor(endpoint_site, java_script_enabled=False).open_tab("/models")
    page.get_by_role("button", name="Look for servers on this computer").click()
    # The page renews itself until the look is over.
    expect(card(page, owl)).to_contain_text("Found, not added")
    card(page, owl).get_by_role("button", name=f"Add {owl.name}").click()
    expect(card(page, owl)).to_contain_text("Ready")
    card(page, owl).get_by_role("link", name="Start chat owl").click()
    expect(page.locator("#model-picker-name")).to_contain_text("owl")
