"""More answers are read at one address than it may have streams: the last ones wait for a place, and lose nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import BrowserVisitor, send_question, serve_site
from tests.browser.writer import SETTINGS, writer_of
from tests.support.served_site import ServedSite

pytestmark = pytest.mark.browser


@pytest.fixture
def narrow_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedSite]:
    """A site with one stream for each address, whose answers the test writes."""
    settings = {**SETTINGS, "LIMIT_ADDRESSES": "1", "MAX_STREAMS_PER_ADDRESS": "1"}
    with serve_site(tmp_path_factory.mktemp("narrow"), **settings) as running:
        yield running


def test_answer_without_a_stream_arrives_when_there_is_a_place(
    narrow_site: ServedSite, new_visitor: Callable[..., BrowserVisitor]
) -> None:
    writer = writer_of(narrow_site)
    first, second = (new_visitor(narrow_site, refused=True).open_tab() for _ in range(2))
    send_question(first, "First")
    writer.begin()
    writer.write("The first is written.\n\n")
    expect(first.locator(".prose").last).to_contain_text("The first is written.")
    send_question(second, "Second")
    notice = second.get_by_role("alert").filter(has_text="Too many open answers. Retrying automatically.")
    expect(notice).to_be_visible()
    expect(second.get_by_role("button", name="Stop")).to_be_visible()
    writer.write("It is done.", done=True)
    expect(first.locator(".prose").last).to_contain_text("It is done.")
    writer.begin()
    writer.write("The second is written.\n\n")
    expect(second.locator(".prose").last).to_contain_text("The second is written.")
    expect(notice).to_have_count(0)
    writer.write("And done.", done=True)
    expect(second.locator("[aria-busy=true]")).to_have_count(0)
    expect(second.locator(".prose").last).to_contain_text("And done.")
    writer.leave()
