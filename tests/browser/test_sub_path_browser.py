"""Chromium and nginx with the configuration of `docs/deploy` for a sub-path: everything happens below it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import serve_site
from tests.support.proxies import running_nginx_in_sub_path

pytestmark = pytest.mark.exhaustive

READY = "navigator.serviceWorker.ready.then(({ scope, active }) => [scope, active.scriptURL])"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a site behind nginx in the sub-path /chat."""
    settings = {"BASE_PATH": "/chat", "TRUSTED_PROXY_COUNT": "1", "SCRIPTED_TOKENS_PER_SECOND": "200"}
    with (
        serve_site(tmp_path_factory.mktemp("site"), **settings) as site,
        running_nginx_in_sub_path(tmp_path_factory.mktemp("nginx"), site) as port,
    ):
        yield f"http://localhost:{port}/chat"


def test_everything_happens_in_sub_path(url: str, chromium: Browser) -> None:
    context = chromium.new_context()
    page = context.new_page()
    asked: list[str] = []
    failed: list[str] = []
    errors: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    context.on("response", lambda response: failed.append(response.url) if response.status >= 400 else None)
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(url)
    page.get_by_role("textbox", name="Message").fill("/say Hello from below")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Hello from below").last).to_be_visible()
    expect(page).to_have_url(re.compile(r"/chat/conversations/[\w-]{16}$"))
    expect(page.get_by_role("button", name="Regenerate")).to_be_visible()
    conversation = page.url
    page.keyboard.press("Control+k")
    palette = page.get_by_role("dialog", name="Search or jump to…")
    palette.get_by_role("combobox").fill("Dark theme")
    palette.get_by_role("option", name="Dark theme", exact=True).click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page).to_have_url(conversation)
    page.reload()
    expect(page.get_by_text("Hello from below").last).to_be_visible()
    for name in ("Overview", "Settings"):
        page.get_by_role("link", name=name, exact=True).first.click()
        expect(page.get_by_role("heading", name=name).first).to_be_visible()
    scope, script = page.evaluate(READY)
    assert (urlsplit(scope).path, urlsplit(script).path) == ("/chat/", "/chat/sw.js")
    assert {cookie["path"] for cookie in context.cookies()} == {"/chat"}
    assert len(context.cookies()) >= 4
    assert {urlsplit(address).path for address in asked if not re.search(r"/chat(/|$)", address)} == set()
    assert failed == []
    assert errors == []
    context.set_offline(True)
    page.goto(f"{url}/overview")
    expect(page.get_by_role("heading", name="You're offline, or the server isn't running")).to_be_visible()
    context.close()
