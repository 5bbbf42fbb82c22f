"""Styles and scripts: many files to read, one of each kind to fetch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest
from werkzeug.test import TestResponse
from whitenoise.compress import Compressor

from chatsite import create_app
from chatsite.settings import ROOT
from chatsite.web.core.assets import BUNDLES, ON_DEMAND, Assets, build_bundle, bundle_files, strip_comments
from tests.support.web_fixtures import WebClient

STATIC = ROOT / "static"


def test_every_style_and_script_is_in_a_bundle() -> None:
    joined = {path for bundle in BUNDLES for path in bundle_files(STATIC, bundle)}
    assert {
        *(STATIC / "css").rglob("*.css"),
        *(STATIC / "js").glob("*.js"),
        *(STATIC / "vendor").glob("*.js"),
    } <= joined


def test_css_layers_are_declared_first() -> None:
    css = build_bundle(STATIC, "app.css", str)
    assert css.startswith("@layer tokens, base, layout, components, prose, low-window, print;")
    used = set(re.findall(r"@layer (\w+) \{", css))
    assert used <= set(re.findall(r"\w+", css.split(";")[0])) - {"layer"}


def served(alice: WebClient, address: str) -> TestResponse:
    """A file as it is sent, read to its end."""
    return alice.client.get(address, buffered=True)


def test_stylesheet_references_hashed_font_urls(alice: WebClient) -> None:
    css = served(alice, re.findall(r'href="(/static/app\.\w{8}\.css)"', alice.get("/").text)[0]).text
    fonts = re.findall(r'url\("([^"]+\.woff2)"\)', css)
    assert fonts
    for address in fonts:
        # Relative to the style sheet, since the site may be in a sub-path.
        response = served(alice, urljoin("/static/app.css", address))
        assert response.status_code == 200
        assert "immutable" in response.headers["Cache-Control"]


def test_script_comments_and_indentation_are_stripped() -> None:
    assert strip_comments("// Why.\nif (a) {\n  // Because.\n  b(`x`); // c\n\n}\n") == "if (a) {\nb(`x`); // c\n}\n"


def test_scripts_on_demand_are_imported_by_hashed_urls(alice: WebClient) -> None:
    names = {path.name for path in (STATIC / "js" / ON_DEMAND).iterdir()}
    found = set()
    for page in ("/", "/shared/nothing"):
        bundle = re.findall(r'src="(/static/(?:app|public)\.\w{8}\.js)"', alice.get(page).text)[0]
        known: set[str] = set()
        waiting = [bundle]
        while waiting:
            address = waiting.pop()
            response = served(alice, address)
            assert response.status_code == 200
            assert "immutable" in response.headers["Cache-Control"]
            assert not re.search(r"^\s*//", response.text, re.MULTILINE)
            # What is loaded on demand may import more.
            imports = re.findall(r'(?:import\(|from )"([^"]+)"', response.text)
            lazy = re.findall(r'lazy\("([^"]+)"\)', response.text)
            imported = {urljoin(address, each) for each in [*imports, *(f"js/{ON_DEMAND}/{name}.js" for name in lazy)]}
            waiting += imported - known
            known |= imported
        found |= {re.sub(r"\.\w{8}\.", ".", each).rpartition("/")[2] for each in known}
    # Two pages name their scripts themselves: `test_printing.py`, `test_transfer_routes.py`.
    assert found == names - {"print.js", "upload.js"}


@pytest.mark.parametrize("path", sorted((STATIC / "js").rglob("*.js")), ids=lambda path: path.name)
def test_script_has_no_multiline_template_literals(path: Path) -> None:
    """A template of several lines would lose what its lines are indented by."""
    assert all(line.count("`") % 2 == 0 for line in path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("name", BUNDLES)
def test_debug_mode_builds_bundle_per_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("FLASK_DEBUG", "1")
    app = create_app({"INSTANCE": tmp_path, "DEFAULT_MODEL": "scripted", "LOG_LEVEL": "error"})
    response = app.test_client().get(f"/static/{name}")
    assert response.text == build_bundle(STATIC, name, str)
    assert response.mimetype in {"text/css", "text/javascript"}


def test_store_never_contains_unfinished_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Another process that starts at the same time lists the store, and would stumble over a file that goes again.
    store = tmp_path / "assets"
    seen: set[str] = set()

    class ListingCompressor(Compressor):
        def compress(self, path: str) -> Iterator[str]:
            seen.update(found.name for found in store.rglob("*") if found.is_file())
            assert store not in Path(path).parents
            return iter(list(super().compress(path)))

    monkeypatch.setattr("chatsite.web.core.assets.Compressor", ListingCompressor)
    assets = Assets(STATIC, store)
    assert seen
    assert all(re.search(r"\.\w{8}\.\w+(\.gz|\.br)?$", name) for name in seen), seen
    assert (store / assets.hashed_name("app.css")).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["assets"]
