"""Pages as small as the network sees them: compressed as they are sent, in a fraction of a millisecond."""

from __future__ import annotations

from flask import Flask, Response, request
from flask_compress import Compress

# Whoever led a browser here from elsewhere may also see how long the answer is. Compressed, its length would tell them
# whether what they put into the address stands on the page already, letter by letter.
FOREIGN = {"cross-site", "same-site"}
LEAST_BYTES = 500

_compress = Compress()


def init_app(app: Flask) -> None:
    """Compress pages, fragments and JSON, and nothing that is a stream: its reader waits for each piece."""
    app.config.update(
        COMPRESS_REGISTER=False,
        COMPRESS_STREAMS=False,
        COMPRESS_MIMETYPES=["text/html", "text/plain", "application/json", "application/manifest+json"],
        COMPRESS_ALGORITHM=["br", "zstd", "gzip"],
        # A millisecond for the longest page; the usual level makes a tenth more of it in half of that.
        COMPRESS_BR_LEVEL=5,
        COMPRESS_MIN_SIZE=LEAST_BYTES,
        # Pages have no ETag, as each has a token of its own.
        COMPRESS_EVALUATE_CONDITIONAL_REQUEST=False,
    )
    _compress.init_app(app)
    app.after_request(_finish)


def _finish(response: Response) -> Response:
    if request.headers.get("Sec-Fetch-Site") in FOREIGN:
        return response
    compressed: Response = _compress.after_request(response)
    return compressed
