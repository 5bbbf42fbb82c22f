"""A server whose model thinks, added and asked with nothing but the keyboard; what it thinks is folded and quiet."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Page, expect

from chatsite.engine.catalog.endpoints import NAME_BY_PORT
from tests.browser.accessibility.axe import find_violations
from tests.browser.accessibility.test_keyboard import check, tab_to
from tests.browser.conftest import BrowserVisitor, serve_site
from tests.support.model_server import (
    HttpRequest,
    ModelServer,
    delta,
    event,
    head,
    openai_stream,
    usage,
    with_models,
    words_of,
)
from tests.support.served_site import ServedSite

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

TEXT = "Foxes are red and quick."
THOUGHT = "Let me see: a fox is <b>small</b> and"
REST = " red, so that is the answer."
RECORD = """
() => {
  window.said = [];
  const region = document.querySelector("#announcer");
  const changes = {childList: true, characterData: true, subtree: true};
  new MutationObserver(() => said.push(region.textContent.trim())).observe(region, changes);
}
"""


@dataclass
class ThinkingOwl:
    """Its model thinks half a thought, goes on when it is told to, and answers when it is told to again."""

    thinks_on: threading.Event = field(default_factory=threading.Event)
    answers: threading.Event = field(default_factory=threading.Event)
    asked: list[HttpRequest] = field(default_factory=list)

    def reply(self, request: HttpRequest) -> Iterable[object]:
        """Write the answer to a question."""
        self.asked.append(request)
        yield head()
        yield from (event(delta(reasoning_content=word)) for word in words_of(THOUGHT))
        self.thinks_on.wait(60)
        yield event(delta(reasoning_content=REST))
        self.answers.wait(60)
        yield from openai_stream(words_of(TEXT), usage(20, 20))


@pytest.fixture
def owl() -> ThinkingOwl:
    return ThinkingOwl()


@pytest.fixture
def server_name(owl: ThinkingOwl) -> Iterator[str]:
    """The name that the server gets at the usual port where it listens."""
    for port, name in NAME_BY_PORT.items():
        try:
            server = ModelServer(with_models(owl.reply, "owl"), port)
        except OSError:
            continue
        with server:
            yield name
            owl.thinks_on.set()
            owl.answers.set()
        return
    pytest.skip("All usual ports of this machine are taken.")


@pytest.fixture
def managed_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedSite]:
    """A site whose visitors may manage its models."""
    with serve_site(tmp_path_factory.mktemp("managed-site"), ALLOW_MODEL_MANAGEMENT="1") as running:
        yield running


def add_by_keyboard(page: Page, name: str) -> None:
    """Find the server, add it and go to a chat with it."""
    tab_to(page, "Look for servers on this computer")
    page.keyboard.press("Enter")
    expect(page.locator("#endpoint-search-status")).to_be_focused()
    expect(page.get_by_role("article", name=name)).to_contain_text("Found, not added")
    tab_to(page, f"Add {name}", "Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("article", name=name)).to_contain_text("Ready")
    # The button is gone, and the focus is where the next step begins.
    expect(page.locator("#endpoint-search-status")).to_be_focused()
    check(page)
    tab_to(page, "Start chat owl", "Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#model-picker-name")).to_contain_text("owl")


def test_server_is_added_and_its_thoughts_are_read_by_keyboard(
    new_visitor: Callable[..., BrowserVisitor],
    managed_site: ServedSite,
    owl: ThinkingOwl,
    server_name: str,
) -> None:
    page = new_visitor(managed_site, reduced_motion="reduce").open_tab("/models")
    add_by_keyboard(page, server_name)
    expect(page.locator("#text")).to_be_focused()
    page.evaluate(RECORD)
    page.keyboard.type("What are foxes like?")
    page.keyboard.press("Enter")

    reasoning = page.locator("article.message-assistant .reasoning")
    summary, thought = reasoning.locator("summary"), reasoning.locator(".reasoning-text")
    expect(summary).to_contain_text(re.compile(rf"Thinking… \d+ s · {len(words_of(THOUGHT))} tokens"))
    expect(thought).to_be_hidden()
    summary.focus()
    page.keyboard.press("Enter")
    expect(thought).to_have_text(THOUGHT, use_inner_text=True)
    owl.thinks_on.set()
    expect(thought).to_have_text(THOUGHT + REST, use_inner_text=True)
    expect(summary).to_be_focused()
    assert find_violations(page) == []

    owl.answers.set()
    expect(page.locator("article.message-assistant .prose")).to_have_text(TEXT)
    expect(summary).to_contain_text(re.compile(rf"Thought for \d+ s · {len(words_of(THOUGHT)) + 1} tokens"))
    expect(thought).to_be_visible()
    said = page.evaluate("said")
    assert [sentence for sentence in said if "thinking" in sentence] == ["The model is thinking."]
    assert not any("Let me see" in sentence for sentence in said)

    # What it thought is not sent back to it.
    page.locator("#text").focus()
    page.keyboard.type("And owls?")
    page.keyboard.press("Enter")
    expect(page.locator("article.message-assistant .prose").last).to_have_text(TEXT)
    sent = str(owl.asked[-1].body["messages"])
    assert TEXT in sent
    assert "Let me see" not in sent
