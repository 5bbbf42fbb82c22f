"""Headers, CSRF, hosts, sizes: what keeps a page to itself."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from flask import Flask

from chatsite.errors import TooManyUploadsError
from chatsite.services.networks import network_key
from chatsite.web.core.security import safe_redirect_path
from tests.conftest import close_app, make_app
from tests.support.web_fixtures import HTMX_HEADERS, WebClient, message_ids

PAGES = ["/", "/conversations", "/healthz", "/nowhere", "/model-status"]


@pytest.mark.parametrize("path", PAGES)
def test_every_response_has_security_headers(alice: WebClient, path: str) -> None:
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
def test_every_write_requires_csrf_token(alice: WebClient, method: str, path: str) -> None:
    conversation = alice.start_conversation()
    message = message_ids(alice.get(f"/conversations/{conversation}").text)[-1]
    path = path.format(conversation=conversation, message=message)
    for token in ("", "forged"):
        response = alice.client.open(path, method=method, data={"csrf_token": token, "text": "My long text"})
        assert response.status_code == 400
        assert "My long text" in response.text
    assert alice.get(f"/conversations/{conversation}").status_code == 200


def test_get_ignores_method_override(app: Flask, alice: WebClient) -> None:
    """`?_method=` turns a POST into something else, and nothing else into anything."""
    conversation = alice.start_conversation()
    assert alice.client.get(f"/conversations/{conversation}?_method=DELETE").status_code == 200
    assert alice.get(f"/conversations/{conversation}").status_code == 200


def test_untrusted_host_gets_400(alice: WebClient) -> None:
    response = alice.client.get("/", headers={"Host": "evil.example"})
    assert response.status_code == 400
    assert "CHATSITE_TRUSTED_HOSTS" in response.text


def test_trusted_host_is_served(tmp_path: Path) -> None:
    app = make_app(tmp_path, TRUSTED_HOSTS=["chat.example"])
    assert app.test_client().get("/", headers={"Host": "chat.example"}).status_code == 200
    close_app(app)


def test_too_large_body_gets_413(alice: WebClient) -> None:
    response = alice.post_question("x" * 2_000_000)
    assert response.status_code == 413
    assert "too large" in response.text


def test_proxy_headers_trusted_only_when_configured(tmp_path: Path) -> None:
    for proxies, scheme in ((0, "http"), (1, "https")):
        app = make_app(tmp_path, TRUSTED_PROXY_COUNT=proxies)
        seen: list[str] = []
        app.before_request(lambda seen=seen: seen.append(__import__("flask").request.scheme))
        app.test_client().get("/healthz", headers={"X-Forwarded-Proto": "https"})
        assert seen == [scheme]
        close_app(app)


def test_one_network_cannot_take_the_slots_of_large_bodies(app: Flask, alice: WebClient) -> None:
    """Whoever is there sends large bodies as slowly as the worker lets them; elsewhere long questions are sent."""
    limiter = app.extensions["body_limiter"]
    key = network_key("192.0.2.7", app.config["SECRET_KEY"])
    releases = []
    with suppress(TooManyUploadsError):
        while True:
            releases.append(limiter.acquire_slot(network=key))
    assert 0 < len(releases) <= app.config["THREADS"] // 4 // 8

    def send_from(address: str) -> int:
        alice.client.environ_base["REMOTE_ADDR"] = address
        return alice.send_form("POST", "/preferences", theme="dark", other="x" * 20_000).status_code

    assert send_from("192.0.2.7") == 503
    assert send_from("192.0.2.8") == 303
    for release in releases:
        release()
    assert send_from("192.0.2.7") == 303
    assert limiter.open_count == 0


@pytest.mark.parametrize("target", ["//evil.example", "/\\evil.example", "https://evil.example", "", "evil", "/a\nb"])
def test_redirects_stay_on_site(app: Flask, target: str) -> None:
    # That a form is led by it: test_undo_leads_to_no_other_site.
    with app.test_request_context():
        assert safe_redirect_path(target) == "/"


MALFORMED_URLS = (
    *("http://[", "//[", "http://]/", "http://a]b/", "http://[v1.x]/", "http://[::1", "//evil.example/", "\u00fc"),
    *("javascript:alert(1)", "http://h:x", "http://localhost/\\evil.example", "?", "#"),
)


def test_every_route_takes_malformed_current_url_of_htmx(app: Flask, alice: WebClient) -> None:
    conversation = alice.start_conversation()
    paths = [re.sub(r"<[^>]+>", conversation, rule.rule) for rule in app.url_map.iter_rules()]
    statuses = {
        path: alice.client.get(path, headers={**HTMX_HEADERS, "HX-Current-URL": "http://["}).status_code
        for path in paths
        if not path.endswith(("/stream", "/export"))
    }
    assert {path for path, status in statuses.items() if status >= 500} == {"/readyz"}, "no runner is active"
    assert len(statuses) > 60


@pytest.mark.parametrize("htmx", [True, False])
def test_malformed_current_url_leads_to_front_page(alice: WebClient, htmx: bool) -> None:
    for url in MALFORMED_URLS:
        headers = {"HX-Current-URL": url, **(HTMX_HEADERS if htmx else {})}
        response = alice.client.get("/palette", headers=headers)
        assert response.status_code == 200
        # The buttons around the palette, on a page of its own, come back to that page.
        expected = {"/"} if htmx else {"/", "/palette"}
        assert set(re.findall(r'name="next" value="([^"]*)"', response.text)) == expected, url


@pytest.mark.parametrize("secure", [True, False])
def test_cookies_follow_secure_setting(tmp_path: Path, secure: bool) -> None:
    app = make_app(tmp_path, SECURE_COOKIES=secure)
    cookies = WebClient(app.test_client()).get("/").headers.getlist("Set-Cookie")
    assert cookies
    assert all(("Secure" in cookie) is secure for cookie in cookies)
    close_app(app)


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
def test_user_and_model_text_is_escaped(alice: WebClient, finish_answers: Callable[..., None], payload: str) -> None:
    conversation = alice.start_conversation(payload)
    finish_answers(payload)
    alice.send_form("PATCH", f"/conversations/{conversation}/title", text=payload)
    pages = [
        alice.get(f"/conversations/{conversation}").text,
        alice.get(f"/conversations/{conversation}/title").text,
        alice.get("/conversations", headers=HTMX_HEADERS).text,
        alice.post_question(payload * 2000, conversation).text,
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


def test_request_log_contains_generation_id(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    app = make_app(tmp_path, LOG_LEVEL="info", LOG_FORMAT="json")
    alice = WebClient(app.test_client())
    conversation = alice.start_conversation()
    message = message_ids(alice.get(f"/conversations/{conversation}").text)[-1]
    alice.send_form("DELETE", f"/messages/{message}/stream")
    close_app(app)
    events = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line]
    named = {event["rule"]: event.get("generation") for event in events if event["event"] == "request"}
    assert named["/messages"] == named["/messages/<public_id>/stream"] == 1
    assert named["/"] is None


def test_logs_are_json_lines_without_message_text(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    app = make_app(tmp_path, LOG_LEVEL="info", LOG_FORMAT="json")
    WebClient(app.test_client()).post_question("A secret\r\nforged line", idempotency_key='a\r\n{"event": "forged"}')
    close_app(app)
    lines = [line for line in capfd.readouterr().err.splitlines() if line]
    events = [json.loads(line) for line in lines]
    assert any(event["event"] == "request" and event["rule"] == "/messages" for event in events)
    assert all(event["event"] != "forged" for event in events)
    assert all("request" in event for event in events if event["event"] == "request")
    assert "secret" not in "".join(lines)
