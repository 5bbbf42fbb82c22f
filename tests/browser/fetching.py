"""What a visit fetches over the network, by the page and by the service worker."""

from __future__ import annotations

from dataclasses import dataclass

from playwright.sync_api import BrowserContext, Request

READY = "navigator.serviceWorker.ready.then(() => 0)"


@dataclass(frozen=True)
class Fetched:
    """An answer: what came of it over the network, headers included, and for how long it is kept."""

    url: str
    bytes: int
    kept: str


def read(request: Request) -> Fetched:
    """What became of a request. What a cache had weighs nothing; what the service worker asked counts where it did."""
    response = request.response()
    assert response is not None
    sizes = request.sizes()
    free = response.from_service_worker or not sizes["responseBodySize"]
    weight = 0 if free else sizes["responseBodySize"] + sizes["responseHeadersSize"]
    return Fetched(request.url, weight, response.headers.get("cache-control", ""))


def visit(context: BrowserContext, address: str) -> list[Fetched]:
    """Open an address in a tab of its own until nothing more is fetched, by the page or by the service worker."""
    requests: list[Request] = []

    def note(request: Request) -> None:
        requests.append(request)

    context.on("requestfinished", note)
    page = context.new_page()
    page.goto(address, wait_until="networkidle")
    page.evaluate(READY)
    page.wait_for_timeout(300)
    context.remove_listener("requestfinished", note)
    found = [read(request) for request in requests]
    page.close()
    return found
