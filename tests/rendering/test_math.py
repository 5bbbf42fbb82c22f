"""Formulas: where they are found, what they become, and that money stays money."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatsite.rendering.blocks import BlockStream, split
from chatsite.rendering.markdown import SHORT_FORMULA, Labels, render, render_block
from chatsite.rendering.mathml import MOST_FORMULA, MOST_MARKS, mathml
from chatsite.rendering.text import plain, title

from .dom import Element, parse
from .test_safety import assert_safe

PIECES = [
    *("x", "1", "\\frac", "\\sqrt", "{", "}", "^", "_", "\\left(", "\\right)", "&", "\\\\", "\\text{", "$", "'"),
    *("\\begin{matrix}", "\\end{matrix}", "\\begin{aligned}", "\\end{aligned}", "\\hline", "\\mathbf{", "\\ce{", "%"),
    *("\\newcommand{\\a}{x}", "\\a", "\\color{red}", "\\hspace{1em}", "\\boxed{", "\\not", "<", "é", "\\", " ", "\n"),
]


def sources(html: str) -> list[str]:
    """The LaTeX of each formula on a page."""
    return [element.text for element in parse(html).all("annotation")]


def shown(element: Element) -> str:
    """What is read of a formula."""
    return "".join(leaf.text for leaf in element.every() if leaf.tag in {"mi", "mn", "mo", "mtext"})


@pytest.mark.parametrize(
    "source",
    [
        "It costs $5 and $10.",
        "Costs $5 and $10",
        "from $5-$10, or $5/$10",
        "$5k against $10k, and US$20 or $ 30 $",
        "**$5** or **$10**",
        "between $1,000 and $2,000.50 a month ($12,000 and $24,000 a year)",
        "a $20/month plan or a $200/year plan",
        "I have $5 and you have 10$ left",
        "5$ and 10$ make 15$",
        "$HOME/bin:$PATH",
        "`$x$` and `\\(y\\)` and ``$$z$$``",
        "the variables $USER and $HOME",
        r"escaped: \$x\$ and \$5",
        "$ x $",
        "$$$",
        "$x",
        r"\(see below\) and \[1\] and \[not this\](either)",
        r"\(x and \[y",
        "    $$\n    x\n",
        "```\n$x$\n$$\ny\n$$\n```",
        "jQuery: $('a').b and $.ajax",
        "Gana $300 al mes y gasta $200 en casa.",
    ],
)
def test_money_and_other_dollars_stay_text(source: str) -> None:
    assert sources(render(source)) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("$x$", ["x"]),
        ("Let $x$, $y$ and $n$th ($z$).", ["x", "y", "n", "z"]),
        (r"\(a+b\) and \[a = b\]", ["a+b", "a = b"]),
        ("$5 + 3 = 8$ costs $5", ["5 + 3 = 8"]),
        ("$2ab$ and $10$ and $-1$", ["2ab", "10", "-1"]),
        ("$a_1*b_1$ and $a_2*b_2$", ["a_1*b_1", "a_2*b_2"]),
        (
            r"$\text{speed} = \frac{\text{distance}}{\text{time}}$",
            [r"\text{speed} = \frac{\text{distance}}{\text{time}}"],
        ),
        (r"$x < y$ and $\$5$", ["x < y", r"\$5"]),
        ("设$x$为", ["x"]),
        ("$$x$$", ["x"]),
        ("$$\nx\n$$", ["x"]),
        ("$$x\n+ y$$", []),
        ("$$x =\ny$$", ["x =\ny"]),
        ("before\n$$\nx\n$$\nafter", ["x"]),
        ("\\[\nx\n\\].\nafter", ["x."]),
        ("1. a\n\n   $$\n   x\n   $$\n\n> \\[ y = 1 \\]\n", ["x", "y = 1"]),
        ("| a |\n|---|\n| $x$ |\n", ["x"]),
        ("**$x$** and *a $y$ b*", ["x", "y"]),
        ("\\begin{align}\na &= b \\\\\n&= c\n\\end{align}", ["\\begin{align}\na &= b \\\\\n&= c\n\\end{align}"]),
        ("$$\nx\n\ny\n$$\n\n$z$", ["z"]),
    ],
)
def test_formulas_are_found(source: str, found: list[str]) -> None:
    assert sources(render(source)) == found


def test_a_formula_is_mathml_with_its_source() -> None:
    (math,) = parse(render(r"$\frac{a}{b} < 1$")).all("math")
    assert math.attributes == {"dir": "ltr"}
    assert [e.tag for e in math.every()] == [
        *("semantics", "mrow", "mfrac", "mi", "mi", "mo", "mn"),
        "annotation",
    ]
    assert shown(math) == "ab<1"


def test_a_formula_by_itself_is_in_a_box_and_long_ones_can_be_scrolled_with_a_keyboard() -> None:
    labels = Labels(formula='<"F">')
    short, long = parse(render("$$x$$\n\n$$" + "+".join("x" * SHORT_FORMULA) + "$$\n", labels)).all("span")
    assert short.attributes == {"class": "formula"}
    assert long.attributes == {"class": "formula", "tabindex": "0", "role": "group", "aria-label": '<"F">'}
    (within,) = parse(render("a $" + "+".join("x" * SHORT_FORMULA) + "$ b", labels)).all("span")
    assert within.attributes == long.attributes | {"class": "formula within"}


def test_what_follows_a_formula_stays_with_it() -> None:
    kept = [e.text for e in parse(render("($x$), $y$-axis & $z$ b")).all("span")]
    assert [text.removeprefix(text[0] * 2) for text in kept] == ["),", "-axi"]


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"\begin{equation}x\end{equation}", "x"),
        (r"\begin{align}a&=b\label{e}\\c&=d\tag{1}\end{align}", "a=bc=d"),
        (r"\begin{gather*}a\\b\end{gather*}", "ab"),
        (r"\begin{split}a&=b\end{split}", "a=b"),
        (r"\text{if $x>0$ only}", "if x>0 only"),
        (r"\ce{2H2 + O2 -> 2H2O}", "2H2+O2→2H2O"),
        (r"\mbox{a}\dotsc", "a..."),
        (r"\mathbb{R}\mathbf{x}\mathcal{L}", "\u211d\U0001d431\u2112"),
        (r"\operatorname*{arg\,max}_x", "arg\u2009maxx"),
        (r"\color{red}x", "x"),
        (r"50\%", "50%"),
        ("", ""),
    ],
)
def test_what_models_write_is_understood(latex: str, text: str) -> None:
    html = mathml(latex, display=True)
    assert html is not None
    assert ' style="' not in html
    assert shown(parse(html)).replace("\xa0", " ") == text


@pytest.mark.parametrize(
    "latex",
    [
        r"\foo",
        r"\frac{1}",
        "x_{",
        r"\left( x",
        r"\newcommand{\a}{\a\a}\a",
        r"\def\x{\x\x}\x",
        r"\hspace{1000em}x",
        "x" * (MOST_FORMULA + 1),
        r"\sqrt " * (MOST_MARKS + 1) + "x",
    ],
)
def test_what_cannot_be_set_is_shown_as_it_was_written(latex: str) -> None:
    assert mathml(latex, display=False) is None
    page = parse(render(f"a ${latex}$\n\n$$\n{latex}\n$$\n"))
    inline, block = page.all("code")
    assert (inline.text, block.text) == (f"${latex}$", f"$$\n{latex}\n$$\n")
    assert page.all("figure")
    assert not page.all("math")


NESTS = [
    *(("{", "}"), ("\\left(", "\\right)"), ("\\begin{matrix}", "\\end{matrix}"), ("\\frac{", "}1"), ("x^{", "}")),
    *(("\\sqrt ", ""), ("\\hat{", "}"), ("\\color{red}", ""), ("\\displaystyle ", ""), ("\\sqrt[", "]1")),
]


@pytest.mark.parametrize(("opening", "closing"), NESTS)
def test_the_deepest_formula_fits_on_the_smallest_stack(opening: str, closing: str) -> None:
    """The converter would end the process. A megabyte is what Python gives to a thread where that is little."""
    depth = min(MOST_MARKS // max(opening.count("\\") + opening.count("{") + opening.count("["), 1), MOST_FORMULA // 8)
    latex = opening * depth + "x" + closing * depth
    found: list[bool] = []
    before = threading.stack_size(1024 * 1024)
    try:
        thread = threading.Thread(target=lambda: found.append(bool(render(f"$${latex}$$"))))
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert found == [True]


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_any_formula_is_safe_and_stays_what_it_was(latex: str) -> None:
    html = mathml(latex, display=True)
    assert html is None or parse(html).all("annotation")[0].text == latex
    assert_safe(render(f"a ${latex}$ b\n\n$$\n{latex}\n$$\n\n\\({latex}\\)"))


@given(st.text(alphabet="$\\[](){}x1 \n_^>-", max_size=60))
def test_any_text_with_dollars_is_safe(source: str) -> None:
    assert_safe(render(source))


def test_an_open_formula_is_one_block_of_text_until_it_is_closed() -> None:
    stream = BlockStream()
    for line in ("text\n", "$$\n", "- a\n", "# b &\n", "| c |\n|---|\n"):
        stream.feed(line)
    assert stream.finished == ["text\n"]
    page = parse(render_block(stream.open, highlight=False))
    assert [e.tag for e in page.every() if e.tag != "br"] == ["p"]
    assert stream.feed("$$\n") == []
    assert stream.feed("after\n") == ["$$\n- a\n# b &\n| c |\n|---|\n$$\n"]


def test_a_formula_without_an_end_goes_no_further_than_its_paragraph() -> None:
    finished, rest = split("$$\nx\n\n- a\n\n# b\n")
    assert (finished, rest) == (["$$\nx\n\n", "- a\n\n"], "# b\n")
    assert [e.tag for e in parse(render("".join([*finished, rest]))).every()] == ["p", "br", "ul", "li", "h3"]


def test_titles_and_plain_text_keep_formulas_without_dollars() -> None:
    assert title("What is $x^2$?") == "What is x^2?"
    assert plain("$$\nx + y\n$$\n") == "x + y"
