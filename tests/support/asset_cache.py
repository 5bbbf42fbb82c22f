"""Compressed assets and compiled templates that all sites of a test run share.

Creating them takes half a second, and a test run creates thousands of sites.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from werkzeug.routing import Rule

SHARED = ("assets", "template_cache")
# Set by the first process, so that its child processes use the same folder.
VARIABLE = "CHATSITE_TEST_STORE"


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


def share_assets(instance: Path) -> None:
    """Link the assets and templates of other sites into a new instance folder."""
    instance.mkdir(parents=True, exist_ok=True)
    for name in SHARED:
        shared, own = store() / name, instance / name
        shared.mkdir(mode=0o700, exist_ok=True)
        if not own.exists():
            own.symlink_to(shared, target_is_directory=True)
