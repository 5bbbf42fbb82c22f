"""The guide shows every token and every component, and is nowhere but where somebody works on the site."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from flask import Flask
from markupsafe import Markup

from chatsite.config import ROOT
from chatsite.web import tokens
from chatsite.web.styleguide import specimen
from tests.web.conftest import Browser


@pytest.fixture
def guide(app: Flask, alice: Browser) -> str:
    """The page, for somebody with a conversation that waits and is marked as one of the states."""
    app.config["STYLEGUIDE"] = True
    talk = alice.start("A question that waits")
    alice.send("PUT", f"/conversations/{talk}/tags", text="states")
    response = alice.get("/styleguide")
    assert response.status_code == 200
    return response.text


@pytest.mark.parametrize("path", ["/styleguide", "/styleguide.css"])
def test_it_is_not_there_unless_it_is_asked_for(alice: Browser, path: str) -> None:
    assert alice.get(path).status_code == 404


def test_it_is_there_in_development(app: Flask, alice: Browser) -> None:
    app.debug = True
    assert alice.get("/styleguide").status_code == 200


def test_it_shows_every_token_and_every_icon(guide: str, alice: Browser) -> None:
    style = alice.get("/styleguide.css").text
    for colour in tokens.palette():
        assert f"<code>{colour.name}</code>" in guide
        assert f".shows-{colour.name} {{ background: var(--{colour.name}) }}" in style
    named = {name for kind in tokens.measures().values() for name in kind}
    assert {"size-1", "space-6", "radius", "calm", "column"} <= named
    assert [name for name in named if f"<code>{name}</code>" not in guide] == []
    sprite = (ROOT / "static" / "icons" / "icons.svg").read_text(encoding="utf-8")
    assert [name for name in re.findall(r'symbol id="([^"]+)"', sprite) if f"<code>{name}</code>" not in guide] == []


def test_it_shows_the_states_that_there_are(guide: str) -> None:
    assert "A question that waits" in guide
    assert guide.count('class="scheme scheme-dark"') == guide.count('class="scheme scheme-light"') > 15


def test_what_it_shows_does_nothing_and_has_names_of_its_own(guide: str) -> None:
    shown = guide[guide.index('<div class="guide"') :]
    shown = shown[: shown.index("</main>")]
    assert "<form" not in shown
    assert "&lt;div" not in shown
    assert not re.search(r"\s(hx-|action=|formaction=|method=)", re.sub(r">[^<]*<", "><", shown))
    ids = Counter(re.findall(r'\sid="([^"]+)"', guide))
    assert [name for name, count in ids.items() if count > 1] == []


def test_a_specimen_keeps_what_belongs_together() -> None:
    html = (
        '<label for="a">A</label><input id="a" name="n" aria-describedby="b c" hx-get="/x" autofocus><p id="b">hx-1</p>'
        '<form aria-label="F"></form><section aria-label="S"></section>'
    )
    assert specimen(Markup(html), "dark") == (
        '<label for="a-dark">A</label><input id="a-dark" name="n-dark" aria-describedby="b-dark c-dark">'
        '<p id="b-dark">hx-1</p><div aria-label="F"></div><section aria-label="S, dark"></section>'
    )
