"""Formulas: where they are found, what they become, and that money stays money."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatsite.rendering.blocks import BlockStream, split_blocks
from chatsite.rendering.decoration import MAX_SHORT_FORMULA, Labels
from chatsite.rendering.syntax.math_delimiters import max_open_delimiters
from chatsite.rendering.syntax.mathml import MAX_COMMANDS, MAX_FORMULA_CHARS, MAX_OPEN_DELIMITERS, render_mathml
from chatsite.rendering.text import plain_text, title_from_text
from tests.rendering.dom import Element, parse_html
from tests.rendering.test_sanitizer import assert_safe
from tests.support.whole_texts import render_block, render_markdown

PIECES = [
    *("x", "1", "\\frac", "\\sqrt", "{", "}", "^", "_", "\\left(", "\\right)", "&", "\\\\", "\\text{", "$", "'"),
    *("\\begin{matrix}", "\\end{matrix}", "\\begin{aligned}", "\\end{aligned}", "\\hline", "\\mathbf{", "\\ce{", "%"),
    *("\\newcommand{\\a}{x}", "\\a", "\\color{red}", "\\hspace{1em}", "\\boxed{", "\\not", "<", "é", "\\", " ", "\n"),
]


def sources(html: str) -> list[str]:
    """The LaTeX of each formula on a page."""
    return [element.text for element in parse_html(html).find_all("annotation")]


def shown(element: Element) -> str:
    """What is read of a formula."""
    return "".join(leaf.text for leaf in element.iter_elements() if leaf.tag in {"mi", "mn", "mo", "mtext"})


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
def test_dollar_amounts_are_not_formulas(source: str) -> None:
    assert sources(render_markdown(source)) == []


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
def test_formulas_are_recognized(source: str, found: list[str]) -> None:
    assert sources(render_markdown(source)) == found


def test_formula_renders_mathml_with_annotation() -> None:
    (math,) = parse_html(render_markdown(r"$\frac{a}{b} < 1$")).find_all("math")
    assert math.attributes == {"dir": "ltr"}
    assert [e.tag for e in math.iter_elements()] == [
        *("semantics", "mrow", "mfrac", "mi", "mi", "mo", "mn"),
        "annotation",
    ]
    assert shown(math) == "ab<1"


def test_long_formula_is_keyboard_scrollable() -> None:
    labels = Labels(formula='<"F">')
    short, long = parse_html(
        render_markdown("$$x$$\n\n$$" + "+".join("x" * MAX_SHORT_FORMULA) + "$$\n", labels)
    ).find_all("span")
    assert short.attributes == {"class": "formula"}
    assert long.attributes == {"class": "formula", "tabindex": "0", "role": "group", "aria-label": '<"F">'}
    (within,) = parse_html(render_markdown("a $" + "+".join("x" * MAX_SHORT_FORMULA) + "$ b", labels)).find_all("span")
    assert within.attributes == long.attributes | {"class": "formula math-within"}


def test_text_after_formula_stays_attached() -> None:
    kept = [e.text for e in parse_html(render_markdown("($x$), $y$-axis & $z$ b")).find_all("span")]
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
def test_latex_written_by_models_is_converted(latex: str, text: str) -> None:
    html = render_mathml(latex, display=True)
    assert html is not None
    assert ' style="' not in html
    assert shown(parse_html(html)).replace("\xa0", " ") == text


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
        "x" * (MAX_FORMULA_CHARS + 1),
        r"\sqrt " * (MAX_COMMANDS + 1) + "x",
    ],
)
def test_unsupported_latex_is_shown_as_source(latex: str) -> None:
    assert render_mathml(latex, display=False) is None
    page = parse_html(render_markdown(f"a ${latex}$\n\n$$\n{latex}\n$$\n"))
    inline, block = page.find_all("code")
    assert (inline.text, block.text) == (f"${latex}$", f"$$\n{latex}\n$$\n")
    assert page.find_all("figure")
    assert not page.find_all("math")


NESTS = [
    *(("{", "}"), ("\\left(", "\\right)"), ("\\begin{matrix}", "\\end{matrix}"), ("\\frac{", "}1"), ("x^{", "}")),
    *(("\\sqrt ", ""), ("\\hat{", "}"), ("\\color{red}", ""), ("\\displaystyle ", ""), ("\\sqrt[", "]1")),
]


@pytest.mark.parametrize(("opening", "closing"), NESTS)
def test_deepest_formula_fits_small_thread_stack(opening: str, closing: str) -> None:
    """The converter would end the process. A megabyte is what Python gives to a thread where that is little."""
    depth = min(
        MAX_COMMANDS // max(opening.count("\\") + opening.count("{") + opening.count("["), 1), MAX_FORMULA_CHARS // 8
    )
    latex = opening * depth + "x" + closing * depth
    found: list[bool] = []
    before = threading.stack_size(1024 * 1024)
    try:
        thread = threading.Thread(target=lambda: found.append(bool(render_markdown(f"$${latex}$$"))))
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert found == [True]


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_arbitrary_formula_is_safe_and_keeps_source(latex: str) -> None:
    html = render_mathml(latex, display=True)
    assert html is None or parse_html(html).find_all("annotation")[0].text == latex
    assert_safe(render_markdown(f"a ${latex}$ b\n\n$$\n{latex}\n$$\n\n\\({latex}\\)"))


@given(st.text(alphabet="$\\[](){}x1 \n_^>-", max_size=60))
def test_arbitrary_text_with_math_delimiters_is_safe(source: str) -> None:
    assert_safe(render_markdown(source))


def test_unclosed_display_formula_stays_open_text_block() -> None:
    stream = BlockStream()
    for line in ("text\n", "$$\n", "- a\n", "# b &\n", "| c |\n|---|\n"):
        stream.feed(line)
    assert stream.finished == ["text\n"]
    page = parse_html(render_block(stream.open, highlight=False))
    assert [e.tag for e in page.iter_elements() if e.tag != "br"] == ["p"]
    assert stream.feed("$$\n") == []
    assert stream.feed("after\n") == ["$$\n- a\n# b &\n| c |\n|---|\n$$\n"]


def test_unclosed_formula_ends_at_paragraph() -> None:
    finished, rest = split_blocks("$$\nx\n\n- a\n\n# b\n")
    assert (finished, rest) == (["$$\nx\n\n", "- a\n\n"], "# b\n")
    assert [e.tag for e in parse_html(render_markdown("".join([*finished, rest]))).iter_elements()] == [
        "p",
        "br",
        "ul",
        "li",
        "h3",
    ]


def test_titles_and_plain_text_drop_math_delimiters() -> None:
    assert title_from_text("What is $x^2$?") == "What is x^2?"
    assert plain_text("$$\nx + y\n$$\n") == "x + y"


def run_with_cpu_limit(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process that the kernel kills after five seconds of work."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_CPU, (5, 5))\n"
    return subprocess.run([sys.executable, "-c", limit + code, *arguments], capture_output=True, text=True, check=False)


OPENING = [
    *("(", "[", r"\{", r"\langle ", r"\lvert ", r"\lVert ", r"\lfloor ", r"\lceil ", r"\lbrack ", r"\lparen ", "⟨"),
    *(r"\lbrace ", r"\lgroup ", r"\llbracket ", r"\ulcorner ", r"\bigl(", r"\Biggl|", r"\not(", r"\mathrm(", r"\bm("),
    *("f(x, ", "a < (b + ", r"\{ x \mid ", r"\langle x | ", "^(", r"\frac(", r"\pmod(", r"\mathopen{(}", r"\left.("),
    *("]0,1[[", r"\sqrt[(", r"\mathclose(", "(x)("),
]


def test_many_open_delimiters_end_at_once() -> None:
    """The converter would take days for each; it holds the interpreter, so this has a process of its own."""
    code = """
import sys
from chatsite.rendering.syntax.mathml import render_mathml
for piece in sys.argv[1:]:
    for count in (30, 60, 500):
        for end in ("", "x", "x" + ")" * (count // 2)):
            render_mathml((piece * count)[: 2000 - len(end)] + end, True)
print("end")
"""
    done = run_with_cpu_limit(code, *OPENING)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


@pytest.mark.parametrize(
    ("latex", "count"),
    [
        ("(((x", 3),
        ("(0,1]" * 30, 1),
        (r"f(\alpha)" * 30, 1),
        (r"\bigl(x\bigr)" * 30, 1),
        (r"\left(x\right)" * 30, 0),
        (r"((\left(x\right)(\left[x\right.", 3),
        ("(({((x}", 2),
        (r"\\[2pt]" * 30, 1),
        (r"\{x \mid x > 0\}" * 30, 1),
        (r"x \equiv 1 \pmod{3}" * 30, 0),
        (")))(", 1),
        (r"\(\)\[", 0),
        ("", 0),
    ],
)
def test_open_delimiters_are_counted_in_their_group(latex: str, count: int) -> None:
    assert max_open_delimiters(latex) == count


def test_formula_with_many_closed_delimiters_is_set() -> None:
    assert render_mathml("(" * MAX_OPEN_DELIMITERS + "x" + ")" * MAX_OPEN_DELIMITERS, display=True)
    assert render_mathml(r"\left(" * 50 + "x" + r"\right)" * 50, display=True)
    assert not render_mathml("(" * (MAX_OPEN_DELIMITERS + 1) + "x", display=True)
