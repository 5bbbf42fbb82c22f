"""What every template can use without being given it: a short list, and nothing that asks the database for one page."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask_babel import Babel
from flask_wtf.csrf import CSRFProtect

from chatsite.settings import ROOT
from tests.conftest import close_app, make_app

MAX_GLOBALS = 14
# What a page shows are fields of its view; only what any element may need is here.
GLOBALS = {
    "asset",
    "current_path",
    "current_url",
    "dom_id",
    "languages",
    "locale",
    "max_message_chars",
    "message_url",
    "new_idempotency_key",
    "preferences",
    "requested_frame",
    "shortcut_attrs",
    "timezone_cookie",
    "ui",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """A site as it is in production."""
    made = make_app(tmp_path_factory.mktemp("globals"))
    yield made
    close_app(made)


def framework_globals() -> set[str]:
    """The names that Flask and its extensions give to templates."""
    bare = Flask("bare", template_folder=str(ROOT / "templates"))
    bare.config["SECRET_KEY"] = "bare"
    Babel(bare)
    CSRFProtect(bare)
    return set(bare.jinja_env.globals)


def test_globals_of_templates_are_those_of_the_list(site: Flask) -> None:
    own = set(site.jinja_env.globals) - framework_globals()
    assert own == GLOBALS
    assert len(GLOBALS) <= MAX_GLOBALS


def test_tools_of_developers_are_not_imported_in_production(tmp_path: Path) -> None:
    program = (
        "import sys; from chatsite import create_app; create_app({'LOG_LEVEL': 'error'}); "
        "sys.exit(any(name.startswith('chatsite.devtools') for name in sys.modules))"
    )
    environment = {**os.environ, "CHATSITE_INSTANCE": str(tmp_path), "CHATSITE_STYLEGUIDE": "0", "FLASK_DEBUG": "0"}
    assert subprocess.run([sys.executable, "-c", program], env=environment, cwd=ROOT).returncode == 0


def test_macros_are_imported_without_what_surrounds_them() -> None:
    """What an element needs are its arguments."""
    templates = (ROOT / "templates").rglob("*.html")
    assert [path.name for path in templates if "with context" in path.read_text(encoding="utf-8")] == []
