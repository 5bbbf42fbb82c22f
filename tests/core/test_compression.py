"""Pages are compressed where that tells nobody anything, and streams never are."""

from __future__ import annotations

from collections.abc import Callable

import brotli
import pytest

from tests.support.web_fixtures import WebClient, message_ids

ACCEPT = {"Accept-Encoding": "gzip, deflate, br, zstd"}


def test_page_is_compressed_with_brotli(alice: WebClient) -> None:
    response = alice.client.get("/models", headers=ACCEPT)
    assert response.headers["Content-Encoding"] == "br"
    assert "Accept-Encoding" in response.headers["Vary"]
    assert "</html>" in brotli.decompress(response.data).decode()
    assert len(response.data) * 4 < len(alice.client.get("/models").data)


@pytest.mark.parametrize(("site", "encoding"), [("cross-site", None), ("same-site", None), ("same-origin", "br")])
def test_cross_site_requests_are_not_compressed(alice: WebClient, site: str, encoding: str | None) -> None:
    response = alice.client.get("/?text=guess", headers={**ACCEPT, "Sec-Fetch-Site": site})
    assert response.headers.get("Content-Encoding") == encoding


def test_streams_are_not_compressed(alice: WebClient, finish_answers: Callable[..., None]) -> None:
    conversation = alice.start_conversation()
    message = message_ids(alice.get(f"/conversations/{conversation}").text)[-1]
    finish_answers("A long answer. " * 200)
    for path in (f"/messages/{message}/stream", f"/conversations/{conversation}/export?format=json"):
        response = alice.client.get(path, headers=ACCEPT)
        assert response.status_code == 200
        assert "Content-Encoding" not in response.headers
