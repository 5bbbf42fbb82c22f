"""Colours for code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pygments.lexers import get_lexer_by_name

from chatsite.rendering.highlight import CLASSES, COLOURS, LANGUAGES, MOST_CODE, highlight, stylesheet

from .dom import parse

SHEET = Path(__file__).parents[2] / "static" / "css" / "highlight.css"
LIGHT, DARK = "#f6f6f4", "#1b1b1d"
SAMPLE = "<?php # 'a' \"b\" // 1 */ <c d='e'> {f: g} \\h --i\n\tif x:\n  end\n\n"


def luminance(colour: str) -> float:
    """Relative luminance, https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(a: str, b: str) -> float:
    """Contrast ratio, https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""
    dark, light = sorted((luminance(a), luminance(b)))
    return (light + 0.05) / (dark + 0.05)


def test_the_measure_is_right() -> None:
    assert round(contrast("#000000", "#ffffff"), 2) == 21
    assert round(contrast("#777777", "#ffffff"), 2) == 4.48


@pytest.mark.parametrize("colours", sorted(set(COLOURS.values())))
def test_every_colour_can_be_read(colours: tuple[str, str]) -> None:
    assert contrast(colours[0], LIGHT) >= 4.5
    assert contrast(colours[1], DARK) >= 4.5


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
