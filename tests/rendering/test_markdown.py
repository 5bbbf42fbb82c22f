"""What a whole message becomes."""

from __future__ import annotations

import re

import pytest

from chatsite.rendering import markdown
from chatsite.rendering.markdown import COLUMN_LINE, LIST_LINE, SHORT_LINE, Labels, render, render_block
from chatsite.rendering.parser import MOST_INLINE, MOST_LEVELS, MOST_SOURCE

from .dom import parse


def texts(source: str, tag: str) -> list[str]:
    return [element.text for element in parse(render(source)).all(tag)]


@pytest.mark.parametrize("source", ["", "\n", " \n\t\n", "[a]: https://example.org\n"])
def test_nothing_to_show_is_nothing(source: str) -> None:
    assert render(source).strip() == ""


def test_it_knows_the_marks() -> None:
    html = render("**a** *b* ~~c~~ `d`\n\n---\n\n> e\n\n3. f\n")
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


def test_a_new_line_stays_a_new_line() -> None:
    assert "red<br>\nViolets" in render("Roses are red\nViolets are blue")


@pytest.mark.parametrize(
    ("source", "tag"),
    [("# a", "h3"), ("## a", "h4"), ("### a", "h5"), ("#### a", "h6"), ("###### a", "h6"), ("a\n===", "h3")],
)
def test_headings_stay_below_those_of_the_page(source: str, tag: str) -> None:
    assert [each.text for each in parse(render_block(source)).all(tag)] == ["a"]


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
def test_no_level_of_headings_is_left_out(source: str, expected: list[int]) -> None:
    assert [int(each) for each in re.findall(r"<h([3-6]) ", render(source))] == expected


def test_a_link_opens_elsewhere_and_says_nothing_about_where_it_was() -> None:
    (link,) = parse(render('[a](https://example.org/?b=1&c=2 "d")')).all("a")
    assert link.attributes == {
        "href": "https://example.org/?b=1&c=2",
        "title": "d",
        "target": "_blank",
        "rel": "noopener noreferrer nofollow",
        "referrerpolicy": "no-referrer",
    }


@pytest.mark.parametrize("address", ["http://example.org", "HTTPS://example.org/a", "mailto:a@example.org"])
def test_web_and_mail_addresses_are_links(address: str) -> None:
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
def test_an_address_in_the_text_is_a_link(source: str, address: str) -> None:
    assert texts(source, "a") == [address]


@pytest.mark.parametrize(
    "source",
    ["`https://example.org`", "https://", "https:///a", "ahttps://b.c", "ftp://example.org", "www.example.org"],
)
def test_other_text_is_no_link(source: str) -> None:
    assert texts(source, "a") == []


@pytest.mark.parametrize("address", ["/logout", "a", "#a", "//example.org", "ftp://example.org", "tel:1", "https:"])
def test_other_addresses_stay_text(address: str) -> None:
    assert texts(f"[a]({address})", "a") == []
    assert f"[a]({address})" in parse(render(f"[a]({address})")).text


def test_a_reference_is_found_wherever_it_is_defined() -> None:
    source = "see [a]\n\nand [b]\n\n[a]: https://example.org/a\n\nthen\n\n[b]: https://example.org/b\n"
    assert texts(source, "a") == ["a", "b"]


def test_a_reference_does_not_reach_another_text() -> None:
    render("see [a]\n\n[a]: https://example.org\n")
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
def test_an_image_is_a_link_and_never_loaded(source: str, name: str) -> None:
    page = parse(render(source))
    assert not page.all("img")
    assert [(a.text, a.attributes["href"]) for a in page.all("a")] == [(name, "https://example.org/c.png")]


def test_an_image_in_a_link_is_the_text_of_that_link() -> None:
    page = parse(render("[![a](https://example.org/b.png) c](https://example.org/d) ![e](https://example.org/f)"))
    assert [(a.text, a.attributes["href"]) for a in page.all("a")] == [
        ("a c", "https://example.org/d"),
        ("e", "https://example.org/f"),
    ]


def test_code_comes_with_its_language_and_a_button() -> None:
    page = parse(render("```Python\nif a < b:\n    pass\n```"))
    (figure,) = page.all("figure")
    assert figure.attributes == {"class": "code"}
    assert [e.text for e in figure.all("span") if e.attributes["class"] == "code-language"] == ["Python"]
    (button,) = figure.all("button")
    assert (button.attributes, button.text) == ({"type": "button", "class": "copy"}, "Copy")
    (pre,) = figure.all("pre")
    assert pre.attributes == {"dir": "ltr", "tabindex": "0", "role": "region", "aria-label": "Code: Python"}
    (code,) = pre.all("code")
    assert code.attributes == {"class": "language-python"}
    assert code.text == "if a < b:\n    pass\n"
    assert [e.attributes["class"] for e in code.all("span")] == ["hl-k", "hl-k"]


@pytest.mark.parametrize("info", ["", "klingon", "{.python}", "a" * 31, '"><script>', "../x", "<hx-partial>"])
def test_an_unknown_language_is_code_without_colours(info: str) -> None:
    (code,) = parse(render(f"~~~ {info}\nif a < b:\n~~~")).all("code")
    assert code.text == "if a < b:\n"
    assert not code.all("span")


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("x" * SHORT_LINE, None),
        ("x" * (SHORT_LINE + 1), "wrap slim"),
        ("\t" * 10, "wrap slim"),
        ("\u6f22" * 16, "wrap slim"),
        ("x" * (LIST_LINE + 1), "wrap narrow"),
        ("x" * (COLUMN_LINE + 1), "wrap"),
    ],
)
def test_long_lines_can_be_wrapped_without_a_script(line: str, kind: str | None) -> None:
    page = parse(render(f"```\na\n{line}\n```"))
    assert [e.attributes["class"] for e in page.all("label")] == ([kind] if kind else [])
    assert [e.text for e in page.all("label")] == (["Wrap"] if kind else [])
    assert [e.attributes["type"] for e in page.all("input")] == (["checkbox"] if kind else [])


def test_tasks_are_boxes() -> None:
    page = parse(render("- [ ] a\n- [x] b [ ] c\n- [X]\td\n- [] e\n- [ ]\n\n1. [ ] *f*\n"))
    boxes = [e.attributes for e in page.all("span")]
    assert [(e["role"], e["aria-label"]) for e in boxes] == [
        ("img", "To do"),
        ("img", "Done"),
        ("img", "Done"),
        ("img", "To do"),
    ]
    assert [item.text.strip() for item in page.all("li")] == ["a", "b [ ] c", "d", "[] e", "[ ]", "f"]


def test_code_that_names_no_language_is_called_code() -> None:
    page = parse(render("    a\n"))
    assert [e.text for e in page.all("span")] == ["Code"]
    assert page.all("pre")[0].attributes["aria-label"] == "Code"
    assert page.all("code")[0].attributes == {}


def test_each_of_many_code_blocks_has_its_own_language() -> None:
    page = parse(render("- ```sql\n  a\n  ```\n- b\n\n      c\n\n> ```go\n> d\n> ```\n"))
    assert [e.attributes["aria-label"] for e in page.all("pre")] == ["Code: SQL", "Code", "Code: Go"]


def test_code_about_code_makes_no_second_figure() -> None:
    source = "```html\n<pre><code>a</code></pre><table></table>\n```\n\n`<pre><code>` and </code></pre> <table>"
    page = parse(render(source))
    assert len(page.all("figure")) == len(page.all("pre")) == 1
    assert not page.all("table")
    assert "<pre><code>a</code></pre><table></table>\n" in page.text


def test_a_table_scrolls_in_its_own_box() -> None:
    page = parse(render("|a|b|c|\n|:-|-:|:-:|\n|1|2|3|\n"))
    (box,) = page.all("div")
    assert box.attributes == {
        "class": "table-scroll",
        "tabindex": "0",
        "role": "region",
        "aria-label": "Table",
    }
    assert [cell.attributes.get("align") for cell in box.all("td")] == ["left", "right", "center"]
    assert [cell.text for cell in box.all("th")] == ["a", "b", "c"]


def test_a_table_in_a_list_scrolls_too() -> None:
    assert len(parse(render("- a\n\n  |a|\n  |-|\n  |1|\n")).all("div")) == 1


def test_only_top_level_blocks_look_for_their_direction() -> None:
    page = parse(render("a\n\n- b\n\n  c\n- d\n\n> e\n\n# f\n"))
    assert [e.tag for e in page.every() if "dir" in e.attributes] == ["p", "ul", "blockquote", "h3"]


def test_labels_are_plain_text() -> None:
    labels = Labels(copy='<b>"K"</b>', code='C"><', table='T"><')
    page = parse(render("```\na\n```\n\n|a|\n|-|\n", labels))
    assert page.all("button")[0].text == '<b>"K"</b>'
    assert page.all("pre")[0].attributes["aria-label"] == 'C"><'
    assert page.all("div")[0].attributes["aria-label"] == 'T"><'


def test_the_cache_does_not_mix_labels() -> None:
    source = "```\nthe same\n```\n"
    german, english = Labels(copy="Kopieren"), Labels(copy="Copy")
    found = [parse(render(source, labels)).all("button")[0].text for labels in (german, english, german)]
    assert found == ["Kopieren", "Copy", "Kopieren"]


def test_the_cache_does_not_mix_colours() -> None:
    source = "```python\nif x:\n```\n"
    found = [len(parse(render_block(source, highlight=on)).all("span")) for on in (True, False, True)]
    assert found == [2, 1, 2]


def test_finished_blocks_are_remembered_and_open_or_enormous_ones_are_not() -> None:
    markdown._cached.cache_clear()
    render_block("a finished block")
    render_block("a finished block")
    assert markdown._cached.cache_info()[:2] == (1, 1)
    render_block("an open block", highlight=False)
    render_block("b" * (markdown.MOST_KEPT_CHARACTERS + 1))
    assert markdown._cached.cache_info().currsize == 1


def test_characters_that_no_text_holds_are_replaced() -> None:
    assert render("a\x00b\x1bc\ud800d") == render("a\ufffdb\ufffdc\ufffdd")
    assert "a\ufffdb" in render("a\x00b")


def test_line_ends_are_all_the_same() -> None:
    assert render("# a\r\n\r\nb\rc") == render("# a\n\nb\nc")


def test_an_open_fence_is_code() -> None:
    (code,) = parse(render_block("```python\nif a", highlight=False)).all("code")
    assert (code.text, code.all("span")) == ("if a", [])


@pytest.mark.parametrize("container", ["> ", "- ", "1. ", "- > "])
def test_what_is_nested_too_deeply_is_shown_as_it_was_written(container: str) -> None:
    source = container * MOST_LEVELS + "the end"
    page = parse(render("before\n\n" + source))
    assert page.all("code")[0].text == source
    assert [e.text for e in page.all("p")] == ["before"]


def test_nothing_after_a_deep_block_is_lost() -> None:
    for container in ("> ", "- "):
        words = parse(render(container * MOST_LEVELS + "a\n\nb\n\n- c\n")).text
        assert [word for word in words.split() if word in "abc"] == ["a", "b", "c"]


def test_deep_but_not_too_deep_nesting_is_kept() -> None:
    page = parse(render("> " * (MOST_LEVELS - 1) + "the end"))
    assert len(page.all("blockquote")) == MOST_LEVELS - 1
    assert page.all("p")[0].text == "the end"


def test_every_depth_keeps_its_words() -> None:
    for depth in range(1, MOST_LEVELS + 3):
        for container in ("> ", "- ", "- > ", "> - "):
            assert "the end" in render(container * depth + "the end")


def test_an_overlong_paragraph_loses_its_marks_and_no_words() -> None:
    source = "**a** <b> " * (MOST_INLINE // 10 + 1)
    (paragraph,) = parse(render(source)).all("p")
    assert paragraph.text == source.strip()


def test_an_overlong_text_is_shown_as_it_was_written() -> None:
    source = "# a\n\n" * (MOST_SOURCE // 5 + 1)
    page = parse(render(source))
    assert (len(page.all("code")), page.all("code")[0].text) == (1, source)


PLAIN = ["[", "![", "*", "**a ", "`", ">", "> ", "- ", "_a", "<", "&", "\\", "|", "~", "[a]["]
MATHS = ["https://(", "https://a.b ", "$", "$$\n", "$x$ ", "\\(", "\\[\n", "\\begin{align}\n", "$\\frac"]


@pytest.mark.parametrize("unit", [*PLAIN, *MATHS])
def test_a_hundred_thousand_of_anything_lose_nothing_that_follows(unit: str) -> None:
    words = parse(render((unit * MOST_SOURCE)[: MOST_SOURCE - 20] + "\n\nthe end")).text
    assert words.rstrip().endswith("the end")
