"""Pages ahead of the click: a browser that can fetches what is pointed at, and throws it away once anything changes."""

from __future__ import annotations

from flask import Flask, Response, current_app, request

RULES = "prefetch.json"
READS = {"GET", "HEAD", "OPTIONS"}


def init_app(app: Flask) -> None:
    """Tell browsers what they may fetch before it is asked for."""
    app.after_request(_finish)


def _finish(response: Response) -> Response:
    if request.method not in READS:
        # What was fetched before shows the site as it was. Only Chromium fetches ahead, and it says so, in contexts
        # where it listens; others would complain in their console of a word they do not know.
        if "Sec-CH-UA" in request.headers:
            response.headers["Clear-Site-Data"] = '"prefetchCache"'
    # A shared page is everybody's, and what it links to is not.
    elif response.mimetype == "text/html" and request.blueprint != "shared" and not request.headers.get("HX-Request"):
        response.headers["Speculation-Rules"] = f'"{current_app.jinja_env.globals["asset"](RULES)}"'  # type: ignore[operator]
    return response
