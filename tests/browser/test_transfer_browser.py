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
    expect(page.locator(".import-result-skipped")).to_contain_text("not a conversation in a supported format")
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
    ask_and_wait(page, "/say Bread and butter")
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
    expect(reader.get_by_role("status")).to_have_text("1 / 2")
    expect(reader.locator("strong")).to_have_text("lighthouse")
    assert asked == [file.as_uri()]
    offline.close()
