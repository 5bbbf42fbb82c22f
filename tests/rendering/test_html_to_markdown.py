"""HTML of an answer as Markdown: what a reader sees stays, and no input takes long."""

from __future__ import annotations

import pytest

from chatsite.rendering.html_to_markdown import html_to_markdown


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        ("<p>A long inlet.</p>", "A long inlet."),
        ("<h2>Title</h2>\n<p>One <b>two</b>\n <i>x</i> <code>y</code></p>", "## Title\n\nOne **two** *x* `y`"),
        ("<ul><li>a</li><li><p>b</p></li></ul>", "- a\n- b"),
        ("<ol><li>x</li><li>y<ul><li>z</li></ul></li></ol>", "1. x\n2. y\n   - z"),
        ('<pre><code class="language-python">print(1)\n```\n</code></pre>', "````python\nprint(1)\n```\n````"),
        ("<blockquote><p>q</p></blockquote><p>after</p>", "> q\n\nafter"),
        (
            "<table><thead><tr><th>A</th><th>B</th></tr></thead><tbody><tr><td>1</td><td>2</td></tr></tbody></table>",
            "| A | B |\n| --- | --- |\n| 1 | 2 |",
        ),
        ('<a href="https://example.org/x">this</a>', "[this](<https://example.org/x>)"),
        ('<a href="javascript:alert(1)">that</a>', "that"),
        ("one<br>two<script>alert(1)</script><hr>three &lt;b&gt; &amp;", "one\ntwo\n\n---\n\nthree <b> &"),
        ('<img src="x.png" alt="A cat"> <img src="y.png">', "[A cat] [image]"),
        ("", ""),
        ("<p>not closed", "not closed"),
    ],
)  # fmt: skip
def test_html_becomes_markdown(html: str, markdown: str) -> None:
    assert html_to_markdown(html) == markdown


@pytest.mark.parametrize("piece", ["<div>", "<ul><li>", "<blockquote>", "<b><i>"])
def test_deep_html_keeps_its_text_only(piece: str) -> None:
    assert html_to_markdown(piece * 50_000 + "text &amp; more") == "text & more"
