"""Colours for code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pygments.lexers import get_lexer_by_name

from chatsite.devtools.design_tokens import contrast_ratio, read_colors
from chatsite.rendering.highlight import (
    CLASSES,
    COLORS,
    LANGUAGES,
    MAX_CODE_CHARS,
    build_stylesheet,
    highlight_code,
    language_name,
)
from tests.rendering.dom import parse_html

SHEET = Path(__file__).parents[2] / "static" / "css" / "highlight.css"
SAMPLE = "<?php # 'a' \"b\" // 1 */ <c d='e'> {f: g} \\h --i\n\tif x:\n  end\n\n"


@pytest.mark.parametrize("dark", [False, True])
def test_color_contrast_meets_wcag(dark: bool) -> None:
    known = read_colors(dark)
    for name in set(COLORS.values()):
        assert contrast_ratio(known[f"code-{name}"], known["code-bg"]) >= 4.5, name


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
def test_display_name_of_known_language(language: str, name: str) -> None:
    assert language_name(language) == name


def test_display_name_of_unknown_language_and_plain_text() -> None:
    assert (language_name("klingon"), language_name("text"), language_name("")) == ("klingon", "", "")


def test_served_stylesheet_is_up_to_date() -> None:
    assert SHEET.read_text(encoding="utf-8") == build_stylesheet()


def test_stylesheet_has_each_class_once() -> None:
    assert sorted(re.findall(r"code \.([a-z]+)", build_stylesheet())) == sorted(CLASSES)


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_highlighting_preserves_code_in_each_language(language: str) -> None:
    assert get_lexer_by_name(language).aliases[0] == language
    assert parse_html(highlight_code(SAMPLE, language)).text == SAMPLE


@pytest.mark.parametrize("alias", ["py", "js", "ts", "sh", "c++", "c#", "rb", "r", "yml", "latex", "dockerfile", "php"])
def test_common_language_aliases_are_highlighted(alias: str) -> None:
    assert '<i class="' in highlight_code("if (x) { return 'a'; } # \\a{b}\nFROM a\n<b>: 'c'\n", alias)


@pytest.mark.parametrize("language", ["", "klingon", "brainfuck", "Python", "../x", "a" * 1000])
def test_unknown_language_is_escaped_without_highlighting(language: str) -> None:
    assert highlight_code("if a < b:", language) == "if a &lt; b:"


def test_token_gets_class_of_nearest_styled_type() -> None:
    assert highlight_code("'''a'''", "python") == '<i class="s">&#39;&#39;&#39;a&#39;&#39;&#39;</i>'
    assert highlight_code("x", "python") == "x"


def test_php_is_highlighted_without_opening_tag() -> None:
    assert '<i class="k">' in highlight_code("return 1;", "php")


def test_too_long_code_is_not_highlighted() -> None:
    assert "<i" in highlight_code("1\n" * (MAX_CODE_CHARS // 2), "python")
    assert "<i" not in highlight_code("1\n" * (MAX_CODE_CHARS // 2 + 1), "python")


def test_highlighting_stops_at_time_limit() -> None:
    code = "1 + 2 < 3\n"
    html = highlight_code(code, "python", max_seconds=-1)
    assert html == '<i class="m">1</i> + 2 &lt; 3\n'
    assert highlight_code(code, "python").count("<i") == 3


@given(st.text(max_size=60), st.sampled_from(sorted(LANGUAGES)))
def test_highlighting_preserves_arbitrary_code(code: str, language: str) -> None:
    page = parse_html(highlight_code(code, language))
    assert page.text == code
    assert {element.attributes["class"] for element in page.iter_elements()} <= CLASSES
