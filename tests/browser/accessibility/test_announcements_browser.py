"""What a screen reader is told while an answer is written: where it stands, and its sentences, each of them once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import BrowserVisitor, send_question
from tests.browser.writer import Writer

pytestmark = pytest.mark.browser

SENTENCES = [f"Sentence number {number} is told as soon as it is whole." for number in range(40)]
TEXT = " ".join(SENTENCES) + "\n\n```python\nx = 1\n```\n\n- First thing\n- Second thing"
TOLD = [*SENTENCES, "Code in Python.", "First thing.", "Second thing.", "Answer finished."]
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


def listener(guest: BrowserVisitor) -> Page:
    """A page that remembers what was announced."""
    guest.context.add_init_script(LISTEN)
    return guest.open_tab()


def write_all(page: Page, writer: Writer, text: str = TEXT) -> None:
    """Write the rest in pieces that do not end with a sentence, each once the one before was told of."""
    pieces = [text[start : start + 500] for start in range(0, len(text), 500)]
    for number, piece in enumerate(pieces):
        before = page.locator("#announcer").inner_text()
        writer.write(piece, done=number == len(pieces) - 1)
        expect(page.locator("#announcer")).not_to_have_text(before)


def finished(page: Page) -> list[str]:
    """All that was announced, once the answer is there."""
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    expect(page.locator("#announcer")).to_contain_text("Answer finished.")
    return list(page.evaluate("window.heard"))


def test_finished_sentences_are_announced_once(new_visitor: Callable[..., BrowserVisitor], writer: Writer) -> None:
    page = listener(new_visitor(writer.site))
    send_question(page, "Many sentences, please")
    writer.begin()
    write_all(page, writer)
    spoken = finished(page)
    assert spoken[0] == "The answer is being written."
    assert len(spoken) >= 4, "It is told while the answer is written."
    assert " ".join(spoken[1:]) == " ".join(TOLD)
    # Each time whole sentences.
    assert all(said.endswith(".") for said in spoken)


def test_returning_tab_announces_missed_sentences_once(
    new_visitor: Callable[..., BrowserVisitor], writer: Writer
) -> None:
    guest = new_visitor(writer.site)
    page = listener(guest)
    send_question(page, "Many sentences, please")
    writer.begin()
    writer.write(TEXT[:200])
    expect(page.locator("#announcer")).to_contain_text("Sentence number 1 ")
    # The tab is hidden for a while: its connection is closed, and opened again where it was.
    hide = "(hidden) => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });" + (
        "document.dispatchEvent(new Event('visibilitychange')) }"
    )
    page.evaluate(hide, True)
    writer.write(TEXT[200:600])
    page.evaluate(hide, False)
    write_all(page, writer, TEXT[600:])
    assert " ".join(finished(page)[1:]) == " ".join(TOLD)


def test_reloaded_page_announces_only_new_sentences(new_visitor: Callable[..., BrowserVisitor], writer: Writer) -> None:
    guest = new_visitor(writer.site)
    page = listener(guest)
    send_question(page, "Many sentences, please")
    writer.begin()
    writer.write(TEXT[:700])
    expect(page.locator(".prose")).to_contain_text("Sentence number 9 ")
    page.reload()
    write_all(page, writer, TEXT[700:])
    spoken = " ".join(finished(page))
    assert "Sentence number 5 " not in spoken
    assert spoken == " ".join(TOLD)[-len(spoken) :]
    assert "Sentence number 39 " in spoken


def test_voice_preference_announces_only_states(new_visitor: Callable[..., BrowserVisitor], writer: Writer) -> None:
    guest = new_visitor(writer.site)
    cookie = {"name": "chatsite_preferences", "value": "voice=states", "url": guest.site.url}
    guest.context.add_cookies([cookie])  # type: ignore[list-item]
    page = listener(guest)
    send_question(page, "Many sentences, please")
    writer.begin()
    writer.write(TEXT[:700])
    expect(page.locator(".prose")).to_contain_text("Sentence number 9 ")
    writer.write(TEXT[700:], done=True)
    assert finished(page) == ["The answer is being written.", "Answer finished."]
