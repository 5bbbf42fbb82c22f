"""Compiled templates in the instance folder: found by the next process, never wrong, and never in the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
from jinja2 import DictLoader, Environment, environment

from chatsite.web.core import template_cache
from chatsite.web.core.template_cache import FOLDER, TemplateCache
from tests.conftest import close_app, make_app

SOURCE = {"page.html": "Hello {{ name }}"}


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the templates that were compiled."""
    names: list[str] = []
    compile_source = Environment.compile

    def note(self: Environment, source: str, name: str | None = None, *more: object, **options: object) -> object:
        names.append(str(name))
        return compile_source(self, source, name, *more, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(environment.Environment, "compile", note)
    return names


def write(folder: Path, source: dict[str, str] = SOURCE, **options: Any) -> str:
    """A page, as a new process would write it."""
    made = Environment(loader=DictLoader(source), autoescape=True, **options)
    made.bytecode_cache = TemplateCache(made, folder)
    return made.get_template("page.html").render(name="Ada")


def test_the_next_process_compiles_nothing(tmp_path: Path, compiled: list[str]) -> None:
    assert [write(tmp_path / "cache") for _ in range(3)] == ["Hello Ada"] * 3
    assert compiled == ["page.html"]
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("what", ["source", "options", "extensions", "jinja", "code"])
def test_what_decides_on_the_result_has_it_compiled_anew(
    tmp_path: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    write(tmp_path / "cache")
    source = SOURCE
    options: dict[str, Any] = {}
    if what == "source":
        source = {"page.html": "Goodbye {{ name }}"}
    elif what == "options":
        options = {"trim_blocks": True}
    elif what == "extensions":
        options = {"extensions": ["jinja2.ext.do"]}
    elif what == "jinja":
        monkeypatch.setattr(jinja2, "__version__", "99.0")
    else:
        monkeypatch.setattr(template_cache, "_versions_in_key", lambda: ["chatsite/filters.py 1 2"])
    assert write(tmp_path / "cache", source, **options) == ("Goodbye Ada" if what == "source" else "Hello Ada")
    assert len(compiled) == 2
    # It took the place of the other one.
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize("cut", [0, 5, 40, 120])
def test_a_damaged_file_is_written_anew(tmp_path: Path, compiled: list[str], cut: int) -> None:
    write(tmp_path / "cache")
    [file] = (tmp_path / "cache").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:cut] + b"\xff" * 8)
    assert write(tmp_path / "cache") == "Hello Ada"
    assert file.read_bytes() == whole
    assert len(compiled) == 2


def test_a_folder_that_cannot_be_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert write(tmp_path / "file" / FOLDER) == "Hello Ada"
    assert write(tmp_path / "file") == "Hello Ada"


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("Read-only file system")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    assert write(tmp_path / "cache") == "Hello Ada"
    assert list((tmp_path / "cache").iterdir()) == []


def test_sites_find_what_others_compiled(tmp_path: Path, compiled: list[str]) -> None:
    pages = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / "shared").mkdir(exist_ok=True)
        (tmp_path / name / FOLDER).symlink_to(tmp_path / "shared")
        app = make_app(tmp_path / name)
        response = app.test_client().get("/shortcuts")
        assert response.status_code == 200
        pages.append(len(response.text))
        close_app(app)
        if name == "one":
            assert compiled
            compiled.clear()
    assert compiled == []
    assert pages[0] == pages[1]


def test_with_the_debugger_templates_are_compiled_at_each_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_DEBUG", "1")
    app = make_app(tmp_path)
    assert app.jinja_env.bytecode_cache is None
    close_app(app)
