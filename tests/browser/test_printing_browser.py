"""Printing: the dialog opens by itself, all is on the paper, and a page that shows a part says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from benchmarks.support import seed_data
from tests.browser.conftest import BrowserVisitor
from tests.support.served_site import ServedSite

pytestmark = pytest.mark.browser

EXCHANGES = 31
ANSWER = f"""
| {" | ".join(["a long column name"] * 9)} |
|{"---|" * 9}
| {" | ".join(["€12,345,678.90"] * 9)} |

```
{"a_long_line(of=code) " * 12}
```

$$ {" + ".join(["x^2 + y^2"] * 14)} $$
"""
COUNT_PRINTS = "window.prints = 0; window.print = () => { window.prints++ };"
# What is cut off on paper: what is wider than its box and does not leave it.
CUT_OFF = """() => [...document.querySelectorAll("main *")]
  .filter((element) => element.checkVisibility() && element.getClientRects().length && element.clientWidth > 1)
  .filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth + 1)
  .map((element) => element.outerHTML.slice(0, 200))"""

# Of what was drawn, since a color may be written in many ways.
WHITE = """() => {
  const brush = document.createElement("canvas").getContext("2d");
  brush.fillStyle = getComputedStyle(document.documentElement).backgroundColor;
  brush.fillRect(0, 0, 1, 1);
  return `rgb(${[...brush.getImageData(0, 0, 1, 1).data].slice(0, 3).join(", ")})`;
}"""
LEFT_EDGES = "(all) => all.map((each) => Math.round(each.getBoundingClientRect().left))"


@pytest.fixture(scope="module")
def stored_visitor(site: ServedSite) -> Iterator[seed_data.StoredVisitor]:
    """Somebody with a conversation that is longer than a page shows, with wide answers."""
    with seed_data.open_app(site.instance):
        yield seed_data.create_visitor(1, EXCHANGES, ANSWER)


def open_printed(
    new_visitor: Callable[..., BrowserVisitor], stored: seed_data.StoredVisitor, path: str = "", **options: object
) -> Page:
    """Open a page of the conversation as wide as paper, in a browser that counts instead of printing."""
    visitor = new_visitor(viewport={"width": 794, "height": 1123}, color_scheme="dark", **options)
    cookie = {"name": visitor.site.user_cookie, "value": stored.token, "url": visitor.site.url}
    visitor.context.add_cookies([cookie])  # type: ignore[list-item]
    visitor.context.add_init_script(COUNT_PRINTS)
    return visitor.open_tab(f"/conversations/{stored.conversation_id}{path}")


def test_print_action_prints_whole_conversation(
    new_visitor: Callable[..., BrowserVisitor], stored_visitor: seed_data.StoredVisitor
) -> None:
    page = open_printed(new_visitor, stored_visitor)
    page.get_by_role("button", name="Chat menu").click()
    page.get_by_role("link", name="Export", exact=True).click()
    page.get_by_role("link", name="Print everything").click()
    page.wait_for_function("() => window.prints === 1")
    page.get_by_role("button", name="Print").click()
    page.wait_for_function("() => window.prints === 2")
    page.emulate_media(media="print")
    expect(page.locator("article.message")).to_have_count(2 * EXCHANGES)
    expect(page.get_by_role("button")).to_have_count(0)
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"
    assert page.evaluate(WHITE) == "rgb(255, 255, 255)"
    expect(page.get_by_role("heading", name="Answer").first).to_have_css("clip-path", "none")
    # What is read begins at one edge.
    lefts = page.locator("h1, .message-user > h2, .message-assistant .prose").evaluate_all(LEFT_EDGES)
    assert len(set(lefts)) == 1, lefts
    assert page.evaluate(CUT_OFF) == []
    # Whoever loads it once more is not asked again.
    page.reload()
    page.wait_for_function("() => document.readyState === 'complete'")
    assert page.evaluate("document.fonts.ready.then(() => window.prints)") == 0


def test_print_of_a_part_says_so(
    new_visitor: Callable[..., BrowserVisitor], stored_visitor: seed_data.StoredVisitor
) -> None:
    page = open_printed(new_visitor, stored_visitor)
    note = page.get_by_text("This is not the whole chat")
    expect(note).to_be_hidden()
    page.emulate_media(media="print")
    expect(note).to_be_visible()
    # Once all of it is loaded there is nothing to say.
    page.emulate_media(media="screen")
    page.evaluate("document.querySelector('#load-more-before').scrollIntoView()")
    expect(page.locator("article.message")).to_have_count(2 * EXCHANGES)
    expect(note).to_have_count(0)


def test_print_page_works_without_javascript(
    new_visitor: Callable[..., BrowserVisitor], stored_visitor: seed_data.StoredVisitor
) -> None:
    page = open_printed(new_visitor, stored_visitor, "/print", java_script_enabled=False)
    expect(page.get_by_text("To print this page or save it as a PDF")).to_be_visible()
    expect(page.locator("article.message")).to_have_count(2 * EXCHANGES)
    expect(page.get_by_role("button", name="Print")).to_be_hidden()
