"""What an answer looks like: formulas, code that is wrapped, tables, and text that runs from right to left."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait, send_question
from tests.browser.writer import Writer

pytestmark = pytest.mark.browser

PHONE = {"width": 320, "height": 640}
RICH = r"""Let $x$ be $\sqrt{2}$:

$$
x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a} + \int_0^1 f(t)\,dt + \sum_{i=1}^n i + \prod_{j=1}^m j
$$

```python
print("a line of code that is certainly longer than the column of a telephone, and of a desk as well, is it not")
```

| one | two | three | four |
|-----|-----|-------|------|
| a word or two | a word or two | a word or two | a word or two |
"""
ARABIC = """كيف حالك؟ نص `code` وصيغة $E = mc^2$ هنا.

- عنصر أول!
- An item, with a dot.

> اقتباس

```python
print("مرحبا")
```

| الاسم | السعر |
|---|---|
| تفاح | 5 |

An English paragraph with عربي in it.
"""


def box(place: Locator) -> dict[str, float]:
    """Where an element is, which must be on the page."""
    found = place.bounding_box()
    assert found is not None
    return {**found, "right": found["x"] + found["width"]}  # type: ignore[dict-item]


def left_over(place: Locator) -> int:
    """How much of an element has to be scrolled to sideways."""
    return int(place.evaluate("element => element.scrollWidth - element.clientWidth"))


def test_wide_content_scrolls_and_formulas_load_math_font(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(viewport=PHONE).open_tab()
    fonts: list[str] = []
    page.on("request", lambda request: fonts.append(request.url) if "math" in request.url else None)
    ask_and_wait(page, "/say No formula")
    assert fonts == []
    # The question has its formulas, too, once the site has shown it.
    send_question(page, "/say " + RICH)
    expect(page.locator("article.message-assistant").last).not_to_have_attribute("aria-busy", "true")
    expect(page.locator(".message-assistant math")).to_have_count(3)
    for place in (".formula", ".code pre", ".table-scroll"):
        assert left_over(page.locator(place).last) > 0, place
        page.locator(place).last.focus()
        expect(page.locator(place).last).to_be_focused()
    assert left_over(page.locator("#main")) == left_over(page.locator("html")) == 0
    page.wait_for_function("[...document.fonts].some(font => font.family.includes('Math') && font.status === 'loaded')")
    assert len(fonts) == 1


def test_formula_renders_once_complete(new_visitor: Callable[..., BrowserVisitor], writer: Writer) -> None:
    page = new_visitor(writer.site).open_tab()
    send_question(page, "A sum, please")
    writer.begin()
    open_block = page.locator(".prose .block").last
    writer.write("The sum $a + b$ and\n\n$$\na + b")
    expect(page.locator(".prose math")).to_have_count(1)
    expect(open_block).to_contain_text("$$ a + b", use_inner_text=True)
    writer.write(" + c + d + e + f\n$$\n\n")
    expect(page.locator(".prose math")).to_have_count(2)
    writer.write("the end", done=True)
    expect(open_block).to_contain_text("the end")


def test_code_wrapping_survives_streaming(new_visitor: Callable[..., BrowserVisitor], writer: Writer) -> None:
    page = new_visitor(writer.site, viewport=PHONE).open_tab()
    lines = [f"value_{number} = 'a line that is too long for a telephone'\n" for number in range(40)]
    send_question(page, "Some code, please")
    writer.begin()
    writer.write("```python\n" + "".join(lines[:9]))
    wrap = page.get_by_role("checkbox", name="Wrap")
    expect(page.locator("article[aria-busy=true] .code")).to_be_visible()
    expect(wrap).to_be_attached()
    wrap.focus()
    page.keyboard.press("Space")
    writer.write("".join(lines[9:20]))
    expect(page.locator("article[aria-busy=true] .code")).to_contain_text("value_19")
    assert left_over(page.locator(".code pre")) == 0
    writer.write("".join(lines[20:]) + "```\n\nThe end.", done=True)
    expect(page.locator(".prose")).to_contain_text("The end.")
    expect(page.locator("article").last).not_to_have_attribute("aria-busy", "true")
    expect(wrap).to_be_checked()
    expect(wrap).to_be_focused()
    assert left_over(page.locator(".code pre")) == 0
    # The name and the buttons of a piece that is longer than the window stay in view.
    top = box(page.locator("#main"))["y"]
    page.locator("#main").evaluate(
        "(main, down) => main.scrollBy(0, down)", box(page.locator(".code"))["y"] - top + 200
    )
    assert box(page.locator(".code"))["y"] == pytest.approx(top - 200, abs=2)
    assert box(page.locator(".code figcaption"))["y"] == pytest.approx(top, abs=2)
    expect(page.locator(".code figcaption > span")).to_have_text("Python")


def test_code_wrapping_works_without_javascript(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(viewport=PHONE, java_script_enabled=False).open_tab()
    page.get_by_role("textbox", name="Message").fill("/say ```\n" + "word " * 30 + "\n```")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".code pre")).to_be_visible()
    before = box(page.locator(".code pre"))["height"]
    page.get_by_text("Wrap", exact=True).click()
    assert box(page.locator(".code pre"))["height"] > before


def test_right_to_left_layout(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(viewport={"width": 390, "height": 844}).open_tab()
    ask_and_wait(page, "/say " + ARABIC)
    prose = page.locator(".prose")
    column = box(prose)
    directions = prose.evaluate(
        "prose => [...prose.querySelectorAll('.block > *, table')]"
        ".map(element => [element.localName, getComputedStyle(element).direction])"
    )
    assert directions == [
        ["p", "rtl"],
        ["ul", "rtl"],
        ["blockquote", "rtl"],
        ["figure", "ltr"],
        ["div", "ltr"],
        ["table", "rtl"],
        ["p", "ltr"],
    ]
    assert prose.locator("pre").evaluate("pre => getComputedStyle(pre).direction") == "ltr"
    assert prose.locator("math").evaluate("math => getComputedStyle(math).direction") == "ltr"
    assert box(prose.locator("blockquote"))["right"] == column["right"]
    assert prose.locator("blockquote").evaluate("quote => getComputedStyle(quote).borderRightWidth") == "3px"
    assert box(prose.locator("table"))["right"] == pytest.approx(column["right"], abs=1)
    first, second = prose.locator("th").all()
    assert box(first)["x"] > box(second)["x"]
    # Items begin where their marks are, and each sets its words by its own letters: the dot of English is on its right.
    arabic, english = (words(item) for item in prose.locator("li").all())
    assert arabic["right"] == pytest.approx(english["right"], abs=1)
    dot = prose.locator("li").last.evaluate(
        "item => { const range = document.createRange(); const text = item.lastChild; const end = text.length;"
        " range.setStart(text, end - 1); range.setEnd(text, end); return range.getBoundingClientRect().right }"
    )
    assert dot == pytest.approx(english["right"], abs=1)
    assert words(prose.locator(".block > p").last)["x"] == pytest.approx(column["x"], abs=1)


def words(place: Locator) -> dict[str, float]:
    """Where the words of an element are."""
    return dict(
        place.evaluate(
            "element => { const range = document.createRange(); range.selectNodeContents(element);"
            " const { x, right } = range.getBoundingClientRect(); return { x, right } }"
        )
    )
