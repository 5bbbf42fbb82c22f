"""What a page weighs: bytes and requests, on the first visit and on the next one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from benchmarks import seeding
from tests.browser.conftest import Visitor
from tests.browser.fetching import visit
from tests.site import Site

pytestmark = pytest.mark.browser

# All of a first visit: the page, what it is made of, the service worker and the page that it keeps.
MOST_BYTES = {"/": 60_000, "/conversations/{conversation}": 60_000, "/models": 62_000, "/search": 60_000}
MOST_REQUESTS = 10
# The page, and whether the service worker is still the same.
MOST_REPEATED = 2
CONVERSATIONS = 30
TURNS = 30


@pytest.fixture(scope="module")
def stored(site: Site) -> Iterator[seeding.Stored]:
    """Somebody with thirty conversations of sixty messages each, with code and tables."""
    with seeding.entered(site.instance):
        yield seeding.visitor(CONVERSATIONS, TURNS, seeding.RICH)


@pytest.mark.parametrize("path", MOST_BYTES)
def test_a_visit_is_light(visitor: Callable[..., Visitor], site: Site, stored: seeding.Stored, path: str) -> None:
    context = visitor().context
    context.add_cookies([{"name": "chatsite_visitor", "value": stored.token, "url": site.url}])
    address = site.url + path.format(conversation=stored.conversation)
    first, again = (visit(context, address) for _ in range(2))
    loaded, repeated = ([each for each in found if each.bytes] for found in (first, again))
    weight = sum(each.bytes for each in loaded)
    print(f"{path}: {len(loaded)} requests, {weight} bytes; then {[each.url for each in repeated]}")
    print(*sorted(loaded, key=lambda each: -each.bytes), sep="\n")
    assert weight <= MOST_BYTES[path]
    assert len(loaded) <= MOST_REQUESTS
    assert len(repeated) <= MOST_REPEATED
    for each in (*first, *again):
        assert each.url.startswith(site.url)
        assert "/static/" not in each.url or "immutable" in each.kept
