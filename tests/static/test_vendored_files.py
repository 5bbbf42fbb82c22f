"""What others wrote and we serve is what they published, byte by byte, and its licence lies beside it."""

from __future__ import annotations

import base64
import hashlib

import pytest

from chatsite.settings import ROOT

VENDOR = ROOT / "static" / "vendor"
PUBLISHED = {
    # What formulas need of TeX Gyre Pagella Math, cut as docs/decisions/0017-frontend.md tells.
    "chatsite-math-1.woff2": "pZYUF/GB/BYXYajor8WRsGzoh/aC6XpxAeD4vkzCnE5qVWZzArRD4Wu2HOaikCwP",
    # Latin letters, weights 400 to 700, cut from the published font as docs/decisions/0017-frontend.md tells.
    "figtree-400-700.woff2": "/5Fhvh9UiZtpQCr2K730NR8X918FKZVMFKnKvan2YRL6rjUCRKrm2ODWCN76QakI",
    "htmx-4.0.1.min.js": "Qp9rdC8H7EqOoX+nR0P3RPG2Noji+qdwJlGpfzwQJsfOpp3sGwIdSP9xO3+UlEhn",
    "hx-sse-4.0.1.min.js": "v8HvucQ+ohQhMg0arboXc5049yNR46QKMjphs7YDch+Wm7zpfK5XVS01f26mQDJV",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_vendored_file_matches_published_hash(name: str) -> None:
    digest = hashlib.sha384((VENDOR / name).read_bytes()).digest()
    assert base64.b64encode(digest).decode() == PUBLISHED[name]


def test_every_vendored_file_is_listed_and_licensed() -> None:
    names = {path.name for path in VENDOR.iterdir()}
    licenses = {"chatsite-math-1.LICENSE.txt", "figtree-400-700.LICENSE.txt", "htmx-4.0.1.LICENSE.txt"}
    assert names == {*PUBLISHED, *licenses}
