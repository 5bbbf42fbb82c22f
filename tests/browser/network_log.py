"""What a visit fetches over the network, by the page and by the service worker."""

from __future__ import annotations

from dataclasses import dataclass

from playwright.sync_api import BrowserContext, Request

CALM_LOOKS = 5
SERVICE_WORKER_READY_SCRIPT = "navigator.serviceWorker.ready.then(() => 0)"


@dataclass(frozen=True)
class FetchedResponse:
    """An answer: what came of it over the network, headers included, and for how long it is kept."""

    url: str
    byte_count: int
    cache_control: str


def read_response(request: Request) -> FetchedResponse:
    """What became of a request. What a cache had weighs nothing; what the service worker asked counts where it did."""
    response = request.response()
    assert response is not None
    sizes = request.sizes()
    is_cached = response.from_service_worker or not sizes["responseBodySize"]
    byte_count = 0 if is_cached else sizes["responseBodySize"] + sizes["responseHeadersSize"]
    return FetchedResponse(request.url, byte_count, response.headers.get("cache-control", ""))


def record_page_load(context: BrowserContext, url: str) -> list[FetchedResponse]:
    """Open an address in a tab of its own until nothing more is fetched, by the page or by the service worker."""
    requests: list[Request] = []
    pending: set[Request] = set()

    def begin(request: Request) -> None:
        pending.add(request)

    def note_request(request: Request) -> None:
        requests.append(request)
        pending.discard(request)

    def give_up(request: Request) -> None:
        pending.discard(request)

    handlers = {"request": begin, "requestfinished": note_request, "requestfailed": give_up}
    for event, handler in handlers.items():
        context.on(event, handler)  # type: ignore[call-overload]
    page = context.new_page()
    page.goto(url, wait_until="networkidle")
    page.evaluate(SERVICE_WORKER_READY_SCRIPT)
    calm = 0
    while calm < CALM_LOOKS:
        before = len(requests)
        page.wait_for_timeout(100)
        calm = 0 if pending or len(requests) > before else calm + 1
    for event, handler in handlers.items():
        context.remove_listener(event, handler)
    responses = [read_response(request) for request in requests]
    page.close()
    return responses
