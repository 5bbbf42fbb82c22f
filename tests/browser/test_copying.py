"""Copying by buttons and by selecting, with formatting and without, and where the browser refuses its clipboard."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait, wait_for_script

pytestmark = pytest.mark.browser

ANSWER = """## Sums

Some **bold** text with $x^2$ in it.

```python
if a:
\tprint('code')
```

| way | lines |
| --- | ---: |
| a `loop` | 6 |
| b in "quotes" | $n^2$ |

- [x] done
- [ ] to do
"""
# Nothing of the page: no color, no class, no control.
FORBIDDEN_HTML = re.compile(
    r"<button|<figcaption|<label|style=|class=|background|tabindex|aria-|Copy|Wrap", re.IGNORECASE
)
READ_CLIPBOARD = """async () => {
  const [item] = await navigator.clipboard.read();
  const read = async (type) => item.types.includes(type) ? (await (await item.getType(type)).text()) : "";
  return { text: await read("text/plain"), html: await read("text/html") };
}"""
SELECT_ANSWER = """() => {
  const prose = document.querySelector(".prose");
  getSelection().setBaseAndExtent(prose, 0, prose, prose.childNodes.length);
}"""


@pytest.fixture
def page(new_visitor: Callable[..., BrowserVisitor]) -> Page:
    """A conversation with one answer that has something of everything, in the dark, in a browser that may copy."""
    visitor = new_visitor(color_scheme="dark")
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened = visitor.open_tab()
    ask_and_wait(opened, f"/say {ANSWER}")
    return opened


def read_clipboard(page: Page) -> tuple[str, str]:
    """What is on the clipboard: plain text, and the HTML beside it without the frame that Chromium puts around it."""
    found = page.evaluate(READ_CLIPBOARD)
    return found["text"], found["html"]


def refuse(page: Page, *, command: bool) -> None:
    """Make the browser refuse its clipboard as many do in other apps, and with `command` the old way, too."""
    page.evaluate(
        """(command) => {
          navigator.clipboard.write = () => Promise.reject(new DOMException("No", "NotAllowedError"));
          if (command) document.execCommand = () => false;
        }""",
        command,
    )


def test_copy_buttons_copy_text_and_formatting(page: Page) -> None:
    page.get_by_role("button", name="Copy this answer").click()
    expect(page.locator(".copy-message")).to_have_text("Copied")
    text, html = read_clipboard(page)
    assert text == ANSWER.strip()
    assert "<strong>bold</strong> text with $x^2$ in it." in html
    assert "☑ done" in html
    assert "<pre><code>if a:\n\tprint('code')</code></pre>" in html
    assert not FORBIDDEN_HTML.search(html), html

    # The line end belongs to the fence: a terminal would run a command that ends with one.
    page.locator(".message-assistant .code .copy").click()
    expect(page.locator(".message-assistant .code .copy")).to_have_text("Copied")
    assert read_clipboard(page)[0] == "if a:\n\tprint('code')"
    expect(page.locator(".message-assistant .code .copy")).to_have_text("Copy")

    page.locator(".prose table").hover()
    page.locator(".table .copy").click()
    expect(page.locator(".table .copy")).to_have_text("Copied")
    text, html = read_clipboard(page)
    assert text == 'way\tlines\na loop\t6\n"b in ""quotes"""\t$n^2$'
    assert re.search(r"<table[^>]*>\s*<thead>\s*<tr>\s*<th>way</th>\s*<th align=\"right\">lines</th>", html), html
    assert not FORBIDDEN_HTML.search(html), html


def test_selection_is_copied_without_buttons_and_colors(page: Page) -> None:
    page.evaluate(SELECT_ANSWER)
    wait_for_script(page, "clipboard")
    page.keyboard.press("Control+c")
    text, html = read_clipboard(page)
    expected = "Sums\nSome bold text with $x^2$ in it.\nif a:\n\tprint('code')\nway\tlines\na loop\t6\n"
    assert re.sub(r"\n+", "\n", text) == f'{expected}b in "quotes"\t$n^2$\n☑ done\n☐ to do'
    assert "<strong>bold</strong>" in html
    assert not FORBIDDEN_HTML.search(html), html

    # A part of a list stays a list, and a part of code stays code.
    page.evaluate("getSelection().selectAllChildren(document.querySelector('.prose ul'));")
    page.keyboard.press("Control+c")
    assert re.search(r"<ul>\s*<li>☑ done</li>", read_clipboard(page)[1])
    page.evaluate("getSelection().selectAllChildren(document.querySelector('.prose pre code'))")
    page.keyboard.press("Control+c")
    text, html = read_clipboard(page)
    assert text == "if a:\n\tprint('code')"
    assert "<pre><code>if a:\n\tprint('code')</code></pre>" in html


def test_selection_without_scripts_has_no_buttons(new_visitor: Callable[..., BrowserVisitor]) -> None:
    """The style sheet alone keeps the controls out of what is selected."""
    visitor = new_visitor()
    page = visitor.open_tab()
    ask_and_wait(page, f"/say {ANSWER}")
    page.evaluate(SELECT_ANSWER)
    assert not re.search("Copy|Wrap|Python", page.evaluate("getSelection().toString()"))


def test_refused_clipboard_falls_back_to_old_command(page: Page) -> None:
    refuse(page, command=False)
    page.locator(".message-assistant .code .copy").click()
    expect(page.locator(".message-assistant .code .copy")).to_have_text("Copied")
    expect(page.locator(".message-assistant .code .copy")).to_be_focused()
    assert read_clipboard(page)[0] == "if a:\n\tprint('code')"
    page.get_by_role("button", name="Copy this answer").click()
    expect(page.locator(".copy-message")).to_have_text("Copied")
    text, html = read_clipboard(page)
    assert text == ANSWER.strip()
    assert "<strong>bold</strong>" in html


def test_text_is_shown_where_nothing_may_copy(page: Page) -> None:
    refuse(page, command=True)
    page.locator(".message-assistant .code .copy").click()
    dialog = page.get_by_role("dialog")
    box = dialog.get_by_role("textbox", name="Your browser did not allow copying")
    expect(box).to_have_value("if a:\n\tprint('code')")
    expect(box).to_be_focused()
    selected = "(box) => box.value.slice(box.selectionStart, box.selectionEnd)"
    assert box.evaluate(selected) == "if a:\n\tprint('code')"
    page.keyboard.press("Control+c")
    assert read_clipboard(page)[0] == "if a:\n\tprint('code')"
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)
    expect(page.locator(".message-assistant .code .copy")).to_be_focused()
