"""Styles and scripts: many files to read, one of each kind to fetch."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from chatsite import create_app
from chatsite.config import ROOT
from chatsite.web.assets import BUNDLES, bare, join, parts
from tests.web.conftest import Browser

STATIC = ROOT / "static"


def test_every_style_and_script_is_in_a_bundle() -> None:
    joined = {path for bundle in BUNDLES for path in parts(STATIC, bundle)}
    assert {
        *(STATIC / "css").rglob("*.css"),
        *(STATIC / "js").glob("*.js"),
        *(STATIC / "vendor").glob("*.js"),
    } <= joined


def test_the_layers_are_declared_before_they_are_used() -> None:
    css = join(STATIC, "app.css", str)
    assert css.startswith("@layer tokens, base, layout, components, prose, print;")
    used = set(re.findall(r"@layer (\w+) \{", css))
    assert used <= set(re.findall(r"\w+", css.split(";")[0])) - {"layer"}


def served(alice: Browser, address: str) -> TestResponse:
    """A file as it is sent, read to its end."""
    return alice.client.get(address, buffered=True)


def test_a_style_sheet_names_its_files_by_their_hashes(alice: Browser) -> None:
    css = served(alice, re.findall(r'href="(/static/app\.\w{8}\.css)"', alice.get("/").text)[0]).text
    fonts = re.findall(r'url\("(/static/[^"]+)"\)', css)
    assert fonts
    for address in fonts:
        response = served(alice, address)
        assert response.status_code == 200
        assert "immutable" in response.headers["Cache-Control"]


def test_comments_and_indents_are_not_sent() -> None:
    assert bare("// Why.\nif (a) {\n  // Because.\n  b(`x`); // c\n\n}\n") == "if (a) {\nb(`x`); // c\n}\n"


@pytest.mark.parametrize("path", sorted((STATIC / "js").glob("*.js")), ids=lambda path: path.name)
def test_a_script_can_be_made_shorter(path: Path) -> None:
    """A template of several lines would lose what its lines are indented by."""
    assert all(line.count("`") % 2 == 0 for line in path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("name", BUNDLES)
def test_with_the_debugger_the_files_are_joined_at_each_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("FLASK_DEBUG", "1")
    app = create_app({"INSTANCE": tmp_path, "MODEL": "scripted", "LOG_LEVEL": "error"})
    response = app.test_client().get(f"/static/{name}")
    assert response.text == join(STATIC, name, lambda path: f"/static/{path}")
    assert response.mimetype in {"text/css", "text/javascript"}
