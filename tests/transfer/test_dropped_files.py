"""What the browser is given for files that are dropped: sentences, and a form that imports them."""

from __future__ import annotations

import re

from flask import Flask

from tests.core.test_ownership import users
from tests.support.web_fixtures import HTMX_HEADERS, WebClient

KINDS = {"added", "folder", "picture", "unknown", "too-long", "elsewhere", "import"}


def test_sentences_and_form_come_without_a_page(app: Flask, alice: WebClient) -> None:
    html = alice.get("/dropped-files", headers=HTMX_HEADERS).text
    assert set(re.findall(r'data-kind="([\w-]+)"', html)) == KINDS
    assert "<html" not in html
    assert f"at most {app.config['MAX_MESSAGE_CHARS']:,} characters" in html
    assert re.search(r'action="/imports\?upload_token=[\w.-]+"', html)
    assert 'enctype="multipart/form-data"' in html
    # Looking at what may be said makes nobody a user.
    assert users(app) == []
    assert "No se puede añadir una carpeta." in alice.get("/dropped-files", headers={"Accept-Language": "es"}).text


def test_every_page_names_the_address(alice: WebClient) -> None:
    for path in ("/", "/models", "/imports"):
        assert 'data-files="/dropped-files"' in alice.get(path).text
