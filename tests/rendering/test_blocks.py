"""A text that grows block by block ends as the text that is rendered at once."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from chatsite.rendering import markdown
from chatsite.rendering.blocks import BlockStream, split_blocks
from chatsite.rendering.decoration import ENGLISH, decorate_block
from chatsite.rendering.markdown import Detail
from chatsite.rendering.markdown_parser import normalize_source
from tests.rendering.dom import parse_html
from tests.support.whole_texts import render_block, render_markdown

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
    return decorate_block(markdown._render_sanitized(normalize_source(source), Detail.COLORS), ENGLISH)


def plain_levels(html: str) -> str:
    """The same with all headings on one level."""
    return re.sub(r"(</?)h[3-6]\b", r"\1h3", html)


def shown(stream: BlockStream) -> Markup:
    """Render as a page does that follows the stream."""
    return Markup("").join([*map(render_block, stream.finished), render_block(stream.open)])


@given(pieces())
def test_streamed_rendering_matches_full_rendering(parts: list[str]) -> None:
    stream = BlockStream()
    for part in parts:
        stream.feed(part)
    assert shown(stream) == at_once("".join(parts))


@given(DOCUMENTS)
def test_character_stream_rendering_matches_full_rendering(source: str) -> None:
    stream = BlockStream()
    for character in source:
        stream.feed(character)
    assert shown(stream) == at_once(source)


@given(pieces())
def test_partial_stream_rendering_matches_prefix_rendering(parts: list[str]) -> None:
    stream = BlockStream()
    for i, part in enumerate(parts):
        before = list(stream.finished)
        new = stream.feed(part)
        assert stream.finished == before + new
        assert shown(stream) == at_once("".join(parts[: i + 1]))


@given(WITH_REFERENCES)
def test_block_rendering_matches_full_rendering(source: str) -> None:
    # The levels of headings are the only thing that a text gives to its blocks.
    assert plain_levels(render_markdown(source)) == plain_levels(at_once(source))


@given(WITH_REFERENCES)
def test_split_preserves_all_text(source: str) -> None:
    finished, tail = split_blocks(source)
    assert "".join(finished) + tail == normalize_source(source)


@given(pieces())
def test_stream_length_matches_fed_text(parts: list[str]) -> None:
    stream = BlockStream()
    text = ""
    for part in parts:
        text += part
        stream.feed(text[stream.length :])
    assert stream.length == len(text)
    assert (stream.finished, normalize_source(stream.open)) == split_blocks(text)


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
def test_split_finishes_all_blocks_except_last(source: str, finished: list[str], tail: str) -> None:
    assert split_blocks(source) == (finished, tail)


def test_blocks_finish_only_at_line_end() -> None:
    stream = BlockStream()
    assert stream.feed("a\n\n*") == []
    assert stream.feed("*b**") == []
    assert stream.feed("\n") == ["a\n\n"]
    assert stream.open == "**b**\n"


def test_crlf_may_be_split_across_chunks() -> None:
    stream = BlockStream()
    assert [stream.feed(part) for part in ("a\r", "\n\r", "\nb\r", "\n")] == [[], [], [], ["a\n\n"]]


def test_unclosed_fence_renders_as_code() -> None:
    stream = BlockStream()
    for line in ("text\n", "\n", "```python\n", "# no heading\n", "\n", "| no | table |\n"):
        stream.feed(line)
    (code,) = parse_html(render_block(stream.open, highlight=False)).find_all("code")
    assert code.text == "# no heading\n\n| no | table |\n"
    assert stream.feed("```\n") == []
    assert stream.feed("after\n") == ["```python\n# no heading\n\n| no | table |\n```\n"]


def test_open_paragraph_can_become_heading_or_table() -> None:
    for line, tag in (("===", "h3"), ("-", "h4"), ("-|-", "table")):
        stream = BlockStream()
        stream.feed("a | b\n")
        assert not parse_html(render_block(stream.open)).find_all(tag)
        stream.feed(line)
        assert parse_html(render_block(stream.open)).find_all(tag)


def test_later_link_reference_resolves_only_in_full_text() -> None:
    source = "[a]\n\nb\n\n[a]: https://example.org\n"
    finished, _ = split_blocks(source)
    assert not parse_html(render_block(finished[0])).find_all("a")
    assert parse_html(render_markdown(source)).find_all("a")
