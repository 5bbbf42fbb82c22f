"""What a screen reader is told while an answer is written: where it stands, and its sentences, each of them once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor, ask

pytestmark = pytest.mark.browser

SENTENCES = [f"Sentence number {number} is told as soon as it is whole." for number in range(40)]
TEXT = " ".join(SENTENCES) + "\n\n```python\nx = 1\n```\n\n- First thing\n- Second thing"
TOLD = [*SENTENCES, "Code in Python.", "First thing.", "Second thing.", "The answer is finished."]
LISTEN = """
window.heard = [];
addEventListener("DOMContentLoaded", () => {
  const listen = () => {
    const said = document.getElementById("announcer").textContent.trim();
    if (said) window.heard.push(said);
  };
  new MutationObserver(listen).observe(document.getElementById("announcer"), { childList: true, characterData: true });
});
"""


def listener(guest: Visitor) -> Page:
    """A page that remembers what was announced."""
    guest.context.add_init_script(LISTEN)
    return guest.tab()


def finished(page: Page) -> list[str]:
    """All that was announced, once the answer is there."""
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    expect(page.locator("#announcer")).to_contain_text("The answer is finished.")
    return list(page.evaluate("window.heard"))


def test_finished_sentences_are_told_once_each(visitor: Callable[..., Visitor]) -> None:
    page = listener(visitor())
    ask(page, f"/say {TEXT}")
    heard = finished(page)
    assert heard[0] == "The answer is being written."
    assert len(heard) >= 4, "It is told while the answer is written."
    assert " ".join(heard[1:]) == " ".join(TOLD)
    # Each time whole sentences.
    assert all(said.endswith(".") for said in heard)


def test_who_comes_back_hears_what_they_missed_and_nothing_twice(visitor: Callable[..., Visitor]) -> None:
    guest = visitor()
    page = listener(guest)
    ask(page, f"/say {TEXT}")
    expect(page.locator("#announcer")).to_contain_text("Sentence number 1 ")
    # The tab is hidden for a while: its connection is closed, and opened again where it was.
    hide = "(hidden) => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });" + (
        "document.dispatchEvent(new Event('visibilitychange')) }"
    )
    page.evaluate(hide, True)
    page.wait_for_timeout(600)
    page.evaluate(hide, False)
    assert " ".join(finished(page)[1:]) == " ".join(TOLD)


def test_who_opens_the_page_later_hears_only_what_comes(visitor: Callable[..., Visitor]) -> None:
    guest = visitor()
    page = listener(guest)
    ask(page, f"/say {TEXT}")
    expect(page.locator(".prose")).to_contain_text("Sentence number 9 ")
    page.reload()
    heard = " ".join(finished(page))
    assert "Sentence number 5 " not in heard
    assert heard == " ".join(TOLD)[-len(heard) :]
    assert "Sentence number 39 " in heard


def test_who_wishes_is_told_states_alone(visitor: Callable[..., Visitor]) -> None:
    guest = visitor()
    cookie = {"name": "chatsite_preferences", "value": "voice=states", "url": guest.site.url}
    guest.context.add_cookies([cookie])  # type: ignore[list-item]
    page = listener(guest)
    ask(page, f"/say {TEXT}")
    assert finished(page) == ["The answer is being written.", "The answer is finished."]
