"""Functions and classes that nothing but a test uses: the linter cannot see them, because it reads the tests too."""

from __future__ import annotations

import ast
import re
from collections import Counter

from chatsite.settings import ROOT

FOLDERS = ("chatsite", "deploy", "scripts", "benchmarks", "migrations", "templates")
FILES = ("wsgi.py", "gunicorn.conf.py", "pyproject.toml", "babel.cfg", "Makefile")
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def test_functions_and_classes_are_used_outside_of_tests() -> None:
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".html"}]
    used = Counter[str]()
    for path in [*paths, *(ROOT / name for name in FILES)]:
        used.update(re.findall(r"\w+", path.read_text(encoding="utf-8")))
    # What has a decorator is used by whatever it registers with.
    unused = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in (ROOT / "chatsite").rglob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, DEFINITIONS) and not node.decorator_list and used[node.name] == 1
    ]
    assert unused == []
