"""Questions: code and formulas are set, everything else is what was typed, and nothing takes long."""

from __future__ import annotations

import time

import pytest

from chatsite.rendering.decoration import ENGLISH, decorate_block
from chatsite.rendering.markdown import Detail
from chatsite.rendering.process.render_budget import RenderBudget
from chatsite.rendering.process.renderer import Renderer
from chatsite.rendering.questions import needs_rendering, sanitize_question
from tests.rendering.dom import parse_html

MIXED = "Why **is** `a*b`\n\n  > so slow?\n```python\nprint('<b>')\n```\n# And $E = mc^2$ costs $5 or $6"


def test_code_and_formulas_are_set_and_the_rest_stays() -> None:
    block = sanitize_question(MIXED, Detail.COLORS)
    page = parse_html(decorate_block(block, ENGLISH))
    assert {element.tag for element in page.iter_elements()} & {"strong", "blockquote", "h3", "p", "br", "b"} == set()
    assert [code.text for code in page.find_all("code")] == ["a*b", "print('<b>')\n"]
    assert len(page.find_all("figure")) == len(page.find_all("math")) == 1
    assert block.html.startswith("Why **is** <code")
    assert "</code>\n\n  &gt; so slow?<pre>" in block.html
    assert block.html.endswith(" costs $5 or $6")
    assert block.code_blocks[0].language == "python"


@pytest.mark.parametrize(
    "text", ["```\nnot closed", "~~~a\n```\n", "one ` only", "$5 and $6", "\\* \\` \\$", "<b> & \"'", "a\r\nb\n\n\n c"]
)
def test_what_is_neither_stays_as_it_was_typed(text: str) -> None:
    page = parse_html(sanitize_question(text, Detail.COLORS).html)
    assert list(page.iter_elements()) == [page] or not list(page.iter_elements())
    assert page.text == text.replace("\r\n", "\n")


def test_plain_questions_are_not_rendered() -> None:
    assert not needs_rendering("Why is **this** slow?\n# 1 & 2 <b> ~~no~~")
    assert not needs_rendering("`" * 100_001)
    assert all(map(needs_rendering, ("`a`", "$x$", "\\(x\\)", "\\[x\\]", "~~~\na\n~~~")))


@pytest.mark.parametrize(
    "text", ["```a\n" * 20_000, "~~~\n```a\n" * 10_000, "`a" * 2500, "$x" * 2500, "\\(" * 2500, "`" * 5000]
)
def test_no_question_takes_long(text: str) -> None:
    started_at = time.process_time()
    sanitize_question(text, Detail.COLORS)
    assert time.process_time() - started_at < 2


def test_less_detail_has_the_same_words() -> None:
    for detail in Detail:
        words = parse_html(sanitize_question("`a` **b**\n```\nc\n```\n", detail).html).text
        assert "**b**" in words
        assert "c\n" in words
    assert sanitize_question(MIXED, Detail.SOURCE).code_blocks == ()


def test_process_renders_question_within_budget() -> None:
    renderer = Renderer()
    try:
        budget = RenderBudget()
        assert renderer.render_question(MIXED, budget) == sanitize_question(MIXED, Detail.COLORS)
        # The same text as an answer is another one.
        assert "<strong>" in renderer.render_text(MIXED, budget)[0].html
        spent = RenderBudget(seconds=0)
        assert renderer.render_question(f"{MIXED}!", spent).html.startswith("Why **is** `a*b`")
    finally:
        renderer.close()
