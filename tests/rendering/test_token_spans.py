"""Tokens as HTML: nothing in them is markup, and taking the tags away gives the text back."""

from __future__ import annotations

import html
import re

from hypothesis import given
from hypothesis import strategies as st

from chatsite.rendering.syntax.token_spans import render_tokens


def test_whitespace_is_marked() -> None:
    assert render_tokens(["a", " b\n"]) == '<span>a</span><span><i> </i>b<i class="token-return">\n</i></span>'
    assert render_tokens(["\t"]) == '<span><i class="token-tab">\t</i></span>'
    assert render_tokens([]) == ""


def test_tokens_are_escaped() -> None:
    assert render_tokens(["<img", " src=x", "&amp;"]) == (
        "<span>&lt;img</span><span><i> </i>src=x</span><span>&amp;amp;</span>"
    )


@given(st.lists(st.text(min_size=1)))
def test_tokens_preserve_text(pieces: list[str]) -> None:
    made = render_tokens(pieces)
    assert html.unescape(re.sub(r"<[^>]*>", "", made)) == html.unescape(html.escape("".join(pieces)))
    assert made.count("<span>") == len(pieces)
