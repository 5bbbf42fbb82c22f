"""A site in a sub-path of its host: no address in anything that it sends leaves the sub-path."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from chatsite.settings import ROOT
from tests.conftest import close_app, make_app
from tests.support import owned_urls
from tests.support.web_fixtures import HTMX_HEADERS, WebClient

PREFIX = "/chat"
ADDRESS = re.compile(
    r"(?<![\w-])(?:href|src|action|formaction|data-[\w-]*url|hx-sse:connect|name=\"next\" value"
    r"|hx-(?:get|post|put|patch|delete|push-url|replace-url))\s*=\s*[\"']([^\"']*)[\"']"
)
ADDRESS_HEADERS = (
    *("Location", "HX-Redirect", "HX-Location", "HX-Push-Url", "HX-Replace-Url", "Content-Location", "Link"),
)
HAND_WRITTEN_IN_TEMPLATE = re.compile(
    r'(?:href|src|action|formaction|content|data-[\w-]+|hx-[\w:-]+)\s*=\s*["\']/(?!/)|request\.(?:path|full_path|url)\b'
)
HAND_WRITTEN_IN_SCRIPT = re.compile(r"""["'`]/\w|[Pp]ath=/|location\.pathname""")
HAND_WRITTEN_IN_STYLE = re.compile(r"""url\(["']?/""")
# Strings of `chatsite/web` that begin with a slash and are no address that a browser gets.
NO_ADDRESSES = {
    "/static/": "what WhiteNoise serves, behind the prefix",
    r"/conversations/([\w-]+)/?": "what is left of the address of a page without the prefix",
}


class PrefixedClient(FlaskClient):
    """A browser that has the site at `/chat`: paths are as it types them, and cookies have a path."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        """Open a path of the site, with the prefix or, as the helpers of the tests do, without."""
        path, *rest = args
        return super().open(path if path.startswith(PREFIX) else PREFIX + path, *rest, **kwargs)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """A site with the setting BASE_PATH."""
    app = make_app(
        tmp_path_factory.mktemp("sub"), BASE_PATH=PREFIX, MAX_QUEUED_PER_USER=50, ALLOW_MODEL_MANAGEMENT=True
    )
    app.test_client_class = PrefixedClient
    yield app
    close_app(app)


@pytest.fixture
def app(site: Flask) -> Flask:
    """The site of this file, for the shared fixtures."""
    return site


def outside(response: TestResponse) -> list[str]:
    """The addresses in a response that are on this host and outside of the sub-path."""
    found = [header for name in ADDRESS_HEADERS for header in response.headers.getlist(name)]
    found = [re.sub(r'^(?:\{"path": )?[<"]|[>"].*$', "", address) for address in found]
    if "html" in str(response.mimetype) or response.mimetype == "text/event-stream":
        found += ADDRESS.findall(response.text)
    return [address for address in found if not belongs(address)]


def belongs(address: str) -> bool:
    """Whether an address is in the sub-path, relative to something that is, or on another host on purpose."""
    parts = urlsplit(address)
    if parts.scheme in {"http", "https"} and parts.netloc == "localhost":
        return parts.path.startswith(f"{PREFIX}/")
    return bool(parts.scheme) or parts.path in {"", "true", "false"} or parts.path.startswith(f"{PREFIX}/")


def get_rules(app: Flask) -> list[tuple[str, str]]:
    """Every route that can be opened: endpoint and rule."""
    rules = [(rule.endpoint, rule.rule) for rule in app.url_map.iter_rules() if "GET" in (rule.methods or set())]
    return [(endpoint, rule) for endpoint, rule in rules if endpoint != "static"]


def fill_rule(rule: str, alice: WebClient, finish_answers: Callable[..., None]) -> str:
    """The address of something that Alice owns, by a rule."""
    if "<public_id>" in rule:
        rule = rule.replace("<public_id>", owned_urls.create_owned(rule, alice, finish_answers))
    if "<token>" in rule and rule.startswith("/shared"):
        rule = rule.replace("<token>", owned_urls.create_owned("/shares/<public_id>", alice, finish_answers))
    return re.sub(r"<(?:path:)?name>", "scripted", rule).replace("<language>", "en")


def test_no_address_on_any_page_leaves_sub_path(
    app: Flask, alice: WebClient, finish_answers: Callable[..., None]
) -> None:
    checked = 0
    for endpoint, rule in get_rules(app):
        if rule.endswith("/stream"):
            continue
        path = fill_rule(rule, alice, finish_answers)
        for headers in ({}, HTMX_HEADERS):
            response = alice.client.get(path, headers=headers)
            assert outside(response) == [], f"{endpoint} {headers}"
            checked += "html" in str(response.mimetype) and response.status_code == 200
    assert checked > 60


def test_no_address_in_answers_to_changes_leaves_sub_path(
    app: Flask, alice: WebClient, finish_answers: Callable[..., None]
) -> None:
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) & {"POST", "PUT", "PATCH", "DELETE"}):
            for htmx in (False, True):
                path = fill_rule(rule.rule, alice, finish_answers)
                response = alice.send_form(method, path, htmx, text="Title", name="N", instructions="I", mode="retry")
                assert outside(response) == [], f"{method} {rule.endpoint}"
                assert response.status_code < 500


def test_streams_and_errors_stay_in_sub_path(alice: WebClient, finish_answers: Callable[..., None]) -> None:
    message = owned_urls.create_owned("/messages/<public_id>", alice, finish_answers)
    stream = alice.client.get(f"/messages/{message}/stream")
    assert "href=" in stream.text
    assert outside(stream) == []
    for path in ("/nowhere", "/conversations/nobody"):
        response = alice.get(path)
        assert response.status_code == 404
        assert outside(response) == []


def test_cookies_belong_to_sub_path(alice: WebClient) -> None:
    cookies = [*alice.get("/").headers.getlist("Set-Cookie"), *alice.post_question().headers.getlist("Set-Cookie")]
    cookies += alice.send_form("POST", "/preferences", theme="dark").headers.getlist("Set-Cookie")
    assert len(cookies) >= 4
    assert all(re.search(r"; Path=/chat(;|$)", cookie) for cookie in cookies)
    assert "path=/chat;" in re.findall(r'data-timezone-cookie="([^"]+)"', alice.get("/").text)[0]


def test_secure_cookies_in_sub_path_have_secure_prefix(tmp_path: Path) -> None:
    """A name that begins with `__Host-` is for the path `/` only."""
    app = make_app(tmp_path, BASE_PATH=PREFIX, SECURE_COOKIES=True)
    [cookie] = app.test_client().get("/chat/").headers.getlist("Set-Cookie")
    assert cookie.startswith("__Secure-chatsite_session_")
    assert "Path=/chat" in cookie
    close_app(app)


def test_assets_manifest_and_service_worker_are_in_sub_path(alice: WebClient) -> None:
    page = alice.get("/").text
    for address in re.findall(r'(?:href|src)="(/[^"]+\.(?:css|js|woff2|png)|[^"]+webmanifest)"', page):
        assert alice.client.get(address, buffered=True).status_code == 200, address
    manifest = alice.get("/manifest/en.webmanifest").get_json()
    assert (manifest["id"], manifest["scope"], manifest["start_url"]) == ("/chat/", "/chat/", "/chat/")
    assert all(belongs(each["url"]) for each in manifest["shortcuts"])
    assert all(belongs(each["src"]) for each in manifest["icons"])
    # The script that registers the service worker finds it beside the folder that it comes from itself.
    [script] = re.findall(r'src="([^"]+/app\.\w+\.js)"', page)
    worker = urljoin(script, "../sw.js")
    assert worker == "/chat/sw.js"
    assert alice.client.get(worker).mimetype == "text/javascript"


def test_open_conversation_and_return_page_are_known_in_sub_path(alice: WebClient) -> None:
    conversation = alice.start_conversation()
    headers = {**HTMX_HEADERS, "HX-Current-URL": f"http://localhost/chat/conversations/{conversation}?message=x"}
    palette = alice.client.get("/palette", headers=headers).text
    assert f"/chat/conversations/{conversation}/title" in palette
    assert f'name="next" value="/chat/conversations/{conversation}?message=x"' in palette


@pytest.mark.parametrize(
    "target",
    [
        *("/elsewhere", "/chatter/", "//evil.example/chat/", "/chat", "https://a.example"),
        *(
            "/chat/../../evil",
            "/chat/..",
            "/chat/.%2E/evil",
            "/chat/%2e%2e\\evil",
            "/chat/a\\..\\..\\..?x",
            "/chat/..#x",
        ),
    ],
)
def test_redirects_stay_in_sub_path(app: Flask, alice: WebClient, target: str) -> None:
    response = alice.send_form("POST", "/preferences", theme="dark", next=target)
    assert response.headers["Location"] == "/chat/"


@pytest.mark.parametrize("target", ["/chat/search?q=/../x", "/chat/a..b/...", "/chat/x#/../"])
def test_dots_that_lead_nowhere_are_kept(app: Flask, alice: WebClient, target: str) -> None:
    response = alice.send_form("POST", "/preferences", theme="dark", next=target)
    assert response.headers["Location"] == target


def test_former_addresses_lead_into_sub_path(alice: WebClient) -> None:
    assert alice.get("/library?a=1").headers["Location"] == "/chat/overview?a=1"
    conversation = alice.start_conversation()
    former = alice.get(f"/conversations/{conversation}?at=end").headers["Location"]
    assert former == f"/chat/conversations/{conversation}?position=end"


def test_proxy_may_remove_prefix_or_leave_it(app: Flask) -> None:
    client = FlaskClient(app, app.response_class)
    assert 'href="/chat/overview"' in client.get("/").text
    assert 'href="/chat/overview"' in client.get("/chat/").text
    bare = client.get("/chat?text=a%20b")
    assert (bare.status_code, bare.headers["Location"]) == (308, "/chat/?text=a%20b")
    assert client.get("/chatter").status_code == 404


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """A site that trusts a proxy, without the setting."""
    app = make_app(tmp_path_factory.mktemp("proxied"), TRUSTED_PROXY_COUNT=1)
    yield app
    close_app(app)


@pytest.mark.parametrize(
    ("header", "prefix"),
    [
        ("/chat", "/chat"),
        ("/chat/", "/chat"),
        ("/outer, /chat", "/chat"),
        ("", ""),
        ("/", ""),
        ("//evil.example", ""),
        ("https://evil.example", ""),
        ('/"><script>', ""),
        ("/a/../b", ""),
    ],
)
def test_prefix_of_trusted_proxy_is_used_if_it_is_a_path(proxied: Flask, header: str, prefix: str) -> None:
    page = proxied.test_client().get("/", headers={"X-Forwarded-Prefix": header}).text
    assert f'href="{prefix}/overview"' in page
    assert f'href="{prefix}/static/app.' in page


def test_prefix_of_client_is_ignored(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    assert 'href="/overview"' in app.test_client().get("/", headers={"X-Forwarded-Prefix": "/chat"}).text
    close_app(app)


@pytest.mark.parametrize(
    ("pattern", "files"),
    [
        (HAND_WRITTEN_IN_TEMPLATE, sorted((ROOT / "templates").rglob("*.html"))),
        (HAND_WRITTEN_IN_SCRIPT, [*(ROOT / "static" / "js").glob("*.js"), ROOT / "static" / "sw.js"]),
        (HAND_WRITTEN_IN_STYLE, sorted((ROOT / "static").rglob("*.css"))),
    ],
    ids=["templates", "scripts", "styles"],
)
def test_no_address_is_written_by_hand(pattern: re.Pattern[str], files: list[Path]) -> None:
    assert files
    assert {path.name: found for path in files if (found := pattern.findall(path.read_text(encoding="utf-8")))} == {}


def test_python_writes_no_address_by_hand() -> None:
    """Routes are declared with their addresses, and nothing else names one: `url_for` does."""
    written: list[str] = []
    for path in (ROOT / "chatsite" / "web").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        declared = {
            node
            for call in ast.walk(tree)
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
            if call.func.attr in {"get", "post", "put", "patch", "delete", "route", "add_url_rule"}
            for node in call.args
        }
        written += [
            f"{path.name}:{node.lineno} {node.value}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in declared
            if re.match(r"/[a-z]", node.value) and node.value not in NO_ADDRESSES
        ]
    assert written == []
