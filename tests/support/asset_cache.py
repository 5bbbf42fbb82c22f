"""What all sites of a test run share: compressed assets, and compiled templates, routes and statements.

Creating them takes a second, and a test run creates thousands of sites.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.engine.default import DefaultDialect
from werkzeug.routing import Rule

SHARED = ("assets", "template_cache")
# Set by the first process, so that its child processes use the same folder.
VARIABLE = "CHATSITE_TEST_STORE"
STATEMENTS: dict[Any, Any] = {}


@cache
def store() -> Path:
    """Return the shared folder of the test run. The first process creates it, and removes it when it ends."""
    if VARIABLE not in os.environ:
        os.environ[VARIABLE] = tempfile.mkdtemp(prefix="chatsite-tests-")
        atexit.register(shutil.rmtree, os.environ[VARIABLE], ignore_errors=True)
    return Path(os.environ[VARIABLE])


def share_builders() -> None:
    """Compile the URL builder of each route only once per process, which is half of the time to create an app."""
    make = Rule._compile_builder
    kept: dict[tuple[object, ...], object] = {}

    def find(rule: Rule, append_unknown: bool = True) -> object:
        key = (rule.rule, rule.subdomain, rule.host, repr(rule.defaults), append_unknown)
        if key not in kept:
            kept[key] = make(rule, append_unknown)
        return kept[key]

    Rule._compile_builder = find  # type: ignore[method-assign,assignment]


def share_statements() -> None:
    """Take all dialects of one kind for the same, so that a statement compiled for one site is found by all others.

    Errors are still handled by the site in which they happen: each engine keeps its own dialect, with its listeners.
    """
    DefaultDialect.__eq__ = lambda own, other: type(own) is type(other)  # type: ignore[method-assign]
    DefaultDialect.__hash__ = lambda own: hash(type(own))  # type: ignore[method-assign,assignment]


def use_shared_statements(engine: Engine) -> None:
    """Let an engine take and keep its compiled statements where all engines of this process do."""
    engine.update_execution_options(compiled_cache=STATEMENTS)


def share_assets(instance: Path) -> None:
    """Link the assets and templates of other sites into a new instance folder."""
    instance.mkdir(parents=True, exist_ok=True)
    for name in SHARED:
        shared, own = store() / name, instance / name
        shared.mkdir(mode=0o700, exist_ok=True)
        if not own.exists():
            own.symlink_to(shared, target_is_directory=True)
