"""What a whole message becomes."""

from __future__ import annotations

import re

import pytest

from chatsite.rendering import markdown
from chatsite.rendering.decoration import MAX_COLUMN_LINE, MAX_LIST_LINE, MAX_SHORT_LINE, Labels
from chatsite.rendering.markdown_parser import MAX_INLINE_CHARS, MAX_NESTING, MAX_SOURCE_CHARS
from tests.rendering.dom import parse_html
from tests.support.whole_texts import render_block, render_markdown


def texts(source: str, tag: str) -> list[str]:
    return [element.text for element in parse_html(render_markdown(source)).find_all(tag)]


@pytest.mark.parametrize("source", ["", "\n", " \n\t\n"])
def test_blank_source_renders_nothing(source: str) -> None:
    assert render_markdown(source).strip() == ""


def test_basic_markdown_syntax() -> None:
    html = render_markdown("**a** *b* ~~c~~ `d`\n\n---\n\n> e\n\n3. f\n")
    for part in (
        "<strong>a</strong>",
        "<em>b</em>",
        "<s>c</s>",
        '<code dir="auto">d</code>',
        "<hr>",
        '<blockquote dir="auto">',
        '<ol start="3" dir="auto">',
    ):
        assert part in html


def test_newline_becomes_line_break() -> None:
    assert "red<br>\nViolets" in render_markdown("Roses are red\nViolets are blue")


@pytest.mark.parametrize(
    ("source", "tag"),
    [("# a", "h3"), ("## a", "h4"), ("### a", "h5"), ("#### a", "h6"), ("###### a", "h6"), ("a\n===", "h3")],
)
def test_heading_levels_start_at_three(source: str, tag: str) -> None:
    assert [each.text for each in parse_html(render_block(source)).find_all(tag)] == ["a"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("# a\n\nText\n\n## b\n\n### c\n\n## d\n\n# e", [3, 4, 5, 4, 3]),
        ("## a\n\n### b\n\n## c", [3, 4, 3]),
        ("### a\n\n# b\n\n### c", [3, 3, 4]),
        ("\n\n#### a\n##### b\n###### c\n", [3, 4, 5]),
        ("# a\n## b\n### c\n#### d\n##### e\n###### f", [3, 4, 5, 6, 6, 6]),
        ("a\n===\n\nb\n---\n\n---\n\n### c", [3, 4, 5]),
        ("- a\n\n    # no heading\n\n```\n# none\n```\n\n#nor this\n\n## b", [3]),
        ("## [a]\n\n### b\n\n[a]: https://example.org", [3, 4]),
    ],
)
def test_heading_levels_are_not_skipped(source: str, expected: list[int]) -> None:
    assert [int(each) for each in re.findall(r"<h([3-6]) ", render_markdown(source))] == expected


def test_link_opens_new_tab_without_referrer() -> None:
    (link,) = parse_html(render_markdown('[a](https://example.org/?b=1&c=2 "d")')).find_all("a")
    assert link.attributes == {
        "href": "https://example.org/?b=1&c=2",
        "title": "d",
        "target": "_blank",
        "rel": "noopener noreferrer nofollow",
        "referrerpolicy": "no-referrer",
    }


@pytest.mark.parametrize("address", ["http://example.org", "HTTPS://example.org/a", "mailto:a@example.org"])
def test_web_and_mail_urls_become_links(address: str) -> None:
    assert texts(f"[a]({address})", "a") == ["a"]


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("see https://example.org.", "https://example.org"),
        ("(http://example.org/a?b=c&d=e#f)!", "http://example.org/a?b=c&d=e#f"),
        (
            "https://en.wikipedia.org/wiki/Bread_(disambiguation), or",
            "https://en.wikipedia.org/wiki/Bread_(disambiguation)",
        ),
        ("**https://example.org/a_b_c**", "https://example.org/a_b_c"),
        ("| a |\n|-|\n| https://example.org |\n", "https://example.org"),
        ("https://example.org/ñ", "https://example.org/ñ"),
        ("[https://example.org/a](https://example.org/b)", "https://example.org/a"),
    ],
)
def test_bare_urls_are_autolinked(source: str, address: str) -> None:
    assert texts(source, "a") == [address]


@pytest.mark.parametrize(
    "source",
    ["`https://example.org`", "https://", "https:///a", "ahttps://b.c", "ftp://example.org", "www.example.org"],
)
def test_other_text_is_not_autolinked(source: str) -> None:
    assert texts(source, "a") == []


@pytest.mark.parametrize("address", ["/logout", "a", "#a", "//example.org", "ftp://example.org", "tel:1", "https:"])
def test_other_url_schemes_stay_text(address: str) -> None:
    assert texts(f"[a]({address})", "a") == []
    assert f"[a]({address})" in parse_html(render_markdown(f"[a]({address})")).text


def test_link_reference_resolves_from_anywhere() -> None:
    source = "see [a]\n\nand [b]\n\n[a]: https://example.org/a\n\nthen\n\n[b]: https://example.org/b\n"
    assert texts(source, "a") == ["a", "b"]


def test_link_reference_does_not_leak_between_texts() -> None:
    render_markdown("see [a]\n\n[a]: https://example.org\n")
    assert texts("see [a]\n\n", "a") == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("![a *b*](https://example.org/c.png)", "a b"),
        ("![](https://example.org/c.png)", "https://example.org/c.png"),
        ("![a][b]\n\n[b]: https://example.org/c.png", "a"),
        ("![![a](https://example.org/d)](https://example.org/c.png)", "a"),
    ],
)
def test_image_becomes_link(source: str, name: str) -> None:
    page = parse_html(render_markdown(source))
    assert not page.find_all("img")
    assert [(a.text, a.attributes["href"]) for a in page.find_all("a")] == [(name, "https://example.org/c.png")]


def test_image_inside_link_becomes_link_text() -> None:
    page = parse_html(
        render_markdown("[![a](https://example.org/b.png) c](https://example.org/d) ![e](https://example.org/f)")
    )
    assert [(a.text, a.attributes["href"]) for a in page.find_all("a")] == [
        ("a c", "https://example.org/d"),
        ("e", "https://example.org/f"),
    ]


def test_code_block_has_language_and_copy_button() -> None:
    page = parse_html(render_markdown("```Python\nif a < b:\n    pass\n```"))
    (figure,) = page.find_all("figure")
    assert figure.attributes == {"class": "code"}
    assert [e.text for e in figure.find_all("span")] == ["Python"]
    save, button = figure.find_all("button")
    assert save.attributes == {"class": "download", "aria-label": "Download"}
    assert (button.attributes, button.text) == ({"class": "copy"}, "Copy")
    (pre,) = figure.find_all("pre")
    assert pre.attributes == {"dir": "ltr", "tabindex": "0", "role": "group", "aria-label": "Code: Python"}
    (code,) = pre.find_all("code")
    assert code.attributes == {"class": "language-python"}
    assert code.text == "if a < b:\n    pass\n"
    assert [e.attributes["class"] for e in code.find_all("i")] == ["k", "k"]


@pytest.mark.parametrize("info", ["", "klingon", "a" * 31, '"><script>', "../x", "<hx-partial>"])
def test_code_in_unknown_language_is_not_highlighted(info: str) -> None:
    (code,) = parse_html(render_markdown(f"~~~ {info}\nif a < b:\n~~~")).find_all("code")
    assert code.text == "if a < b:\n"
    assert not code.find_all("i")


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("x" * MAX_SHORT_LINE, None),
        ("x" * (MAX_SHORT_LINE + 1), "slim"),
        ("\t" * 10, "slim"),
        ("\u6f22" * 16, "slim"),
        ("x" * (MAX_LIST_LINE + 1), "narrow"),
        ("x" * (MAX_COLUMN_LINE + 1), ""),
    ],
)
def test_long_code_lines_get_wrap_checkbox(line: str, kind: str | None) -> None:
    page = parse_html(render_markdown(f"```\na\n{line}\n```"))
    is_long = kind is not None
    assert [e.attributes.get("class", "") for e in page.find_all("label")] == ([kind] if is_long else [])
    assert [e.text for e in page.find_all("label")] == (["Wrap"] if is_long else [])
    assert [e.attributes["type"] for e in page.find_all("input")] == (["checkbox"] if is_long else [])


def test_task_list_items_become_checkbox_images() -> None:
    page = parse_html(render_markdown("- [ ] a\n- [x] b [ ] c\n- [X]\td\n- [] e\n- [ ]\n\n1. [ ] *f*\n"))
    boxes = [e.attributes for e in page.find_all("span")]
    assert [(e["role"], e["aria-label"]) for e in boxes] == [
        ("img", "To do"),
        ("img", "Done"),
        ("img", "Done"),
        ("img", "To do"),
    ]
    assert [item.text.strip() for item in page.find_all("li")] == ["a", "b [ ] c", "d", "[] e", "[ ]", "f"]


def test_code_without_language_is_labeled_code() -> None:
    page = parse_html(render_markdown("    a\n"))
    assert [e.text for e in page.find_all("span")] == ["Code"]
    assert page.find_all("pre")[0].attributes["aria-label"] == "Code"
    assert page.find_all("code")[0].attributes == {}


def test_code_blocks_keep_their_languages() -> None:
    page = parse_html(render_markdown("- ```sql\n  a\n  ```\n- b\n\n      c\n\n> ```go\n> d\n> ```\n"))
    assert [e.attributes["aria-label"] for e in page.find_all("pre")] == ["Code: SQL", "Code", "Code: Go"]


def test_html_inside_code_creates_no_elements() -> None:
    source = "```html\n<pre><code>a</code></pre><table></table>\n```\n\n`<pre><code>` and </code></pre> <table>"
    page = parse_html(render_markdown(source))
    assert len(page.find_all("figure")) == len(page.find_all("pre")) == 1
    assert not page.find_all("table")
    assert "<pre><code>a</code></pre><table></table>\n" in page.text


def test_table_scrolls_in_own_container() -> None:
    page = parse_html(render_markdown("|a|b|c|\n|:-|-:|:-:|\n|1|2|3|\n"))
    outer, box = page.find_all("div")
    assert outer.attributes == {"class": "table"}
    assert [button.attributes["class"] for button in outer.find_all("button")] == ["copy"]
    assert box.attributes == {
        "class": "table-scroll",
        "tabindex": "0",
        "role": "group",
        "aria-label": "Table: a, b, c",
    }
    assert [cell.attributes.get("align") for cell in box.find_all("td")] == ["left", "right", "center"]
    assert [cell.text for cell in box.find_all("th")] == ["a", "b", "c"]


def test_table_is_named_by_header_cells() -> None:
    source = '| |**Day** & "night"|`<b>`|$E$|\n|-|-|-|-|\n|1|2|3|4|\n\n| | |\n|-|-|\n|1|2|\n\n|{}|\n|-|\n|1|\n'
    page = parse_html(render_markdown(source.format("long " * 40)))
    names = [str(box.attributes["aria-label"]) for box in page.find_all("div") if "table-scroll" in str(box.attributes)]
    assert names[:2] == ['Table: Day & "night", <b>, E', "Table"]
    assert names[2].endswith("…")
    assert len(names[2]) < 100
    # Cells without words are no headers, wherever they stand.
    assert [cell.text.strip() for cell in page.find_all("th")][:3] == ['Day & "night"', "<b>", "EE"]
    assert len(page.find_all("td")) == 4 + 1 + 2 + 2 + 1


def test_table_in_list_scrolls() -> None:
    boxes = parse_html(render_markdown("- a\n\n  |a|\n  |-|\n  |1|\n")).find_all("div")
    assert [box.attributes["class"] for box in boxes] == ["table", "table-scroll"]


def test_only_top_level_blocks_have_dir_attribute() -> None:
    page = parse_html(render_markdown("a\n\n- b\n\n  c\n- d\n\n> e\n\n# f\n"))
    assert [e.tag for e in page.iter_elements() if "dir" in e.attributes] == ["p", "ul", "blockquote", "h3"]


def test_labels_are_escaped() -> None:
    labels = Labels(copy='<b>"K"</b>', download='D"><', code='C"><', table='T"><')
    page = parse_html(render_markdown("```\na\n```\n\n|a|\n|-|\n", labels))
    assert page.find_all("button")[1].text == '<b>"K"</b>'
    assert page.find_all("button")[0].attributes["aria-label"] == 'D"><'
    assert page.find_all("pre")[0].attributes["aria-label"] == 'C"><'
    assert page.find_all("div")[1].attributes["aria-label"] == 'T"><: a'


def test_cache_separates_labels() -> None:
    source = "```\nthe same\n```\n"
    german, english = Labels(copy="Kopieren"), Labels(copy="Copy")
    found = [
        parse_html(render_markdown(source, labels)).find_all("button")[1].text for labels in (german, english, german)
    ]
    assert found == ["Kopieren", "Copy", "Kopieren"]


def test_cache_separates_highlighting() -> None:
    source = "```python\nif x:\n```\n"
    found = [len(parse_html(render_block(source, highlight=on)).find_all("i")) for on in (True, False, True)]
    assert found == [1, 0, 1]


def test_only_finished_small_blocks_are_cached() -> None:
    markdown._render_cached.cache_clear()
    render_block("a finished block")
    render_block("a finished block")
    assert markdown._render_cached.cache_info()[:2] == (1, 1)
    render_block("an open block", highlight=False)
    render_block("b" * (markdown.MAX_CACHED_CHARS + 1))
    assert markdown._render_cached.cache_info().currsize == 1


def test_invalid_characters_are_replaced() -> None:
    assert render_markdown("a\x00b\x1bc\ud800d") == render_markdown("a\ufffdb\ufffdc\ufffdd")
    assert "a\ufffdb" in render_markdown("a\x00b")


def test_line_endings_are_normalized() -> None:
    assert render_markdown("# a\r\n\r\nb\rc") == render_markdown("# a\n\nb\nc")


def test_unclosed_fence_is_code() -> None:
    (code,) = parse_html(render_block("```python\nif a", highlight=False)).find_all("code")
    assert (code.text, code.find_all("span")) == ("if a", [])


@pytest.mark.parametrize("container", ["> ", "- ", "1. ", "- > "])
def test_too_deep_nesting_is_shown_as_source(container: str) -> None:
    source = container * MAX_NESTING + "the end"
    page = parse_html(render_markdown("before\n\n" + source))
    assert page.find_all("code")[0].text == source
    assert [e.text for e in page.find_all("p")] == ["before"]


def test_text_after_deep_block_is_kept() -> None:
    for container in ("> ", "- "):
        words = parse_html(render_markdown(container * MAX_NESTING + "a\n\nb\n\n- c\n")).text
        assert [word for word in words.split() if word in "abc"] == ["a", "b", "c"]


def test_nesting_below_limit_is_rendered() -> None:
    page = parse_html(render_markdown("> " * (MAX_NESTING - 1) + "the end"))
    assert len(page.find_all("blockquote")) == MAX_NESTING - 1
    assert page.find_all("p")[0].text == "the end"


def test_text_is_kept_at_every_depth() -> None:
    for depth in range(1, MAX_NESTING + 3):
        for container in ("> ", "- ", "- > ", "> - "):
            assert "the end" in render_markdown(container * depth + "the end")


def test_too_long_paragraph_is_shown_as_plain_text() -> None:
    source = "**a** <b> " * (MAX_INLINE_CHARS // 10 + 1)
    (paragraph,) = parse_html(render_markdown(source)).find_all("p")
    assert paragraph.text == source.strip()


def test_too_long_source_is_shown_verbatim() -> None:
    source = "# a\n\n" * (MAX_SOURCE_CHARS // 5 + 1)
    page = parse_html(render_markdown(source))
    assert (len(page.find_all("code")), page.find_all("code")[0].text) == (1, source)


PLAIN = ["[", "![", "*", "**a ", "`", ">", "> ", "- ", "_a", "<", "&", "\\", "|", "~", "[a]["]
MATHS = ["https://(", "https://a.b ", "$", "$$\n", "$x$ ", "\\(", "\\[\n", "\\begin{align}\n", "$\\frac"]


@pytest.mark.parametrize("unit", [*PLAIN, *MATHS])
def test_repeated_syntax_does_not_lose_following_text(unit: str) -> None:
    words = parse_html(render_markdown((unit * MAX_SOURCE_CHARS)[: MAX_SOURCE_CHARS - 20] + "\n\nthe end")).text
    assert words.rstrip().endswith("the end")
