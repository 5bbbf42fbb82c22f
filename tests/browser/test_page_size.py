"""What a page weighs: bytes and requests, on the first visit and on the next one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from benchmarks.support import seed_data
from tests.browser.conftest import BrowserVisitor
from tests.browser.network_log import record_page_load
from tests.support.served_site import ServedSite

pytestmark = pytest.mark.browser

PATHS = ["/", "/conversations/{conversation}", "/models", "/search"]
# All of a first visit: the page, what it is made of for all pages, the service worker and the page that it keeps.
MOST_BYTES = 70 * 1024
MOST_REQUESTS = 10
# The page, and the list of questions beside a long conversation.
MOST_REPEATED = 2
CONVERSATIONS = 30
TURNS = 30


@pytest.fixture(scope="module")
def stored_visitor(site: ServedSite) -> Iterator[seed_data.StoredVisitor]:
    """Somebody with thirty conversations of sixty messages each, with code and tables."""
    with seed_data.open_app(site.instance):
        yield seed_data.create_visitor(CONVERSATIONS, TURNS, seed_data.RICH_ANSWER_TEXT)


@pytest.mark.parametrize("path", PATHS)
def test_visit_stays_within_byte_and_request_budget(
    new_visitor: Callable[..., BrowserVisitor], site: ServedSite, stored_visitor: seed_data.StoredVisitor, path: str
) -> None:
    context = new_visitor().context
    context.add_cookies([{"name": site.user_cookie, "value": stored_visitor.token, "url": site.url}])
    address = site.url + path.format(conversation=stored_visitor.conversation_id)
    first, again = (record_page_load(context, address) for _ in range(2))
    loaded, repeated = ([each for each in found if each.byte_count] for found in (first, again))
    weight = sum(each.byte_count for each in loaded)
    print(f"{path}: {len(loaded)} requests, {weight} bytes; then {[each.url for each in repeated]}")
    print(*sorted(loaded, key=lambda each: -each.byte_count), sep="\n")
    assert weight <= MOST_BYTES
    assert len(loaded) <= MOST_REQUESTS
    assert len(repeated) <= MOST_REPEATED
    for each in (*first, *again):
        assert each.url.startswith(site.url)
        assert "/static/" not in each.url or "immutable" in each.cache_control
