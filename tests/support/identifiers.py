"""Collect the names that the repository gives to things, from Python files to tables and addresses."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from babel.messages.pofile import read_po
from flask import Flask

from chatsite.database import Base
from chatsite.engine.catalog import custom_models, endpoints
from chatsite.settings import ROOT, SETTINGS

PYTHON_FOLDERS = ("chatsite", "deploy", "scripts", "benchmarks", "tests")
OTHER_FOLDERS = ("templates", "static/css", "static/js")
NAMED_SUFFIXES = {".py", ".c", ".h", ".html", ".css", ".js"}
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
NAME = re.compile(r"[A-Za-z_]\w*")
PLACEHOLDER = re.compile(r"%\((\w+)\)")


class Identifier(NamedTuple):
    """A name, and the file and line where it occurs."""

    place: str
    name: str


def words_of(name: str) -> set[str]:
    """Split a name in snake_case, CamelCase or kebab-case into its words, in lower case."""
    return {word.lower() for word in WORD.findall(name)}


def iter_python_names(folder: str) -> Iterator[Identifier]:
    """Iterate over the names in the Python files of a folder."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        yield from iter_source_names(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))


def iter_source_names(place: str, source: str) -> Iterator[Identifier]:
    """Iterate over the names that Python source defines, and over those of the arguments that it passes.

    These are functions, classes, parameters, variables, attributes, and keywords of calls.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                pass
            case ast.arg(arg=name) | ast.alias(asname=str(name)) | ast.keyword(arg=str(name)):
                pass
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                pass
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                pass
            case _:
                continue
        yield Identifier(f"{place}:{node.lineno}", name)


def iter_file_names() -> Iterator[Identifier]:
    """Iterate over modules, folders, templates, style sheets and scripts by the names of their files."""
    for folder in (*PYTHON_FOLDERS, *OTHER_FOLDERS):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in NAMED_SUFFIXES or (path.is_dir() and path.name != "__pycache__"):
                yield Identifier(str(path.relative_to(ROOT)), path.name.partition(".")[0])


def iter_template_names() -> Iterator[Identifier]:
    """Iterate over the names in the expressions of templates, and over their ids, classes and fields."""
    for path, number, line in _iter_lines("templates", "html", r"\{#.*?#\}"):
        place = f"{path}:{number}"
        for expression in re.findall(r"\{[{%](.*?)[%}]\}", line):
            yield from (Identifier(place, name) for name in NAME.findall(re.sub(r"\"[^\"]*\"|'[^']*'", "", expression)))
        for value in re.findall(r'\b(?:id|class|name|for)="([^"]*)"', re.sub(r"\{[{%].*?[%}]\}", "", line)):
            yield from (Identifier(place, name) for name in value.split())


def iter_style_names() -> Iterator[Identifier]:
    """Iterate over the classes, ids and custom properties of style sheets."""
    for path, number, line in _iter_lines("static/css", "css", r"/\*.*?\*/|url\([^)]*\)"):
        for name in re.findall(r"(?:[.#]|--)([a-zA-Z][\w-]*)", line):
            yield Identifier(f"{path}:{number}", name)


def iter_script_names() -> Iterator[Identifier]:
    """Iterate over the functions, classes, constants and parameters of scripts."""
    for path, number, line in _iter_lines("static/js", "js", r"//[^\n]*"):
        names = re.findall(r"(?:function|const|let|class)\s+([A-Za-z_]\w*)", line)
        groups = re.findall(r"(?:const|let)\s*[\[{]([^\]}=]*)[\]}]\s*=|\(([\w\s,]*)\)\s*(?:=>|\{)|(\w+)\s*=>", line)
        names += NAME.findall(" ".join(" ".join(group) for group in groups))
        yield from (Identifier(f"{path}:{number}", name) for name in names)


def iter_setting_names() -> Iterator[Identifier]:
    """Iterate over the settings, without their former names."""
    yield from (Identifier("chatsite/settings.py", setting.name) for setting in SETTINGS)


def iter_file_keys() -> Iterator[Identifier]:
    """Iterate over the keys that tables of `models.toml` may have, without their former names."""
    for module in (custom_models, endpoints):
        yield from (Identifier(f"models.toml: {module.__name__}", key) for key in module.ALLOWED_KEYS)


def iter_placeholder_names() -> Iterator[Identifier]:
    """Iterate over the placeholders of all texts that are translated."""
    with (ROOT / "chatsite/translations/es/LC_MESSAGES/messages.po").open("rb") as file:
        texts = [text for message in read_po(file) for text in (message.id, message.string) if text]
    for text in texts:
        for form in (text,) if isinstance(text, str) else text:
            yield from (Identifier(f"text “{form[:60]}”", name) for name in PLACEHOLDER.findall(form))


def iter_table_names() -> Iterator[Identifier]:
    """Iterate over the tables and their columns and indexes."""
    for table in Base.metadata.sorted_tables:
        yield Identifier("chatsite/models", table.name)
        names = [column.name for column in table.columns] + [str(index.name) for index in table.indexes]
        yield from (Identifier(f"chatsite/models: {table.name}", name) for name in names)


def iter_route_names(app: Flask) -> Iterator[Identifier]:
    """Iterate over the addresses, their parameters and endpoints, without redirects of old addresses."""
    for rule in app.url_map.iter_rules():
        if not rule.endpoint.startswith("old_addresses."):
            yield Identifier(f"route {rule.rule}", rule.endpoint)
            yield Identifier(f"route {rule.rule}", rule.rule)


def _iter_lines(folder: str, suffix: str, left_out: str) -> Iterator[tuple[Path, int, str]]:
    """Iterate over files, line numbers and lines, without text that matches `left_out`."""
    for path in sorted((ROOT / folder).rglob(f"*.{suffix}")):
        text = re.sub(left_out, _blank_lines, path.read_text(encoding="utf-8"), flags=re.DOTALL)
        yield from ((path.relative_to(ROOT), number, line) for number, line in enumerate(text.splitlines(), 1))


def _blank_lines(match: re.Match[str]) -> str:
    return "\n" * match[0].count("\n")
