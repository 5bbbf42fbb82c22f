"""What models write and CommonMark reads otherwise."""

from __future__ import annotations

import pytest

from chatsite.rendering.blocks import BlockStream, split_blocks
from chatsite.rendering.syntax.fences import language_of_info
from chatsite.rendering.text import plain_text
from tests.rendering.dom import parse_html
from tests.support.whole_texts import render_block, render_markdown


def texts(source: str, tag: str) -> list[str]:
    return [element.text for element in parse_html(render_markdown(source)).find_all(tag)]


def hrefs(source: str) -> list[str]:
    return [link.attributes["href"] or "" for link in parse_html(render_markdown(source)).find_all("a")]


# What GitHub shows otherwise (decision 0001).


@pytest.mark.parametrize(
    "source",
    [
        "See www.example.com now.",
        "Write to name@example.com now.",
        "Before <!-- hidden --> after.",
        "<details><summary>More</summary>Text</details>",
        "<u>one</u> <b>two</b>",
        "It takes ~5 or ~6 days, ~x~.",
    ],
)
def test_what_github_adds_is_shown_as_it_was_written(source: str) -> None:
    assert texts(source, "p") == [source]
    assert hrefs(source) == []
    assert plain_text(source) == source


def test_alert_of_github_is_a_quote_with_its_mark() -> None:
    assert texts("> [!NOTE]\n> Words", "blockquote") == ["\n[!NOTE]\nWords\n"]


def test_address_in_angle_brackets_is_a_link() -> None:
    assert hrefs("<name@example.com> and <https://www.example.com>") == [
        "mailto:name@example.com",
        "https://www.example.com",
    ]
    assert texts("~~gone~~", "s") == ["gone"]


# Definitions of link references.


def test_definitions_that_nothing_refers_to_are_shown() -> None:
    source = "Sources:\n\n[1]: https://example.com/a\n[2]: https://example.com/b 'B'\n"
    assert texts(source, "p") == ["Sources:", "[1]: https://example.com/a\n[2]: https://example.com/b 'B'"]
    assert hrefs(source) == ["https://example.com/a", "https://example.com/b"]


def test_definitions_that_are_referred_to_are_hidden() -> None:
    source = (
        "[1]: https://example.com/a\n[b]: https://example.com/b\n[c]: https://example.com/c\n\nSee [1] and [x][B].\n"
    )
    assert texts(source, "p") == ["[c]: https://example.com/c", "See 1 and x."]
    assert hrefs(source) == ["https://example.com/c", "https://example.com/a", "https://example.com/b"]


@pytest.mark.parametrize(
    "source",
    [
        "[a]: /x",
        "[a]: javascript:alert(1)",
        "> [a]: https://example.com\n",
        "- [a]:\n  https://example.com\n",
        "[a]: https://example.com 'x\ny'\n",
        "a\n\n[x]: <b c>\n\nd",
        "[a]: https://a.b\n[a]: https://c.d\n",
        "`[a]` is code\n\n[a]: https://example.com",
    ],
)
def test_no_word_of_unused_definitions_is_lost(source: str) -> None:
    page = parse_html(render_markdown(source)).text
    for word in source.replace(">", " ").replace("<", " ").replace("`", " ").replace("- ", " ").split():
        assert word in page


def test_definitions_in_a_stream_are_shown_until_something_refers_to_them() -> None:
    finished, rest = split_blocks("[a]\n\n[a]: https://example.com\n\nend\n")
    assert finished == ["[a]\n\n", "[a]: https://example.com\n\n"]
    assert [link.text for link in parse_html(render_block(finished[1])).find_all("a")] == ["https://example.com"]
    assert texts("".join([*finished, rest]), "p") == ["a", "end"]


# Emphasis.


@pytest.mark.parametrize(
    ("source", "tag", "text"),
    [
        ("**注意：**请阅读", "strong", "注意："),
        ("含**「重点」**内容", "strong", "「重点」"),
        ("这是**“术语”**的说明。", "strong", "“术语”"),
        ("**該当します。**次へ", "strong", "該当します。"),
        ("**스크립트(script)**라고", "strong", "스크립트(script)"),
        ("これは*強調（テスト）*です", "em", "強調（テスト）"),
        ("~~削除。~~次", "s", "削除。"),
        ("**复现：**10 轮", "strong", "复现："),
        ("**`code`**です", "strong", "code"),
        ("あ**[リンク](https://a.b)**い", "strong", "リンク"),
    ],
)
def test_emphasis_beside_cjk(source: str, tag: str, text: str) -> None:
    assert texts(source, tag) == [text]
    assert "*" not in parse_html(render_markdown(source)).text


@pytest.mark.parametrize("source", ["**Warning:**text", "2 * 3 * 4", "数 * 数 * 数", "snake_の_case", "a**“b”**c"])
def test_emphasis_that_commonmark_refuses_is_refused(source: str) -> None:
    assert parse_html(render_markdown(source)).text.strip() == source


# Addresses.


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("访问 https://example.com/docs（中文说明）了解更多", ["https://example.com/docs"]),
        ("https://example.com/guide，详见", ["https://example.com/guide"]),
        ("https://example.com。次", ["https://example.com"]),
        ("见https://example.com/a", ["https://example.com/a"]),
        ("“https://example.com/a”、https://example.com/b", ["https://example.com/a", "https://example.com/b"]),
        (
            "https://ja.wikipedia.org/wiki/日本語",
            ["https://ja.wikipedia.org/wiki/%E6%97%A5%E6%9C%AC%E8%AA%9E"],
        ),
        ("https://en.wikipedia.org/wiki/A_(b), and so on…", ["https://en.wikipedia.org/wiki/A_(b)"]),
        ("xhttps://example.com/a", []),
    ],
)
def test_addresses_end_where_the_sentence_goes_on(source: str, found: list[str]) -> None:
    assert hrefs(source) == found
    assert parse_html(render_markdown(source)).text.strip() == source


# Fences.

DOCUMENT = "```markdown\n# Title\n```python\nprint(1)\n```\nend\n```\n"


def test_document_in_a_fence_has_fences_of_its_own() -> None:
    assert texts(DOCUMENT + "after\n", "code") == ["# Title\n```python\nprint(1)\n```\nend\n"]
    assert texts(DOCUMENT + "after\n", "p") == ["after"]
    assert texts("1. a\n\n   ~~~md\n   ~~~js\n   x\n   ~~~\n   ~~~\n\n   b\n", "code") == ["~~~js\nx\n~~~\n"]


@pytest.mark.parametrize(
    ("source", "codes"),
    [
        ("```markdown\na\n```\nb\n```\nc\n```\n", ["a\n", "c\n"]),
        ("````markdown\n```\na\n```\n````\n", ["```\na\n```\n"]),
        ("```python\n```js\n```\n", ["```js\n"]),
        ("~~~md\n```js\n~~~\n", ["```js\n"]),
        ("```md\n    ```\na\n```\n", ["    ```\na\n"]),
        ("```md\n```js\na\n", ["```js\na\n"]),
        ("> ```md\n> a\nb\n", ["a\n"]),
        ("``` md title=a\n```js\n```\n```\n", ["```js\n```\n"]),
        ("```mdast\n```js\n```\n", ["```js\n"]),
    ],
)
def test_other_fences_end_as_in_commonmark(source: str, codes: list[str]) -> None:
    assert texts(source, "code") == codes


def test_document_in_a_fence_is_never_taken_back() -> None:
    stream = BlockStream()
    for line in DOCUMENT.splitlines(keepends=True):
        assert stream.feed(line) == []
    assert stream.feed("after\n") == [DOCUMENT]


@pytest.mark.parametrize(
    ("info", "language"),
    [
        ("python", "python"),
        ("python:app.py", "python"),
        ("Python title='a b'", "python"),
        ("{.python}", "python"),
        ("{.python .numberLines}", "python"),
        ("{r, echo=FALSE}", "r"),
        ("js {1,3}", "js"),
        ("js{1,3}", "js"),
        ("C++", "c++"),
        ("c#", "c#"),
        ("objective-c", "objective-c"),
        ("", ""),
        ("{}", ""),
        ("日本", ""),
        ("a" * 31, ""),
    ],
)
def test_language_of_info(info: str, language: str) -> None:
    assert language_of_info(info) == language


# HTML.


@pytest.mark.parametrize("mark", ["<br>", "<br/>", "<br />", "<BR>"])
def test_line_end_in_a_cell(mark: str) -> None:
    page = parse_html(render_markdown(f"| a | b |\n|---|---|\n| x{mark}y | 1 |"))
    cell = page.find_all("td")[0]
    assert [element.tag for element in cell.iter_elements()] == ["br"]
    assert plain_text(f"x{mark}y") == "x\ny"


def test_raised_letters_and_keys() -> None:
    source = "H<sub>2</sub>O, x<sup>**2**</sup>, <kbd>Ctrl</kbd>"
    page = parse_html(render_markdown(source))
    assert [page.find_all(tag)[0].text for tag in ("sub", "sup", "strong", "kbd")] == ["2", "2", "2", "Ctrl"]
    assert plain_text(source) == "H2O, x2, Ctrl"


@pytest.mark.parametrize(
    "source",
    [
        *("<b>x</b>", "<sub>x", "x</sub>", "<sub>a<sup>b", "<sub class=x>a</sub>", "<br x>", "<brx>", "<sub></sub>"),
        *("<script>x</script>", "<div>", "<kbd onclick=x>a</kbd>", "a < b <br", "<sup><img></sup>"),
    ],
)
def test_other_html_is_text(source: str) -> None:
    assert parse_html(render_markdown(source)).text.strip() == source


def test_code_keeps_its_html() -> None:
    assert texts("`<br>` and `<sub>x</sub>`", "code") == ["<br>", "<sub>x</sub>"]


# Footnotes.


def test_footnotes_are_notes() -> None:
    notes = "[^1]: The *first*,\n    on two lines.\n[^b]: https://example.com\n\n    - more\n\n"
    source = f"One[^1] and two[^b].\n\n{notes}end"
    page = parse_html(render_markdown(source))
    assert [mark.text for mark in page.find_all("sup")] == ["1", "b", "1", "b"]
    first, second = page.find_all("div")
    assert [first.attributes, second.attributes] == [{"class": "footnote", "dir": "auto"}] * 2
    assert first.text.split() == ["1", "The", "first,", "on", "two", "lines."]
    assert [link.attributes["href"] for link in page.find_all("a")] == ["https://example.com"]
    assert [item.text.strip() for item in second.find_all("li")] == ["more"]
    assert [p.text for p in page.find_all("p")][-1] == "end"


@pytest.mark.parametrize("source", ["The pattern [^1] or [^a-z].", "[^1]:", "a[^ b]", "[^]: x", "`[^1]: x`[^1]"])
def test_marks_without_notes_are_text(source: str) -> None:
    assert not parse_html(render_markdown(source)).find_all("sup")
    assert parse_html(render_markdown(source)).text.strip() == source.replace("`", "")


def test_note_is_a_block_of_a_stream() -> None:
    finished, rest = split_blocks("a[^1]\n\n[^1]: note\n\nb\n")
    assert (finished, rest) == (["a[^1]\n\n", "[^1]: note\n\n"], "b\n")
    assert plain_text("[^1]: note") == "1 note"
