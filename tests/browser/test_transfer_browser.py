"""Taking conversations away, and bringing them in, with and without JavaScript."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait
from tests.support import other_exports

pytestmark = pytest.mark.browser

WIDE_TABLE = f"| {' | '.join(['a long column name'] * 9)} |\n|{'---|' * 9}\n| {' | '.join(['12,345,678.90'] * 9)} |"
MARKED_WORDS = "() => [...CSS.highlights.get('found') ?? []].map((range) => range.toString().toLowerCase())"


def poems(folder: Path) -> Path:
    """An export of Claude with a conversation that is none."""
    file = folder / "conversations.json"
    file.write_text(json.dumps([*map(other_exports.make_claude_conversation, range(3)), {"name": "Odd"}]))
    return file


@pytest.mark.parametrize("scripts", [True, False])
def test_import_from_library_to_report(
    new_visitor: Callable[..., BrowserVisitor], tmp_path: Path, scripts: bool
) -> None:
    """From the library to the report; the runner's process does the work, and the page follows by itself."""
    page = new_visitor(java_script_enabled=scripts).open_tab("/overview")
    page.get_by_role("link", name="Import").click()
    page.get_by_label("Files").set_input_files(poems(tmp_path))
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("3 imported")).to_be_visible()
    expect(page.get_by_text("1 skipped")).to_be_visible()
    expect(page.locator(".import-result-skipped")).to_contain_text("not a chat in a supported format")
    if scripts:
        expect(page.locator("#announcer")).to_contain_text("Done")
        expect(page.locator("#conversations")).to_contain_text("Poems 2")
    page.locator(".import-results").get_by_role("link", name="Poems 1").click()
    expect(page.get_by_text("Lovely.")).to_be_visible()


def test_html_export_can_be_read_and_searched_offline(
    new_visitor: Callable[..., BrowserVisitor], chromium: Browser, tmp_path: Path
) -> None:
    """One file, opened without a network: it lists, shows and finds what was said, and fetches nothing."""
    here = new_visitor()
    page = here.open_tab()
    ask_and_wait(page, "/say The **lighthouse** at night")
    page.goto("/")
    ask_and_wait(page, "/say Bread and b\u00fatter\n\n" + WIDE_TABLE)
    page.goto("/export")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as HTML").click()
    file = tmp_path / "archive.html"
    download.value.save_as(file)
    offline = chromium.new_context(offline=True, locale="en-GB")
    reader = offline.new_page()
    asked: list[str] = []
    reader.on("request", lambda request: asked.append(request.url))
    reader.goto(file.as_uri())
    expect(reader.get_by_role("article")).to_have_count(2)
    reader.get_by_role("searchbox").fill("LIGHTHOUSE night")
    expect(reader.locator("article:visible")).to_have_count(1)
    expect(reader.get_by_role("status")).to_have_text("1 of 2 chats")
    expect(reader.locator("strong")).to_have_text("lighthouse")
    # In the title, in the question and in the answer.
    assert sorted(reader.evaluate(MARKED_WORDS)) == ["lighthouse"] * 3 + ["night"] * 3
    reader.get_by_role("searchbox").fill("butter")
    expect(reader.locator("article:visible")).to_have_count(1)
    assert set(reader.evaluate(MARKED_WORDS)) == {"b\u00fatter"}
    reader.get_by_role("searchbox").fill("")
    expect(reader.locator("article:visible")).to_have_count(2)
    assert reader.evaluate(MARKED_WORDS) == []
    # It has the typeface of the site, and what is wide scrolls by itself.
    assert reader.evaluate("document.fonts.load('1rem Figtree').then((fonts) => fonts.map((font) => font.status))") == [
        "loaded"
    ]
    assert reader.evaluate("getComputedStyle(document.body).fontFamily").startswith("Figtree")
    reader.set_viewport_size({"width": 390, "height": 800})
    table = reader.locator(".table-scroll")
    assert table.evaluate("(box) => box.scrollWidth > box.clientWidth + 100")
    assert table.evaluate("(box) => { box.scrollLeft = 1000; return box.scrollLeft; }") > 100
    assert table.evaluate("(box) => box.getBoundingClientRect().right <= innerWidth")
    assert reader.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert asked == [file.as_uri()]
    offline.close()
