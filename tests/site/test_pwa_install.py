"""What makes the site an app on a phone: a manifest, icons, a service worker, a page for when there is no network."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

import pytest

from chatsite.settings import LANGUAGES
from tests.support.web_fixtures import HTMX_HEADERS, WebClient


@pytest.mark.parametrize("language", LANGUAGES)
def test_manifest_urls_and_icons_exist(alice: WebClient, language: str) -> None:
    response = alice.get(f"/manifest/{language}.webmanifest")
    assert response.mimetype == "application/manifest+json"
    manifest = response.get_json()
    assert manifest["lang"] == language
    assert manifest["display"] == "standalone"
    assert {"any", "maskable"} == {icon["purpose"] for icon in manifest["icons"]}
    for address in [manifest["start_url"], *(each["url"] for each in manifest["shortcuts"])]:
        assert alice.get(address).status_code == 200
    assert {"192x192", "512x512"} <= {icon["sizes"] for icon in manifest["icons"]}
    for icon in manifest["icons"]:
        _expect_icon(alice, icon["src"], icon["sizes"])


def _expect_icon(alice: WebClient, address: str, sizes: str) -> None:
    picture = alice.client.get(address, buffered=True)
    assert "immutable" in picture.headers["Cache-Control"]
    if sizes == "any":
        assert picture.mimetype == "image/svg+xml"
    else:
        assert picture.mimetype == "image/png"
        assert "{}x{}".format(*struct.unpack(">II", picture.data[16:24])) == sizes


def test_manifest_uses_page_language(alice: WebClient) -> None:
    words = set()
    for language in LANGUAGES:
        page = alice.get("/", headers={"Accept-Language": language}).text
        [address] = re.findall(r'rel="manifest" href="([^"]+)"', page)
        assert address == f"/manifest/{language}.webmanifest"
        words.add(alice.get(address).get_json()["shortcuts"][0]["name"])
    assert len(words) == len(LANGUAGES)
    assert alice.get("/manifest/xx.webmanifest").status_code == 404


def test_page_has_touch_icon_and_theme_color(alice: WebClient) -> None:
    page = alice.get("/").text
    [address] = re.findall(r'rel="apple-touch-icon" href="([^"]+)"', page)
    _expect_icon(alice, address, "180x180")
    assert len(re.findall(r'name="theme-color"', page)) == 2


def test_service_worker_changes_with_offline_page(alice: WebClient) -> None:
    workers = [alice.get("/sw.js", headers={"Accept-Language": language}) for language in ("en", "es", "es")]
    for response in workers:
        assert response.mimetype == "text/javascript"
        assert response.headers["Cache-Control"] == "no-cache"
        assert "Set-Cookie" not in response.headers
    assert workers[0].text != workers[1].text == workers[2].text
    alice.client.set_cookie("chatsite_preferences", "theme=dark")
    assert alice.get("/sw.js", headers={"Accept-Language": "en"}).text != workers[0].text


def test_offline_page_contains_no_personal_data(alice: WebClient, new_client: Callable[[], WebClient]) -> None:
    alice.start_conversation("A secret question")
    mine, strangers = alice.get("/offline"), new_client().get("/offline")
    assert mine.text == strangers.text
    assert "csrf" not in mine.text
    assert "Set-Cookie" not in strangers.headers


def test_offline_page_refreshes_when_site_is_back(alice: WebClient) -> None:
    assert alice.get("/offline", headers=HTMX_HEADERS).headers["HX-Refresh"] == "true"
