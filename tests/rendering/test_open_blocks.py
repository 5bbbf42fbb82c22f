"""What a text leaves open is closed, so that it does not swallow what is written below it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from chatsite.rendering import open_blocks
from chatsite.rendering.open_blocks import close_open_blocks

PIECES = ["```", "~~~", "````", "> ", "- ", "1. ", "   ", "\n", "\n\n", "x", "`", "<!--", "-->", "<pre>", "</pre>"]
PIECES += ["<div>", "<?", "?>", "    ", "<script>", "</script>", "<![CDATA[", "]]>", "<!X"]


def ends_with_heading(text: str) -> bool:
    """Return whether a heading below the text is one."""
    return MarkdownIt("commonmark").parse(f"{text}\n\n## Next")[-1].type == "heading_close"


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("Look:\n```python\nprint(1)", "```"),
        ("~~~~\n```\n", "~~~~"),
        ("<!-- x", "-->"),
        ("<pre>\nfoo\n\nbar", "</pre>"),
        ("<PRE\nid=x>", "</pre>"),
        ("<?php", "?>"),
        ("```\nclosed\n```", None),
        ("1. In a list\n   ```sh\n   ls", None),
        ("> ```\n> quoted", None),
        ("text <!-- no block", None),
        ("<div>\nends at the empty line", None),
        ("`` ```code`` ``", None),
        ("Plain", None),
    ],
)
def test_open_block_gets_its_end(text: str, end: str | None) -> None:
    assert close_open_blocks(text) == (f"{text.rstrip()}\n{end}" if end else text)


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_nothing_is_swallowed_whatever_the_text(text: str) -> None:
    assert ends_with_heading(close_open_blocks(text))


def test_long_text_is_not_parsed_and_still_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_blocks, "MAX_PARSED_CHARS", 10)
    for text in ("```\na\n````\n\n~~~\n```x", "a\n\n``` ` no fence\n\n```\nx", "~~~\n```\n~~~\nclosed text"):
        assert ends_with_heading(close_open_blocks(text))
