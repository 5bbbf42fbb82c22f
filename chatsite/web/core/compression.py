"""Compression of responses while they are sent, in a fraction of a millisecond each."""

from __future__ import annotations

from flask import Flask, Response, request
from flask_compress import Compress

# A site that sends a browser here may also be able to observe the length of the response. The length of a compressed
# response reveals letter by letter whether text in the address occurs on the page (the BREACH attack).
CROSS_SITE = {"cross-site", "same-site"}
MIN_BYTES = 500

_compress = Compress()


def init_app(app: Flask) -> None:
    """Compress pages, fragments and JSON, but no streams, whose readers wait for each piece."""
    app.config.update(
        COMPRESS_REGISTER=False,
        COMPRESS_STREAMS=False,
        COMPRESS_MIMETYPES=["text/html", "text/plain", "application/json", "application/manifest+json"],
        COMPRESS_ALGORITHM=["br", "zstd", "gzip"],
        # One millisecond for the longest page. The default level takes half of that for a page a tenth larger.
        COMPRESS_BR_LEVEL=5,
        COMPRESS_MIN_SIZE=MIN_BYTES,
        # Pages have no ETag, because each contains a new CSRF token.
        COMPRESS_EVALUATE_CONDITIONAL_REQUEST=False,
    )
    _compress.init_app(app)
    app.after_request(_compress_response)


def _compress_response(response: Response) -> Response:
    if request.headers.get("Sec-Fetch-Site") in CROSS_SITE:
        return response
    compressed: Response = _compress.after_request(response)
    return compressed
