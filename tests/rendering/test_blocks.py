"""A text that grows block by block ends as the text that is rendered at once."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from chatsite.rendering import markdown
from chatsite.rendering.blocks import BlockStream, split
from chatsite.rendering.markdown import ENGLISH, render, render_block
from chatsite.rendering.parser import tidy

from .dom import parse

# A definition of a link reference needs "]:", which these pieces cannot make.
PIECES = [
    "a",
    "b c",
    " ",
    "  ",
    "    ",
    "\t",
    "\n",
    "\n\n",
    "\r\n",
    "*",
    "**",
    "_",
    "~~",
    "`",
    "```",
    "```py\n",
    "~~~",
    "- ",
    "+ ",
    "1. ",
    "2) ",
    "> ",
    "# ",
    "## ",
    "===",
    "---",
    "***",
    "|",
    "|-|",
    "| a | b |\n|--|--|\n",
    "a | b\n",
    "-|-\n",
    "[a](https://b)",
    "![a](https://b)",
    "<div>",
    "</div>",
    "<!--",
    "<pre>",
    "<https://a>",
    "$",
    "$$",
    "$$\n",
    "$x$",
    "\\[",
    "\\]",
    "\\(x\\)",
    "\\begin{align}",
    "\\end{align}\n",
    "x = 1",
    "- [ ] ",
    "&amp;",
    "\\",
    "é",
    "\x00",
]
DOCUMENTS = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)
WITH_REFERENCES = st.lists(st.sampled_from([*PIECES, "[a]: https://b\n", "\n[a]\n"]), max_size=20).map("".join)


@st.composite
def pieces(draw: st.DrawFn) -> list[str]:
    """A document, cut anywhere."""
    source = draw(DOCUMENTS)
    borders = sorted(draw(st.lists(st.integers(0, len(source)), max_size=12)))
    return [source[a:b] for a, b in zip([0, *borders], [*borders, len(source)], strict=True)]


def at_once(source: str) -> Markup:
    """Render without cutting."""
    return markdown._dress(markdown._clean(tidy(source), True, {}), ENGLISH, 0)


def plain_levels(html: str) -> str:
    """The same with all headings on one level."""
    return re.sub(r"(</?)h[3-6]\b", r"\1h3", html)


def shown(stream: BlockStream) -> Markup:
    """Render as a page does that follows the stream."""
    return Markup("").join([*map(render_block, stream.finished), render_block(stream.open)])


@given(pieces())
def test_a_stream_ends_as_the_whole_text(parts: list[str]) -> None:
    stream = BlockStream()
    for part in parts:
        stream.feed(part)
    assert shown(stream) == at_once("".join(parts))


@given(DOCUMENTS)
def test_a_stream_of_single_characters_ends_as_the_whole_text(source: str) -> None:
    stream = BlockStream()
    for character in source:
        stream.feed(character)
    assert shown(stream) == at_once(source)


@given(pieces())
def test_the_open_end_is_enough_at_every_moment(parts: list[str]) -> None:
    stream = BlockStream()
    for i, part in enumerate(parts):
        before = list(stream.finished)
        new = stream.feed(part)
        assert stream.finished == before + new
        assert shown(stream) == at_once("".join(parts[: i + 1]))


@given(WITH_REFERENCES)
def test_rendering_in_blocks_is_rendering_at_once(source: str) -> None:
    # The levels of headings are the only thing that a text gives to its blocks.
    assert plain_levels(render(source)) == plain_levels(at_once(source))


@given(WITH_REFERENCES)
def test_cutting_loses_nothing(source: str) -> None:
    finished, tail = split(source)
    assert "".join(finished) + tail == tidy(source)


@given(pieces())
def test_the_stream_counts_what_it_was_fed(parts: list[str]) -> None:
    stream = BlockStream()
    text = ""
    for part in parts:
        text += part
        stream.feed(text[stream.length :])
    assert stream.length == len(text)
    assert (stream.finished, tidy(stream.open)) == split(text)


@pytest.mark.parametrize(
    ("source", "finished", "tail"),
    [
        ("", [], ""),
        ("a", [], "a"),
        ("a\n", [], "a\n"),
        ("a\n\n", [], "a\n\n"),
        ("a\n\nb", [], "a\n\nb"),
        ("a\n\nb\n", ["a\n\n"], "b\n"),
        ("# a\n# b\nc", ["# a\n"], "# b\nc"),
        ("\n\n\na\n\nb\n", ["\n\n\na\n\n"], "b\n"),
        ("- a\n\n- b\n", [], "- a\n\n- b\n"),
        ("- a\n  - b\n\n    c\n- d\n", [], "- a\n  - b\n\n    c\n- d\n"),
        ("- a\n* b\n", ["- a\n"], "* b\n"),
        ("```\na\n\n# b\n", [], "```\na\n\n# b\n"),
        ("```\na\n```\nb\n", ["```\na\n```\n"], "b\n"),
        ("a\n===\nb\n", ["a\n===\n"], "b\n"),
        ("|a|\n|-|\n|b|\n", [], "|a|\n|-|\n|b|\n"),
        ("|a|\n|-|\n|b|\n\nc\n", ["|a|\n|-|\n|b|\n\n"], "c\n"),
        ("<div>\n\n<b>\n", ["<div>\n\n"], "<b>\n"),
        ("a\r\n\r\nb\r\n", ["a\n\n"], "b\n"),
        ("*a*\n\n*", [], "*a*\n\n*"),
    ],
)
def test_every_block_but_the_last_is_finished(source: str, finished: list[str], tail: str) -> None:
    assert split(source) == (finished, tail)


def test_only_whole_lines_decide() -> None:
    stream = BlockStream()
    assert stream.feed("a\n\n*") == []
    assert stream.feed("*b**") == []
    assert stream.feed("\n") == ["a\n\n"]
    assert stream.open == "**b**\n"


def test_a_line_end_may_be_torn_apart() -> None:
    stream = BlockStream()
    assert [stream.feed(part) for part in ("a\r", "\n\r", "\nb\r", "\n")] == [[], [], [], ["a\n\n"]]


def test_an_open_fence_is_code_until_it_is_closed() -> None:
    stream = BlockStream()
    for line in ("text\n", "\n", "```python\n", "# no heading\n", "\n", "| no | table |\n"):
        stream.feed(line)
    (code,) = parse(render_block(stream.open, highlight=False)).all("code")
    assert code.text == "# no heading\n\n| no | table |\n"
    assert stream.feed("```\n") == []
    assert stream.feed("after\n") == ["```python\n# no heading\n\n| no | table |\n```\n"]


def test_a_paragraph_becomes_a_heading_or_a_table_while_it_is_open() -> None:
    for line, tag in (("===", "h3"), ("-", "h4"), ("-|-", "table")):
        stream = BlockStream()
        stream.feed("a | b\n")
        assert not parse(render_block(stream.open)).all(tag)
        stream.feed(line)
        assert parse(render_block(stream.open)).all(tag)


def test_a_reference_that_is_defined_later_waits_for_the_whole_text() -> None:
    source = "[a]\n\nb\n\n[a]: https://example.org\n"
    finished, _ = split(source)
    assert not parse(render_block(finished[0])).all("a")
    assert parse(render(source)).all("a")
