"""htmx-flask, with the headers of htmx 4 that it does not know; no other module reads or sets these headers.

htmx-flask 0.1.0 implements htmx 1: it rejects valid HX-Reswap values, replaces the request class of the app, and sets
no Vary.
"""

from __future__ import annotations

from typing import Any

from flask import Flask, Response
from flask import request as flask_request
from htmx_flask import Htmx as BaseHtmx
from htmx_flask import make_response as base_make_response
from htmx_flask.requests import HtmxHeaders as BaseHtmxHeaders

VARY_HEADERS = ("HX-Request", "HX-Request-Type", "HX-Target", "Prefer")

# The elements that take a page without its frame: the column beside the list, and the sheet over it.
COLUMN_ID, SHEET_ID = "page", "sheet"


class HtmxHeaders(BaseHtmxHeaders):  # type: ignore[misc]
    """The request headers of htmx. True in a boolean context if htmx made the request."""

    @property
    def source(self) -> str | None:
        """The element that made the request, as `tag#id`."""
        return self._headers.get("HX-Source")  # type: ignore[no-any-return]

    @property
    def request_type(self) -> str | None:
        """`full` if htmx asks for a whole page, `partial` if it asks for a fragment."""
        return self._headers.get("HX-Request-Type")  # type: ignore[no-any-return]

    @property
    def target_id(self) -> str:
        """The id of the element that the response is for; empty if it has none."""
        return (self._headers.get("HX-Target") or "").rpartition("#")[2]

    @property
    def wants_column(self) -> bool:
        """Whether the response takes the place of the column: a page without the list beside it."""
        return bool(self) and self.target_id == COLUMN_ID

    @property
    def prefers_minimal(self) -> bool:
        """Whether the column may begin with what is seen first, and the rest follow it (`Prefer`, RFC 7240)."""
        return self.wants_column and self._headers.get("Prefer") == "return=minimal"

    @property
    def wants_sheet(self) -> bool:
        """Whether the response goes into the sheet over the column: the main part of a page."""
        return bool(self) and self.target_id == SHEET_ID

    @property
    def wants_fragment(self) -> bool:
        """Whether the response goes into a part of an open page.

        Boosted links ask for a page, unless they name a part of the current one.
        """
        is_boosted = self.boosted and self.request_type != "partial"
        is_full_page = self.request_type == "full" or is_boosted or self.history_restore_request
        return bool(self) and not (is_full_page or self.wants_column or self.wants_sheet)


class Htmx(BaseHtmx):  # type: ignore[misc]
    """The htmx-flask extension, adding `request.htmx` without replacing the request class of the app."""

    def init_app(self, app: Flask) -> None:
        """Extend the request class of the app, and add Vary headers, because fragments and pages share addresses."""
        parent = app.request_class

        class HtmxRequest(parent):  # type: ignore[valid-type,misc]
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.htmx = HtmxHeaders(self.headers)

        app.request_class = HtmxRequest
        app.extensions["htmx"] = self
        app.after_request(_add_vary)


def _add_vary(response: Response) -> Response:
    for header in VARY_HEADERS:
        response.vary.add(header)
    return response


htmx = Htmx()


def init_app(app: Flask) -> None:
    """Initialize the extension."""
    htmx.init_app(app)


def htmx_headers() -> HtmxHeaders:
    """Return the htmx headers of the current request."""
    return flask_request.htmx  # type: ignore[attr-defined,no-any-return]


def htmx_response(
    body: str,
    status: int = 200,
    *,
    reswap: str | None = None,
    reselect: str | None = None,
    **options: str | bool | dict[str, Any] | None,
) -> Response:
    """Build a response for htmx.

    `options` are the ones of htmx-flask: push_url, replace_url, location, redirect, refresh, retarget, trigger (a
    dict). `reswap` may be any swap of htmx 4, with modifiers.
    """
    response: Response = base_make_response(body, status, **options)
    if reswap:
        response.headers["HX-Reswap"] = reswap
    if reselect:
        response.headers["HX-Reselect"] = reselect
    return response
