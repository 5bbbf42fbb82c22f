"""Colours for code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pygments.lexers import get_lexer_by_name

from chatsite.rendering.highlight import CLASSES, COLOURS, LANGUAGES, MOST_CODE, called, highlight, stylesheet
from chatsite.web.tokens import colours, contrast

from .dom import parse

SHEET = Path(__file__).parents[2] / "static" / "css" / "highlight.css"
SAMPLE = "<?php # 'a' \"b\" // 1 */ <c d='e'> {f: g} \\h --i\n\tif x:\n  end\n\n"


@pytest.mark.parametrize("dark", [False, True])
def test_every_colour_can_be_read(dark: bool) -> None:
    known = colours(dark)
    for name in set(COLOURS.values()):
        assert contrast(known[f"code-{name}"], known["code-bg"]) >= 4.5, name


@pytest.mark.parametrize(
    ("language", "name"),
    [
        ("python", "Python"),
        ("py", "Python"),
        ("c++", "C++"),
        ("json", "JSON"),
        ("r", "R"),
        ("sh", "Bash"),
        ("js", "JavaScript"),
    ],
)
def test_a_language_has_the_name_that_people_use(language: str, name: str) -> None:
    assert called(language) == name


def test_another_language_is_called_as_it_is_written_and_plain_text_is_none() -> None:
    assert (called("klingon"), called("text"), called("")) == ("klingon", "", "")


def test_the_style_sheet_is_the_one_that_is_served() -> None:
    assert SHEET.read_text(encoding="utf-8") == stylesheet()


def test_the_style_sheet_has_each_class_once() -> None:
    assert sorted(re.findall(r"\.(hl-[a-z]+)", stylesheet())) == sorted(CLASSES)


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_each_language_keeps_the_code(language: str) -> None:
    assert get_lexer_by_name(language).aliases[0] == language
    assert parse(highlight(SAMPLE, language)).text == SAMPLE


@pytest.mark.parametrize("alias", ["py", "js", "ts", "sh", "c++", "c#", "rb", "r", "yml", "latex", "dockerfile", "php"])
def test_the_usual_names_are_known(alias: str) -> None:
    assert '<span class="hl-' in highlight("if (x) { return 'a'; } # \\a{b}\nFROM a\n<b>: 'c'\n", alias)


@pytest.mark.parametrize("language", ["", "klingon", "brainfuck", "Python", "../x", "a" * 1000])
def test_another_language_is_escaped(language: str) -> None:
    assert highlight("if a < b:", language) == "if a &lt; b:"


def test_a_token_has_the_class_of_its_nearest_coloured_kind() -> None:
    assert highlight("'''a'''", "python") == '<span class="hl-s">&#39;&#39;&#39;a&#39;&#39;&#39;</span>'
    assert highlight("x", "python") == "x"


def test_php_needs_no_opening_tag() -> None:
    assert "hl-k" in highlight("return 1;", "php")


def test_overlong_code_has_no_colours() -> None:
    assert "<span" in highlight("1\n" * (MOST_CODE // 2), "python")
    assert "<span" not in highlight("1\n" * (MOST_CODE // 2 + 1), "python")


def test_when_time_is_up_the_rest_has_no_colours() -> None:
    code = "1 + 2 < 3\n"
    html = highlight(code, "python", seconds=-1)
    assert html == '<span class="hl-m">1</span> + 2 &lt; 3\n'
    assert highlight(code, "python").count("<span") == 3


@given(st.text(max_size=60), st.sampled_from(sorted(LANGUAGES)))
def test_any_code_stays_what_it_is(code: str, language: str) -> None:
    page = parse(highlight(code, language))
    assert page.text == code
    assert {element.attributes["class"] for element in page.every()} <= CLASSES
