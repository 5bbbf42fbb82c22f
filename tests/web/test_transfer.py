"""Exports and imports as pages and files."""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Callable
from html import unescape

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from chatsite.database import db
from chatsite.runner import bringing
from tests.services import foreign
from tests.web.conftest import HTMX, Browser


def upload(browser: Browser, *files: tuple[str, bytes]) -> TestResponse:
    """Send files as the form does."""
    browser.get("/imports")
    parts = [
        ("csrf_token", browser.token.encode()),
        *((f'files"; filename="{name}', content) for name, content in files),
    ]
    lines = [
        b'--edge\r\nContent-Disposition: form-data; name="' + name.encode() + b'"\r\n\r\n' + content
        for name, content in parts
    ]
    body = b"\r\n".join([*lines, b"--edge--\r\n"])
    return browser.client.post("/imports", data=body, content_type="multipart/form-data; boundary=edge")


def work(app: Flask) -> None:
    """What the runner's process does."""
    with app.app_context():
        bringing.work(app.config, threading.Event())
        db.session.remove()


CLAUDE = json.dumps([foreign.claude(n) for n in range(60)] + [{"name": "Odd & <b>"}]).encode()


@pytest.mark.parametrize(("kind", "suffix"), [("json", "json"), ("markdown", "md"), ("html", "html")])
def test_a_conversation_is_a_file_with_the_right_headers(
    alice: Browser, bob: Browser, answer: Callable[..., None], kind: str, suffix: str
) -> None:
    name = alice.start('What/is "this" é?')
    answer("An *answer*.")
    response = alice.get(f"/conversations/{name}/export?format={kind}")
    assert response.status_code == 200
    names = f"filename=\"What is this e.{suffix}\"; filename*=UTF-8''What%20is%20this%20%C3%A9.{suffix}"
    assert response.headers["Content-Disposition"] == f"attachment; {names}"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"
    assert "charset=utf-8" in response.content_type or kind == "json"
    # Its length is not known before it is made.
    assert "Content-Length" not in response.headers
    assert "answer" in response.text
    assert bob.get(f"/conversations/{name}/export?format={kind}").status_code == 404


def test_everything_is_ones_own_everything(
    alice: Browser, bob: Browser, browser: Callable[[], Browser], answer: Callable[..., None]
) -> None:
    alice.start("Mine alone")
    answer()
    for kind in ("json", "markdown", "html"):
        assert "Mine alone" in alice.get(f"/export?format={kind}").text
        assert "Mine alone" not in bob.get(f"/export?format={kind}").text
        stranger = browser().get(f"/export?format={kind}")
        assert "There are no conversations yet." in stranger.text
        assert "Content-Disposition" not in stranger.headers
    assert 'href="/export?format=json"' in alice.get("/export").text
    assert "Content-Disposition" not in alice.get("/export?format=exe").headers


def test_the_archive_needs_nothing_and_runs_nothing_strange(alice: Browser, answer: Callable[..., None]) -> None:
    alice.start("</title><script>alert(1)</script>")
    answer(
        "<script>alert(2)</script> [x](javascript:alert(3)) ![y](https://example.org/y.png)\n\n```python\n1\n```\n\n$$x^2$$"
    )
    html = alice.get("/export?format=html").text
    assert html.count("<script") == 1
    # A picture is a link; nothing is fetched when the file is opened.
    assert re.findall(r'(?:src|href)="(?!#)[^"]*"', html) == ['href="https://example.org/y.png"']
    assert "default-src 'none'" in unescape(html)
    assert "light-dark(" in html
    # Formulas are set by the browser with a font of its own.
    assert "<msup><mi>x</mi><mn>2</mn></msup>" in html
    assert "@font-face" not in html
    [link] = re.findall(r'href="#(c[\w-]{16})"', html)
    assert html.count(f'id="{link}"') == 1


def test_a_temporary_chat_is_not_exported(app: Flask, alice: Browser) -> None:
    name = alice.ask("Secret", token="t").headers["Location"].rpartition("/")[2]
    with app.app_context():
        db.session.execute(db.text("UPDATE conversation SET expires_at = '2999-01-01 00:00:00'"))
        db.session.commit()
        db.session.remove()
    assert alice.get(f"/conversations/{name}/export?format=json").status_code in {409, 422}
    assert "Secret" not in alice.get("/export?format=json").text


def test_an_import_from_the_form_to_the_report(app: Flask, alice: Browser, bob: Browser) -> None:
    response = upload(alice, ("conversations.json", CLAUDE))
    assert response.status_code == 303
    place = response.headers["Location"]
    waiting = alice.get(place)
    assert "Waits" in waiting.text
    assert 'http-equiv="refresh"' in waiting.text
    assert bob.get(place).status_code == 404
    work(app)
    over = alice.get(f"{place}?was=queued", headers=HTMX)
    assert 'hx-target="#announcer"' in over.text
    assert over.headers["HX-Trigger"] == '{"listed": {"target": "body"}}'
    page = alice.get(place)
    assert 'http-equiv="refresh"' not in page.text
    assert "60 imported" in page.text
    assert "1 skipped" in page.text
    assert page.text.count('<li class="note') == 50
    [more] = re.findall(r'hx-get="([^"]+after=50[^"]*)"', page.text)
    rest = alice.get(more, headers=HTMX)
    assert rest.text.count('<li class="note') == 11
    assert "Odd &amp; &lt;b&gt;" in rest.text
    only = alice.get(f"{place}?outcome=skipped").text
    assert only.count('<li class="note') == 1
    [first] = re.findall(r'href="(/conversations/[\w-]{16})">Poems 0<', page.text)
    assert "Lovely." in alice.get(first).text
    assert "Poems 0" not in bob.get("/").text


def test_an_import_is_cancelled_and_removed(app: Flask, alice: Browser) -> None:
    place = upload(alice, ("a.json", CLAUDE)).headers["Location"]
    assert "Cancel the import" in alice.get(place).text
    assert alice.send("POST", f"{place}?_method=DELETE").headers["Location"] == place
    assert "Cancelled" in alice.get(place).text
    work(app)
    assert "0 imported" in alice.get(place).text
    assert alice.send("DELETE", place).headers["Location"] == "/imports"
    assert alice.get(place).status_code == 404


def test_several_files_are_several_imports(alice: Browser) -> None:
    assert upload(alice, ("one.json", b"[]"), ("two.json", b"[]")).headers["Location"] == "/imports"
    page = alice.get("/imports").text
    assert "one.json" in page
    assert "two.json" in page


def test_a_form_without_a_file_and_one_that_is_too_large(app: Flask, alice: Browser, bob: Browser) -> None:
    assert upload(alice).status_code == 422
    assert "Choose a file first." in upload(alice).text
    app.config["IMPORT_MB"] = 1
    large = upload(alice, ("large.json", b"x" * 2_100_000))
    assert large.status_code == 413
    assert "At most 1 MB" in large.text
    assert upload(bob, ("a.json", b"x" * 900_000)).status_code == 303
    assert upload(bob, ("b.json", b"x" * 900_000)).status_code == 413
    assert bob.get("/imports").text.count('href="/imports/') == 1
    # Other forms stay as small as they were.
    assert alice.send("POST", "/messages", text="x" * 2_000_000).status_code == 413


def test_a_file_needs_the_token_of_the_page(alice: Browser) -> None:
    alice.get("/imports")
    data = {"files": [(io.BytesIO(b"[]"), "a.json")]}
    assert alice.client.post("/imports", data=data, content_type="multipart/form-data").status_code == 400
