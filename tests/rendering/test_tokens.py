"""Tokens as HTML: nothing in them is markup, and taking the tags away gives the text back."""

from __future__ import annotations

import html
import re

from hypothesis import given
from hypothesis import strategies as st

from chatsite.rendering.tokens import tokens


def test_what_is_white_is_marked() -> None:
    assert tokens(["a", " b\n"]) == '<span>a</span><span><i> </i>b<i class="return">\n</i></span>'
    assert tokens(["\t"]) == '<span><i class="tab">\t</i></span>'
    assert tokens([]) == ""


def test_markup_is_text() -> None:
    assert tokens(["<img", " src=x", "&amp;"]) == (
        "<span>&lt;img</span><span><i> </i>src=x</span><span>&amp;amp;</span>"
    )


@given(st.lists(st.text(min_size=1)))
def test_the_text_is_still_there(pieces: list[str]) -> None:
    made = tokens(pieces)
    assert html.unescape(re.sub(r"<[^>]*>", "", made)) == html.unescape(html.escape("".join(pieces)))
    assert made.count("<span>") == len(pieces)
