"""Names are made of the words of `docs/glossary.md`; retired words do not come back."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from flask import Flask

from chatsite.settings import ROOT
from tests.support.identifiers import (
    PYTHON_FOLDERS,
    Identifier,
    iter_file_keys,
    iter_file_names,
    iter_placeholder_names,
    iter_python_names,
    iter_route_names,
    iter_script_names,
    iter_setting_names,
    iter_source_names,
    iter_style_names,
    iter_table_names,
    iter_template_names,
    words_of,
)

GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (.+?) \| (.+) \|$", re.MULTILINE)


def rows_below(heading: str) -> list[tuple[str, str]]:
    """The rows of the table below a heading: word and meaning."""
    section = re.split(r"^#+ ", GLOSSARY.partition(f" {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    return ROW.findall(section)[2:]


RETIRED_WORDS = {word: instead for words, instead in rows_below("Words") for word in words.split(", ")}
RETIRED_NAMES = {name: instead for names, instead in rows_below("Names") for name in re.findall(r"`(\w+)`", names)}


def retired_in(names: Iterable[Identifier]) -> list[str]:
    """What is retired among the names, with what to say instead."""
    found = []
    for place, name in sorted(set(names)):
        instead = [RETIRED_WORDS[word] for word in sorted(words_of(name) & RETIRED_WORDS.keys())]
        if instead or name in RETIRED_NAMES:
            found.append(f"{place}: {name} -> {RETIRED_NAMES.get(name) or ' '.join(instead)}")
    return found


def test_glossary_tables_are_read() -> None:
    assert RETIRED_WORDS["shelf"] == "model pool, archive"
    assert RETIRED_NAMES["Member"] == "`PoolEntry`"
    assert len(RETIRED_WORDS) > 60


@pytest.mark.parametrize("heading", ["Product", "Web", "Engine"])
def test_glossary_words_are_in_order(heading: str) -> None:
    words = [word.lower() for word, _ in rows_below(heading)]
    assert words == sorted(words)


def test_glossary_gives_each_word_one_meaning() -> None:
    words = [word for heading in ("Product", "Web", "Engine") for word, _ in rows_below(heading)]
    assert sorted(words) == sorted(set(words))
    assert not set(words) & RETIRED_WORDS.keys()


def test_retired_words_are_found_in_every_style_of_name() -> None:
    names = ["model_shelf", "ShelfError", "shelf-row", "SHELF_SIZE", "bookshelf"]
    found = retired_in(Identifier("somewhere", name) for name in names)
    assert len(found) == 4
    assert "model pool" in found[0]


@pytest.mark.parametrize("folder", PYTHON_FOLDERS)
def test_python_names_have_no_retired_word(folder: str) -> None:
    assert retired_in(iter_python_names(folder)) == []


def test_files_have_no_retired_word() -> None:
    assert retired_in(iter_file_names()) == []


def test_templates_have_no_retired_word() -> None:
    assert retired_in(iter_template_names()) == []


def test_styles_and_scripts_have_no_retired_word() -> None:
    assert retired_in([*iter_style_names(), *iter_script_names()]) == []


def test_settings_and_tables_have_no_retired_word() -> None:
    assert retired_in([*iter_setting_names(), *iter_file_keys(), *iter_table_names()]) == []


def test_placeholders_of_texts_have_no_retired_word() -> None:
    assert retired_in(iter_placeholder_names()) == []


def test_names_of_arguments_and_of_patterns_are_seen() -> None:
    source = "say(licence=1)\nmatch found:\n    case [manner, *caution]: pass\n    case {**shelf}: pass\n"
    assert {each.name for each in iter_source_names("here", source)} == {"licence", "manner", "caution", "shelf"}


def test_routes_have_no_retired_word(app: Flask) -> None:
    assert retired_in(iter_route_names(app)) == []
