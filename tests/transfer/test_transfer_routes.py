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
from chatsite.runner import import_worker
from chatsite.services.transfer.omissions import OmittedKind
from chatsite.web.transfer.omission_notes import describe_omitted
from tests.support import other_exports
from tests.support.record_builders import make_chatgpt_record, make_node
from tests.support.web_fixtures import HTMX_HEADERS, WebClient


def upload(browser: WebClient, *files: tuple[str, bytes]) -> TestResponse:
    """Send files as the form does."""
    [action] = re.findall(r'action="(/imports\?[^"]+)"', browser.get("/imports").text)
    parts = [
        ("csrf_token", browser.csrf_token.encode()),
        *((f'files"; filename="{name}', content) for name, content in files),
    ]
    lines = [
        b'--edge\r\nContent-Disposition: form-data; name="' + name.encode() + b'"\r\n\r\n' + content
        for name, content in parts
    ]
    body = b"\r\n".join([*lines, b"--edge--\r\n"])
    return browser.client.post(action, data=body, content_type="multipart/form-data; boundary=edge")


def work(app: Flask) -> None:
    """What the runner's process does."""
    with app.app_context():
        import_worker.run_imports(app.config, threading.Event())
        db.session.remove()


CLAUDE = json.dumps([other_exports.make_claude_conversation(n) for n in range(60)] + [{"name": "Odd & <b>"}]).encode()


@pytest.mark.parametrize(("kind", "suffix"), [("json", "json"), ("markdown", "md"), ("html", "html")])
def test_conversation_export_has_download_headers(
    alice: WebClient, bob: WebClient, finish_answers: Callable[..., None], kind: str, suffix: str
) -> None:
    name = alice.start_conversation('What/is "this" é?')
    finish_answers("An *answer*.")
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


def test_full_export_contains_only_own_conversations(
    alice: WebClient, bob: WebClient, new_client: Callable[[], WebClient], finish_answers: Callable[..., None]
) -> None:
    alice.start_conversation("Mine alone")
    finish_answers()
    for kind in ("json", "markdown", "html"):
        # The name of a file in the archive is not compressed.
        assert b"Mine alone" in alice.client.get(f"/export?format={kind}").data
        assert b"Mine alone" not in bob.client.get(f"/export?format={kind}").data
        stranger = new_client().get(f"/export?format={kind}")
        assert "No chats yet." in stranger.text
        assert "Content-Disposition" not in stranger.headers
    assert 'href="/export?format=json"' in alice.get("/export").text
    assert "Content-Disposition" not in alice.get("/export?format=exe").headers
    archive = alice.client.get("/export?format=markdown")
    assert archive.headers["Content-Type"] == "application/zip"
    assert archive.headers["Content-Disposition"].startswith('attachment; filename="chatsite.zip"')


def test_temporary_chat_is_not_exported(app: Flask, alice: WebClient) -> None:
    name = alice.post_question("Secret", idempotency_key="t").headers["Location"].rpartition("/")[2]
    with app.app_context():
        db.session.execute(db.text("UPDATE conversation SET expires_at = '2999-01-01 00:00:00'"))
        db.session.commit()
        db.session.remove()
    assert alice.get(f"/conversations/{name}/export?format=json").status_code in {409, 422}
    assert "Secret" not in alice.get("/export?format=json").text


def test_upload_is_imported_and_reported(app: Flask, alice: WebClient, bob: WebClient) -> None:
    response = upload(alice, ("conversations.json", CLAUDE))
    assert response.status_code == 303
    place = response.headers["Location"]
    waiting = alice.get(place)
    assert "Waiting for the worker to start" in waiting.text
    assert 'http-equiv="refresh"' in waiting.text
    assert bob.get(place).status_code == 404
    work(app)
    over = alice.get(f"{place}?known_state=queued", headers=HTMX_HEADERS)
    assert 'hx-target="#announcer"' in over.text
    assert over.headers["HX-Trigger"] == '{"chat:list-changed": {"target": "body"}}'
    assert "<h2>Report</h2>" in over.text
    page = alice.get(place)
    assert "<h2>Report</h2>" in page.text
    assert 'http-equiv="refresh"' not in page.text
    assert "60 imported" in page.text
    assert "1 skipped" in page.text
    assert page.text.count('<li class="import-result') == 50
    [more] = re.findall(r'hx-get="([^"]+after=50[^"]*)"', page.text)
    rest = alice.get(more, headers=HTMX_HEADERS)
    assert rest.text.count('<li class="import-result') == 11
    assert "Odd &amp; &lt;b&gt;" in rest.text
    only = alice.get(f"{place}?outcome=skipped").text
    assert only.count('<li class="import-result') == 1
    [first] = re.findall(r'href="(/conversations/[\w-]{16})">Poems 0<', page.text)
    assert "Lovely." in alice.get(first).text
    assert "Poems 0" not in bob.get("/").text


def test_failed_import_has_no_empty_report(alice: WebClient, app: Flask) -> None:
    place = upload(alice, ("chat.html", b"<html><body>ChatGPT Data Export")).headers["Location"]
    work(app)
    pages = [alice.get(place).text, alice.get(f"{place}?known_state=queued", headers=HTMX_HEADERS).text]
    assert ["This is the web page" in page for page in pages] == [True, True]
    # Only the reason, and the way on.
    assert ["Choose another file" in page for page in pages] == [True, True]
    assert ["0 imported" in page for page in pages] == [False, False]
    assert [re.search(r">\s*Report\s*<", page) for page in pages] == [None, None]


def test_import_can_be_canceled_and_removed(app: Flask, alice: WebClient) -> None:
    place = upload(alice, ("a.json", CLAUDE)).headers["Location"]
    assert "Cancel the import" in alice.get(place).text
    assert alice.send_form("POST", f"{place}?_method=DELETE").headers["Location"] == place
    assert "Canceled" in alice.get(place).text
    work(app)
    assert "0 imported" in alice.get(place).text
    assert alice.send_form("DELETE", place).headers["Location"] == "/imports"
    assert alice.get(place).status_code == 404


def test_each_uploaded_file_becomes_an_import(alice: WebClient) -> None:
    assert upload(alice, ("one.json", b"[]"), ("two.json", b"[]")).headers["Location"] == "/imports"
    page = alice.get("/imports").text
    assert "one.json" in page
    assert "two.json" in page


def test_too_many_files_are_refused_with_the_limit(alice: WebClient) -> None:
    files = [(f"{n}.json", b"[]") for n in range(201)]
    refused = upload(alice, *files)
    assert refused.status_code == 413
    assert "up to 200 files at a time. Nothing was saved. A zip archive can contain them all." in refused.text
    # With so many parts the form is not read to its end. Fields count like files, and leave no open files behind.
    many = alice.client.post("/imports", data={f"part{n}": "" for n in range(1100)}, content_type="multipart/form-data")
    assert many.status_code == 413
    assert "up to 200 files at a time" in many.text
    alice.client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "es"
    assert "hasta 200 archivos a la vez" in upload(alice, *files).text
    assert 'href="/imports/' not in alice.get("/imports").text


def test_missing_and_too_large_uploads_are_rejected(app: Flask, alice: WebClient, bob: WebClient) -> None:
    assert upload(alice).status_code == 422
    assert "Choose a file first." in upload(alice).text
    assert "Zip, JSON or Markdown files, up to 1.0\N{NO-BREAK SPACE}GB." in alice.get("/imports").text
    app.config["MAX_IMPORT_MB"] = 1
    large = upload(alice, ("large.json", b"x" * 2_100_000))
    assert large.status_code == 413
    assert "up to 1 MB" in large.text
    assert upload(bob, ("a.json", b"x" * 900_000)).status_code == 303
    assert upload(bob, ("b.json", b"x" * 900_000)).status_code == 413
    assert bob.get("/imports").text.count('href="/imports/') == 1
    # Other forms stay as small as they were.
    assert alice.send_form("POST", "/messages", text="x" * 2_000_000).status_code == 413


def test_upload_requires_csrf_token(alice: WebClient) -> None:
    alice.get("/imports")
    data = {"files": [(io.BytesIO(b"[]"), "a.json")]}
    assert alice.client.post("/imports", data=data, content_type="multipart/form-data").status_code == 400


def test_report_says_what_was_added_and_left_out(app: Flask, alice: WebClient) -> None:
    question = make_node("u", None, "user", {"content_type": "image_asset_pointer"}, {"content_type": "hologram"}, "Q")
    call = make_node("c", "u", "assistant", "search()", recipient="web")
    files = {"attachments": [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}]}
    answer = make_node("a", "c", "assistant", "A", metadata=files)
    first = json.dumps([make_chatgpt_record(question, call, answer)]).encode()
    place = upload(alice, ("first.json", first)).headers["Location"]
    work(app)
    page = unescape(alice.get(place).text)
    assert "Media and files cannot be imported yet and are only mentioned in the text: 1 image, 2 files." in page
    assert "Left out, because only questions and answers are imported: 1 tool call." in page
    assert "Left out, because its format is not supported: 1 part." in page
    assert "with new messages" not in page

    later = make_node("u2", "a", "user", "Q2")
    second = json.dumps([make_chatgpt_record(question, call, answer, later)]).encode()
    place = upload(alice, ("second.json", second)).headers["Location"]
    work(app)
    page = unescape(alice.get(place).text)
    assert "1 new message added" in page
    assert "1 with new messages" in page
    assert "1 new message added" in alice.get(f"{place}?outcome=updated").text
    assert "1 new message added" not in alice.get(f"{place}?outcome=imported").text

    between = make_node("b", "a", "assistant", "Between")
    later = make_node("u2", "b", "user", "Q2")
    third = json.dumps([make_chatgpt_record(question, call, answer, between, later)]).encode()
    place = upload(alice, ("third.json", third)).headers["Location"]
    work(app)
    page = unescape(alice.get(place).text)
    assert "Already there" in page
    assert "1 message was not added, because it belongs between messages that are already here." in page
    assert "image" not in page.partition('class="import-results"')[2].partition("</ul>")[0]


def test_report_names_every_kind_in_both_languages(app: Flask) -> None:
    counts = {kind.value: number for number, kind in enumerate(OmittedKind, start=2)}
    notes = {}
    for language in ("en", "es"):
        with app.test_request_context(headers={"Accept-Language": language}):
            notes[language] = " ".join(describe_omitted(counts))
        assert re.findall(r"\d+", notes[language]) == [str(number) for number in counts.values()]
    assert "2 images, 3 files, 4 recordings" in notes["en"]
    assert "5 tool calls, 6 reasoning steps, 7 hidden messages" in notes["en"]
    assert "5 llamadas a herramientas, 6 pasos de razonamiento, 7 mensajes ocultos" in notes["es"]


def test_import_page_offers_a_place_to_drop_files_and_help_for_each_product(alice: WebClient) -> None:
    page = alice.get("/imports").text
    assert re.search(r'<input id="import-files" class="drop-zone" type="file"', page)
    assert re.search(r'src="/static/js/on_demand/upload\.\w{8}\.js"', page)
    for product in ("ChatGPT", "Claude", "Open WebUI", "Gemini"):
        assert f'How to export<span class="visually-hidden"> {product}</span>' in page
