"""An answer is read aloud: sentence by sentence, marked, by voices that may, and until something ends it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility.axe import find_violations
from tests.browser.conftest import BrowserVisitor, ask_and_wait, send_question
from tests.browser.writer import Writer

pytestmark = pytest.mark.browser

# The voices, which no browser has here. What the page tells them is kept, and a sentence ends when a test says so.
VOICES_SCRIPT = """(voices) => {
  let current = null;
  window.spoken = [];
  window.SpeechSynthesisUtterance = class { constructor(text) { this.text = text; } };
  const synthesis = Object.assign(new EventTarget(), {
    getVoices: () => voices,
    speak(utterance) {
      current = utterance;
      window.spoken.push(`${utterance.voice.name}: ${utterance.text}`);
    },
    cancel() {
      const stopped = current;
      current = null;
      stopped?.onerror({ error: "canceled" });
    },
  });
  Object.defineProperty(window, "speechSynthesis", { value: synthesis });
  window.isSpeaking = () => current !== null;
  window.endSentence = () => {
    const ended = current;
    current = null;
    ended.onend();
  };
}"""
ANN = {"name": "Ann", "lang": "en-US", "localService": True, "default": True}
EVA = {"name": "Eva", "lang": "es-ES", "localService": True, "default": False}
FAR_EVA = EVA | {"name": "Far Eva", "localService": False}
MARKED = "() => [...(CSS.highlights.get('spoken') ?? [])].map((range) => range.toString()).join()"
ANSWER = """/say First, *a* claim. Then **another**
one!

```python
print("never read")
```

$x^2$ grows.

| way | lines |
| --- | --- |
| never | read |

- [x] done
- Mr. Last"""
SENTENCES = [
    "First, a claim.",
    "Then another one!",
    "Code in Python.",
    "x^2 grows.",
    "Table: way, lines.",
    "Done: done",
    "Mr.",
    "Last",
]


def open_tab(guest: BrowserVisitor, *voices: dict[str, object], path: str = "/") -> Page:
    """Open a page in a browser that has some voices."""
    guest.context.add_init_script(f"({VOICES_SCRIPT})({json.dumps(voices)})")
    return guest.open_tab(path)


def begin_speech(page: Page, index: int = -1) -> None:
    """Choose it in the menu of an answer."""
    page.get_by_role("link", name="More", exact=True).nth(index).click()
    page.get_by_role("button", name="Read aloud").click()


def expect_spoken(page: Page, *sentences: str, voice: str = "Ann") -> None:
    """Wait until exactly these were spoken."""
    wanted = [f"{voice}: {sentence}" for sentence in sentences]
    page.wait_for_function("(count) => spoken.length >= count", arg=len(wanted))
    assert page.evaluate("spoken") == wanted


def expect_silence(page: Page) -> None:
    """Wait until nothing is read any more, and nothing is left of it."""
    expect(page.locator(".reading")).to_have_count(0)
    assert not page.evaluate("isSpeaking()")
    assert page.evaluate(MARKED) == ""


def test_answer_is_read_sentence_by_sentence(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = open_tab(new_visitor(), ANN)
    ask_and_wait(page, ANSWER)
    announced = page.locator("#announcer").text_content()
    begin_speech(page)
    pause, stop = page.get_by_role("button", name="Pause"), page.get_by_role("button", name="Stop reading")
    expect(pause).to_be_focused()
    for count in range(1, len(SENTENCES) + 1):
        expect_spoken(page, *SENTENCES[:count])
        if count == 2:
            assert page.evaluate(MARKED).split() == ["Then", "another", "one!"]
            assert find_violations(page) == []
        if count == 3:
            assert page.evaluate(MARKED) == "Python"
        page.evaluate("endSentence()")
    expect_silence(page)
    expect(page.get_by_role("link", name="More", exact=True)).to_be_focused()
    assert page.locator("#announcer").text_content() == announced

    # A pause goes on with the sentence in which it began.
    page.evaluate("spoken.length = 0")
    begin_speech(page)
    expect_spoken(page, SENTENCES[0])
    page.evaluate("endSentence()")
    expect_spoken(page, *SENTENCES[:2])
    page.keyboard.press("Space")
    expect(pause).to_have_attribute("aria-pressed", "true")
    assert not page.evaluate("isSpeaking()")
    page.keyboard.press("Space")
    expect(pause).to_have_attribute("aria-pressed", "false")
    expect_spoken(page, *SENTENCES[:2], SENTENCES[1])
    stop.click()
    expect_silence(page)


def test_other_things_end_it(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = open_tab(new_visitor(), ANN)
    ask_and_wait(page, "/say One. Two.")
    ask_and_wait(page, "/say Three. Four.")
    begin_speech(page)
    expect_spoken(page, "Three.")
    # Another answer takes its place.
    begin_speech(page, 0)
    expect_spoken(page, "Three.", "One.")
    expect(page.locator(".reading")).to_have_count(1)
    # A menu that is open is closed first.
    page.get_by_role("link", name="More", exact=True).first.click()
    expect(page.locator("#answer-menu")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#answer-menu")).to_be_hidden()
    assert page.evaluate("isSpeaking()")
    page.keyboard.press("Escape")
    expect_silence(page)
    page.get_by_role("textbox", name="Message").focus()
    begin_speech(page)
    expect_spoken(page, "Three.", "One.", "Three.")
    page.locator("#sidebar").get_by_role("link", name="New chat").click()
    expect(page.locator("#welcome")).to_be_visible()
    expect_silence(page)


def test_escape_stops_the_voice_before_an_answer(new_visitor: Callable[..., BrowserVisitor], writer: Writer) -> None:
    page = open_tab(new_visitor(writer.site), ANN)
    send_question(page, "First?")
    writer.begin()
    writer.write("One. Two.", done=True)
    expect(page.get_by_role("link", name="More", exact=True)).to_have_count(1)
    send_question(page, "Second?")
    writer.begin()
    writer.write("Being")
    expect(page.locator(".prose").last).to_have_text("Being")
    begin_speech(page)
    expect_spoken(page, "One.")
    page.get_by_role("textbox", name="Message").press("Escape")
    expect_silence(page)
    writer.write(" written.", done=True)
    expect(page.locator(".prose").last).to_have_text("Being written.")
    # A version that takes the place of what is read ends it.
    begin_speech(page)
    expect_spoken(page, "One.", "Being written.")
    page.get_by_role("button", name="Regenerate", exact=True).last.click()
    writer.begin()
    expect_silence(page)
    writer.write("Again.", done=True)
    expect(page.locator(".prose").last).to_have_text("Again.")


def test_sentence_stays_in_view_for_those_who_follow(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = open_tab(new_visitor(viewport={"width": 900, "height": 500}), ANN)
    lines = "\n\n".join(f"Line {number}." for number in range(1, 41))
    ask_and_wait(page, f"/say {lines}")
    page.evaluate("main.scrollTop = -main.scrollHeight")
    # The menu stands at the end of the answer, so that reading begins out of view, and is followed.
    page.get_by_role("link", name="More", exact=True).evaluate("(link) => link.click()")
    page.get_by_role("button", name="Read aloud").evaluate("(button) => button.click()")
    is_seen = """() => {
      const [range] = CSS.highlights.get("spoken");
      const { top, bottom } = range.getBoundingClientRect();
      return top >= main.getBoundingClientRect().top && bottom <= composer.getBoundingClientRect().top;
    }"""
    for number in range(1, 20):
        expect_spoken(page, *(f"Line {each}." for each in range(1, number + 1)))
        assert page.evaluate(is_seen), number
        page.evaluate("endSentence()")
    # Who has scrolled away stays there.
    page.evaluate("main.scrollTop = 0")
    page.evaluate("endSentence()")
    expect_spoken(page, *(f"Line {each}." for each in range(1, 22)))
    assert page.evaluate("main.scrollTop") == 0
    assert not page.evaluate(is_seen)


def test_voices_that_send_the_text_are_asked_for(new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor(locale="es-ES")
    page = open_tab(guest, ANN, FAR_EVA)
    page.goto(guest.site.url)
    page.get_by_role("textbox", name="Mensaje").fill("/say Hola. Adiós.")
    page.get_by_role("button", name="Enviar").click()
    more = page.get_by_role("link", name="Más", exact=True)
    question = page.locator(".permission")

    def choose() -> None:
        more.click()
        page.get_by_role("button", name="Leer en voz alta").click()

    choose()
    expect(question).to_contain_text("lo enviaría a su fabricante")
    expect(question.get_by_role("button", name="Leer en voz alta")).to_be_focused()
    assert page.evaluate("spoken") == []
    page.keyboard.press("Escape")
    expect(question).to_have_count(0)
    expect_silence(page)
    assert page.evaluate("spoken") == []
    choose()
    with page.expect_response("**/preferences"):
        question.get_by_role("button", name="Leer en voz alta").click()
    expect_spoken(page, "Hola.", voice="Far Eva")
    page.evaluate("endSentence()")
    expect_spoken(page, "Hola.", "Adiós.", voice="Far Eva")
    page.keyboard.press("Escape")
    # It was asked once, and can be taken back.
    choose()
    expect_spoken(page, "Hola.", "Adiós.", "Hola.", voice="Far Eva")
    page.goto(f"{guest.site.url}/settings")
    expect(page.get_by_role("radio", name="Cualquier voz del navegador")).to_be_checked()


def test_voice_of_the_device_comes_first(new_visitor: Callable[..., BrowserVisitor]) -> None:
    far_ann = ANN | {"name": "Far Ann", "lang": "en-GB", "localService": False}
    british = ANN | {"name": "Bea", "lang": "en_GB", "default": False}
    page = open_tab(new_visitor(), far_ann, FAR_EVA, ANN, british)
    ask_and_wait(page, "/say Hello.")
    begin_speech(page)
    expect_spoken(page, "Hello.", voice="Bea")
    expect(page.locator(".permission")).to_have_count(0)


def test_browsers_without_voices(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = open_tab(new_visitor(), EVA)
    ask_and_wait(page, "/say Hello.")
    begin_speech(page)
    expect(page.locator("#notice")).to_have_text("Your browser has no voice for this language.")
    expect_silence(page)
    other = new_visitor()
    other.context.add_init_script("Object.defineProperty(window, 'speechSynthesis', { value: undefined })")
    page = other.open_tab()
    ask_and_wait(page, "/say Hello.")
    page.get_by_role("link", name="More", exact=True).click()
    expect(page.get_by_role("button", name="Copy as Markdown")).to_be_visible()
    expect(page.get_by_role("button", name="Read aloud")).to_have_count(0)
