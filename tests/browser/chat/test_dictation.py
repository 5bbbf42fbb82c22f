"""Speech becomes text in the message box: as it is said, where that may be, and nothing of it is lost."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility.axe import find_violations
from tests.browser.conftest import BrowserVisitor, ask_and_wait

pytestmark = pytest.mark.browser

# The recognition of speech, which no browser has here: what it was told is kept, and what it understands a test says.
RECOGNITION_SCRIPT = """({ availability, installs }) => {
  window.questions = [];
  const end = (each) => {
    if (!each.isOn) return;
    each.isOn = false;
    each.onend();
  };
  window.SpeechRecognition = class {
    static available(query) {
      window.questions.push(query);
      return availability ? Promise.resolve(availability) : Promise.reject(new TypeError("not there"));
    }
    static install(query) {
      window.installed = query;
      return Promise.resolve(installs);
    }
    start() {
      window.recognition = this;
      this.isOn = true;
    }
    stop() { end(this); }
    abort() { end(this); }
    fail(error) {
      this.onerror({ error });
      end(this);
    }
    recognize(...pieces) {
      this.onresult({ results: pieces.map(([transcript, isFinal]) => ({ 0: { transcript }, length: 1, isFinal })) });
    }
  };
}"""


def open_tab(guest: BrowserVisitor, availability: str = "", installs: bool = True) -> Page:
    """Open the front page in a browser that turns speech into text, somewhere."""
    options = json.dumps({"availability": availability, "installs": installs})
    guest.context.add_init_script(f"({RECOGNITION_SCRIPT})({options})")
    return guest.open_tab()


def recognize(page: Page, *pieces: tuple[str, bool]) -> None:
    """Let this be all that was understood since the beginning: pieces, and whether each is final."""
    page.evaluate("(pieces) => recognition.recognize(...pieces)", [list(each) for each in pieces])


def expect_listening(page: Page, listening: bool = True) -> None:
    """Wait until the button says that it listens, or that it does not, and see that it is so."""
    button = page.get_by_role("button", name="Dictate", exact=True)
    expect(button).to_have_attribute("aria-pressed", str(listening).lower())
    assert page.evaluate("Boolean(window.recognition?.isOn)") == listening


def start(page: Page) -> None:
    """Press the button, and wait until it listens."""
    page.get_by_role("button", name="Dictate", exact=True).click()
    expect_listening(page)


def test_speech_is_written_at_the_caret(new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor(locale="en-GB")
    page = open_tab(guest, "available")
    ask_and_wait(page, "/say Hello.")
    box = page.get_by_role("textbox", name="Message")
    box.fill("Dear neighbors, come.")
    box.evaluate("(box) => box.setSelectionRange(15, 15)")
    start(page)
    expect(box).to_be_focused()
    assert find_violations(page) == []
    # On the device, and so without a question.
    assert page.evaluate("recognition.processLocally")
    assert page.evaluate("[recognition.lang, recognition.continuous, recognition.interimResults]") == [
        "en-GB",
        True,
        True,
    ]
    assert page.evaluate("questions[0]") == {"langs": ["en-GB"], "processLocally": True}
    recognize(page, ("pleas", False))
    expect(box).to_have_value("Dear neighbors, pleas come.")
    recognize(page, ("please", True), (" do", False))
    expect(box).to_have_value("Dear neighbors, please do come.")
    assert box.evaluate("(box) => box.selectionStart") == len("Dear neighbors, please do")
    # What is typed meanwhile stays, and nothing that was said before comes again.
    page.keyboard.type(" all")
    recognize(page, ("please", True), (" do", True), ("at once", True))
    expect(box).to_have_value("Dear neighbors, please do all at once come.")
    with page.expect_response("**/draft*"):
        page.keyboard.press("Escape")
        expect_listening(page, listening=False)
    page.reload()
    expect(box).to_have_value("Dear neighbors, please do all at once come.")

    # The button ends it, too, and so does leaving; what was sent does not come back.
    start(page)
    page.get_by_role("button", name="Dictate", exact=True).click()
    expect_listening(page, listening=False)
    start(page)
    box.fill("/say Sent.")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".prose").last).to_have_text("Sent.")
    recognize(page, ("and the next", True))
    expect(box).to_have_value("and the next")
    page.locator("#sidebar").get_by_role("link", name="New chat").click()
    expect(page.locator("#welcome")).to_be_visible()
    assert not page.evaluate("recognition.isOn")
    expect_listening(page, listening=False)


def test_it_is_asked_once_whether_sound_may_leave_the_device(new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor()
    page = open_tab(guest)
    button, question = page.get_by_role("button", name="Dictate", exact=True), page.locator(".permission")
    button.first.click()
    expect(question).to_contain_text("this browser may send the sound to its maker")
    expect(question.get_by_role("button")).to_have_text(["Dictate", "Cancel"])
    assert find_violations(page) == []
    assert page.evaluate("window.recognition") is None
    page.keyboard.press("Escape")
    expect(question).to_have_count(0)
    assert page.evaluate("window.recognition") is None
    button.first.click()
    with page.expect_response("**/preferences"):
        question.get_by_role("button", name="Dictate").click()
    expect_listening(page)
    assert not page.evaluate("recognition.processLocally")
    page.reload()
    start(page)
    page.goto(f"{guest.site.url}/settings")
    expect(page.get_by_role("radio", name="May send speech to the browser's maker")).to_be_checked()
    with page.expect_response("**/preferences"):
        page.get_by_role("radio", name="No microphone").check()
    page.goto(guest.site.url)
    expect(page.get_by_role("textbox", name="Message")).to_be_visible()
    expect(page.locator(".dictate")).to_have_count(0)


def test_recognition_may_be_downloaded(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = open_tab(new_visitor(), "downloadable")
    page.get_by_role("button", name="Dictate", exact=True).click()
    page.get_by_role("button", name="Download speech recognition instead").click()
    expect_listening(page)
    assert page.evaluate("recognition.processLocally")
    assert page.evaluate("installed.langs") == ["en-GB"]
    page = open_tab(new_visitor(), "downloadable", installs=False)
    page.get_by_role("button", name="Dictate", exact=True).click()
    page.get_by_role("button", name="Download speech recognition instead").click()
    expect(page.locator("#notice")).to_have_text("The browser cannot turn speech into text now.")
    expect_listening(page, listening=False)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        ("not-allowed", "The browser does not let this site use the microphone."),
        ("network", "The browser cannot turn speech into text now."),
        ("no-speech", ""),
    ],
)
def test_failures_are_told(new_visitor: Callable[..., BrowserVisitor], error: str, sentence: str) -> None:
    page = open_tab(new_visitor(), "available")
    start(page)
    page.evaluate("(error) => recognition.fail(error)", error)
    expect_listening(page, listening=False)
    expect(page.locator("#notice")).to_have_text(sentence)


def test_browsers_without_recognition_have_no_button(new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor()
    guest.context.add_init_script("delete window.SpeechRecognition; delete window.webkitSpeechRecognition")
    page = guest.open_tab()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    expect(page.locator(".dictate")).to_be_hidden()
    silent = new_visitor(java_script_enabled=False).open_tab()
    expect(silent.get_by_role("button", name="Send")).to_be_visible()
    expect(silent.locator(".dictate")).to_be_hidden()


@pytest.mark.parametrize("width", [320, 390])
def test_phones_keep_their_room(new_visitor: Callable[..., BrowserVisitor], width: int) -> None:
    size = {"viewport": {"width": width, "height": 720}, "has_touch": True, "is_mobile": True}
    page = open_tab(new_visitor(**size), "available")
    box = page.locator(".composer-box")
    height = "(box) => box.offsetHeight"
    with_button = box.evaluate(height)
    button = page.locator(".dictate")
    assert min(button.evaluate("(button) => [button.offsetWidth, button.offsetHeight]")) >= 44
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator(".context-meter").evaluate("(meter) => (meter.hidden = false)")
    assert box.evaluate(height) == with_button
    button.evaluate("(button) => button.remove()")
    assert box.evaluate(height) == with_button
    # The keyboard of the screen stays away.
    page.reload()
    page.locator(".dictate").tap()
    expect_listening(page)
    expect(page.locator(".dictate")).to_be_focused()
