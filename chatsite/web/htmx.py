"""htmx-flask, with what htmx 4 says and hears that it does not know; the only place that knows these headers.

htmx-flask 0.1.0 speaks htmx 1: it refuses good HX-Reswap values, replaces the app's request class, and sets no Vary.
"""

from __future__ import annotations

from typing import Any

from flask import Flask, Response
from flask import request as flask_request
from htmx_flask import Htmx as BaseHtmx
from htmx_flask import make_response as base_make_response
from htmx_flask.requests import HtmxHeaders as BaseHtmxHeaders

VARY = ("HX-Request", "HX-Request-Type")


class HtmxHeaders(BaseHtmxHeaders):  # type: ignore[misc]
    """What htmx says of a request. True for a request made by htmx."""

    @property
    def source(self) -> str | None:
        """`tag#id` of the element that made the request."""
        return self._headers.get("HX-Source")  # type: ignore[no-any-return]

    @property
    def request_type(self) -> str | None:
        """`full` when a whole page is asked for, `partial` when a fragment is."""
        return self._headers.get("HX-Request-Type")  # type: ignore[no-any-return]

    @property
    def wants_fragment(self) -> bool:
        """Whether the answer goes into a part of a page that is already there.

        What is boosted asks for a page, unless it names a part of this one.
        """
        boosted = self.boosted and self.request_type != "partial"
        whole = self.request_type == "full" or boosted or self.history_restore_request
        return bool(self) and not whole


class Htmx(BaseHtmx):  # type: ignore[misc]
    """The extension: gives each request an `htmx` without taking its class away."""

    def init_app(self, app: Flask) -> None:
        """Extend the app's own request class, and tell caches that fragments and pages differ."""
        parent = app.request_class

        class HtmxRequest(parent):  # type: ignore[valid-type,misc]
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.htmx = HtmxHeaders(self.headers)

        app.request_class = HtmxRequest
        app.extensions["htmx"] = self
        app.after_request(_vary)


def _vary(response: Response) -> Response:
    for header in VARY:
        response.vary.add(header)
    return response


htmx = Htmx()


def init_app(app: Flask) -> None:
    """Bind the extension."""
    htmx.init_app(app)


def headers() -> HtmxHeaders:
    """What htmx says of the request under way."""
    return flask_request.htmx  # type: ignore[attr-defined,no-any-return]


def make_response(
    body: str,
    status: int = 200,
    reswap: str | None = None,
    reselect: str | None = None,
    **known: str | bool | dict[str, Any] | None,
) -> Response:
    """A response for htmx.

    `known` is what htmx-flask knows: push_url, replace_url, location, redirect, refresh, retarget, trigger (a dict).
    `reswap` may be any swap of htmx 4, with modifiers.
    """
    response: Response = base_make_response(body, status, **known)
    if reswap:
        response.headers["HX-Reswap"] = reswap
    if reselect:
        response.headers["HX-Reselect"] = reselect
    return response
