"""Headers, CSRF, hosts, sizes: what keeps a page to itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from chatsite.web.security import local_path
from tests.conftest import close, make_app
from tests.web.conftest import HTMX, Browser, message_ids

PAGES = ["/", "/conversations", "/healthz", "/nowhere", "/model/status"]


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_has_the_headers(alice: Browser, path: str) -> None:
    headers = alice.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "*" not in policy
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in headers
    assert {"HX-Request", "Cookie", "Accept-Language"} <= set(headers["Vary"].replace(" ", "").split(","))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/messages"),
        ("POST", "/preferences"),
        ("PATCH", "/conversations/{conversation}/title"),
        ("DELETE", "/conversations/{conversation}"),
        ("POST", "/messages/{message}/generations"),
        ("DELETE", "/messages/{message}/stream"),
        ("POST", "/conversations/{conversation}?_method=DELETE"),
    ],
)
def test_every_write_needs_the_csrf_token(alice: Browser, method: str, path: str) -> None:
    conversation = alice.start()
    message = message_ids(alice.get(f"/conversations/{conversation}").text)[-1]
    path = path.format(conversation=conversation, message=message)
    for token in ("", "forged"):
        response = alice.client.open(path, method=method, data={"csrf_token": token, "text": "My long text"})
        assert response.status_code == 400
        assert "My long text" in response.text
    assert alice.get(f"/conversations/{conversation}").status_code == 200


def test_get_never_writes(app: Flask, alice: Browser) -> None:
    """`?_method=` turns a POST into something else, and nothing else into anything."""
    conversation = alice.start()
    assert alice.client.get(f"/conversations/{conversation}?_method=DELETE").status_code == 200
    assert alice.get(f"/conversations/{conversation}").status_code == 200


def test_a_foreign_host_is_refused(alice: Browser) -> None:
    response = alice.client.get("/", headers={"Host": "evil.example"})
    assert response.status_code == 400
    assert "CHATSITE_TRUSTED_HOSTS" in response.text


def test_an_admitted_host_is_served(tmp_path: Path) -> None:
    app = make_app(tmp_path, TRUSTED_HOSTS=["chat.example"])
    assert app.test_client().get("/", headers={"Host": "chat.example"}).status_code == 200
    close(app)


def test_a_body_that_is_too_large_is_refused_with_a_sentence(alice: Browser) -> None:
    response = alice.ask("x" * 2_000_000)
    assert response.status_code == 413
    assert "too large" in response.text


def test_a_proxy_is_believed_only_when_configured(tmp_path: Path) -> None:
    for proxies, scheme in ((0, "http"), (1, "https")):
        app = make_app(tmp_path, PROXIES=proxies)
        seen: list[str] = []
        app.before_request(lambda seen=seen: seen.append(__import__("flask").request.scheme))  # type: ignore[misc]
        app.test_client().get("/healthz", headers={"X-Forwarded-Proto": "https"})
        assert seen == [scheme]
        close(app)


@pytest.mark.parametrize("target", ["//evil.example", "/\\evil.example", "https://evil.example", "", "evil", "/a\nb"])
def test_nobody_is_sent_elsewhere(target: str) -> None:
    # That a form is led by it: test_undo_leads_to_no_other_site.
    assert local_path(target) == "/"


@pytest.mark.parametrize("secure", [True, False])
def test_cookies_are_secure_where_the_site_is(tmp_path: Path, secure: bool) -> None:
    app = make_app(tmp_path, SECURE_COOKIES=secure)
    cookies = Browser(app.test_client()).get("/").headers.getlist("Set-Cookie")
    assert cookies
    assert all(("Secure" in cookie) is secure for cookie in cookies)
    close(app)


PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "<hx-partial hx-target='body'>gone</hx-partial>",
    "<div hx-get='/evil' hx-trigger='load'>x</div>",
    "[click](javascript:alert(1))",
    "![pixel](https://evil.example/?leak)",
    "</textarea><script>alert(1)</script>",
    "{{ 7 * 7 }}",
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_people_and_models_write_is_data(alice: Browser, answer: Callable[..., None], payload: str) -> None:
    conversation = alice.start(payload)
    answer(payload)
    alice.send("PATCH", f"/conversations/{conversation}/title", text=payload)
    pages = [
        alice.get(f"/conversations/{conversation}").text,
        alice.get(f"/conversations/{conversation}/title").text,
        alice.get("/conversations", headers=HTMX).text,
        alice.ask(payload * 2000, conversation).text,
    ]
    for page in pages:
        for danger in (
            "<script>alert",
            "<img src",
            "<svg onload",
            "<hx-partial hx-target='body'",
            "<div hx-get='/evil'",
        ):
            assert danger not in page
        assert 'href="javascript:' not in page
        assert ">49<" not in page


def test_a_request_and_a_runner_name_the_same_generation(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    app = make_app(tmp_path, LOG_LEVEL="info", LOG_FORMAT="json")
    alice = Browser(app.test_client())
    conversation = alice.start()
    message = message_ids(alice.get(f"/conversations/{conversation}").text)[-1]
    alice.send("DELETE", f"/messages/{message}/stream")
    close(app)
    events = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line]
    named = {event["rule"]: event.get("generation") for event in events if event["event"] == "request"}
    assert named["/messages"] == named["/messages/<public_id>/stream"] == 1
    assert named["/"] is None


def test_logs_are_one_json_line_each_and_hold_no_message(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    app = make_app(tmp_path, LOG_LEVEL="info", LOG_FORMAT="json")
    Browser(app.test_client()).ask("A secret\r\nforged line", token='a\r\n{"event": "forged"}')
    close(app)
    lines = [line for line in capfd.readouterr().err.splitlines() if line]
    events = [json.loads(line) for line in lines]
    assert any(event["event"] == "request" and event["rule"] == "/messages" for event in events)
    assert all(event["event"] != "forged" for event in events)
    assert all("request" in event for event in events if event["event"] == "request")
    assert "secret" not in "".join(lines)
