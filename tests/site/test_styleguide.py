"""The guide shows every token and every component, and is nowhere but where somebody works on the site."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from markupsafe import Markup

from chatsite.devtools import design_tokens
from chatsite.devtools.styleguide import make_inert
from chatsite.settings import ROOT
from tests.conftest import close_app, make_app
from tests.support.web_fixtures import WebClient


@pytest.fixture(params=[{"STYLEGUIDE": True}])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    """An app with the guide, unless a test has it made otherwise."""
    new_app = make_app(tmp_path, **request.param)
    yield new_app
    close_app(new_app)


@pytest.fixture
def styleguide_html(alice: WebClient) -> str:
    """The page, for somebody with a conversation that waits and is marked as one of the states."""
    talk = alice.start_conversation("A question that waits")
    alice.send_form("PUT", f"/conversations/{talk}/tags", text="states")
    response = alice.get("/styleguide")
    assert response.status_code == 200
    return response.text


@pytest.mark.parametrize("app", [{}], indirect=True)
@pytest.mark.parametrize("path", ["/styleguide", "/styleguide.css"])
def test_styleguide_gets_404_by_default(alice: WebClient, path: str) -> None:
    assert alice.get(path).status_code == 404


@pytest.mark.parametrize("app", [{"DEBUG": True}], indirect=True)
def test_styleguide_is_served_in_debug_mode(alice: WebClient) -> None:
    assert alice.get("/styleguide").status_code == 200


def test_styleguide_shows_every_token_and_icon(styleguide_html: str, alice: WebClient) -> None:
    style = alice.get("/styleguide.css").text
    for color in design_tokens.list_colors():
        assert f"<code>{color.name}</code>" in styleguide_html
        assert f".shows-{color.name} {{ background: var(--{color.name}) }}" in style
    named = {name for kind in design_tokens.read_dimensions().values() for name in kind}
    assert {"size-1", "space-6", "radius", "duration-slow", "column"} <= named
    assert [name for name in named if f"<code>{name}</code>" not in styleguide_html] == []
    sprite = (ROOT / "static" / "icons" / "icons.svg").read_text(encoding="utf-8")
    assert [
        name for name in re.findall(r'symbol id="([^"]+)"', sprite) if f"<code>{name}</code>" not in styleguide_html
    ] == []


def test_styleguide_shows_existing_states(styleguide_html: str) -> None:
    assert "A question that waits" in styleguide_html
    assert (
        styleguide_html.count('class="scheme scheme-dark"') == styleguide_html.count('class="scheme scheme-light"') > 15
    )


def test_specimens_are_inert_with_unique_ids(styleguide_html: str) -> None:
    shown = styleguide_html[styleguide_html.index('<div class="guide"') :]
    shown = shown[: shown.index("</main>")]
    assert "<form" not in shown
    assert "&lt;div" not in shown
    assert not re.search(r"\s(hx-|action=|formaction=|method=)", re.sub(r">[^<]*<", "><", shown))
    ids = Counter(re.findall(r'\sid="([^"]+)"', styleguide_html))
    assert [name for name, count in ids.items() if count > 1] == []


def test_inert_copy_renames_related_ids_together() -> None:
    html = (
        '<label for="a">A</label><input id="a" name="n" aria-describedby="b c" hx-get="/x" autofocus><p id="b">hx-1</p>'
        '<form aria-label="F"></form><section aria-label="S"></section>'
    )
    assert make_inert(Markup(html), "dark") == (
        '<label for="a-dark">A</label><input id="a-dark" name="n-dark" aria-describedby="b-dark c-dark">'
        '<p id="b-dark">hx-1</p><div aria-label="F"></div><section aria-label="S, dark"></section>'
    )
