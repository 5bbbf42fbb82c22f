"""LaTeX formulas as MathML, which browsers set without any script or style of ours.

What comes out is still to be sanitised. Formulas are remembered: a text repeats its own, and one that is being written
is rendered again and again.
"""

from __future__ import annotations

import re
from functools import lru_cache

from markupsafe import escape
from math_core import LatexToMathML

MOST_FORMULA = 2_000
"""A formula with more characters is shown as it was written."""

MOST_MARKS = 400
"""So are those with more commands and opening brackets than this.

The converter is recursive and written in Rust: what is nested too deeply would end the process. On the smallest stack
that Python gives a thread, 1 MB, it takes nearly twice as many of the worst kind.
"""

MOST_KEPT = 1_024

_MARK = re.compile(r"\\[A-Za-z]+|[{\[]")
_OURS = re.compile(r"\\(?:newcommand|renewcommand|providecommand|def|gdef|edef|let)(?![A-Za-z])")
_FAR = re.compile(r'(?:width|voffset)="-?(?:\d{2,}[\d.]*e[mx]|\d{3})')
_LOUD = re.compile(r"\\(?:label|tag)\*?\{[^{}]*\}|\\(?:nonumber|notag|hfill)(?![A-Za-z])")
_ALONE = re.compile(r"\\(begin|end)\{(?:equation|math|displaymath)\*?\}")
_ALIGNED = re.compile(r"\\(begin|end)\{(?:align|flalign|alignat|eqnarray|split)\*?\}")
_GATHERED = re.compile(r"\\(begin|end)\{(?:gather|multline)\*?\}")
_WITHIN_TEXT = re.compile(r"(\\text\{[^{}$]*)\$([^{}$]*)\$")
_CHEMICAL = re.compile(r"\\ce\{([^{}]*)\}")
_COUNT = re.compile(r"(?<=[A-Za-z)])(\d+)")
_ARROWS = {"<=>": r"\rightleftharpoons", "<->": r"\leftrightarrow", "->": r"\rightarrow"}
_STYLED = re.compile(r'(<(?:mtd|mtable|mrow|mpadded)\b[^<>"]*) style="([^"<]*)"')
_VARIANT = re.compile("[\ufe00\ufe01]")

# Commands that models write and the converter does not know, by others that come close.
_MACROS = {
    "mbox": r"\text{#1}",
    "widetilde": r"\tilde{#1}",
    "smash": "{#1}",
    "substack": r"\begin{matrix}#1\end{matrix}",
    "mathds": r"\mathbb{#1}",
    "nicefrac": "{#1}/{#2}",
    "dotsc": r"\ldots",
    "dotsb": r"\cdots",
    "qed": r"\square",
}

_CONVERTER = LatexToMathML(fancy_error=False, max_expansions=100, macros=_MACROS)

CELL_STYLES = {
    "text-align: left": "left",
    "text-align: right": "right",
    "padding-left: 0": "joined",
    "padding-right: 0": "joins",
    "padding-left:1em": "apart",
    "border-left": "rule-left",
    "border-right": "rule-right",
    "border-top": "rule-top",
}
"""The styles that the converter gives to cells of tables, and the classes that stand for them."""


@lru_cache(maxsize=MOST_KEPT)
def mathml(latex: str, display: bool) -> str | None:
    """Give `latex` as a `<math>` element, with its source as annotation, or None if that cannot be done.

    `display` is for a formula that stands by itself. Any string will do, and nothing is raised.
    """
    if len(latex) > MOST_FORMULA or len(_MARK.findall(latex)) > MOST_MARKS or _OURS.search(latex):
        return None
    try:
        html = _CONVERTER.convert_with_local_state(_prepared(latex), displaystyle=display)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return None
    if _FAR.search(html):
        return None
    return _with_source(_STYLED.sub(_classed, _VARIANT.sub("", html)), latex)


def _with_source(html: str, latex: str) -> str:
    """Give the element with its source beside it; formulas run left to right in any language."""
    tag, _, inner = html.partition(">")
    source = f'<annotation encoding="application/x-tex">{escape(latex)}</annotation>'
    shown = f"<mrow>{inner.removesuffix('</math>')}</mrow>"
    return f'{tag} dir="ltr"><semantics>{shown}{source}</semantics></math>'


def _prepared(latex: str) -> str:
    """Give `latex` with what the converter knows in place of what it does not; no equation has a number."""
    latex = _ALONE.sub("", _LOUD.sub("", latex))
    latex = _ALIGNED.sub(r"\\\1{aligned}", latex)
    latex = _GATHERED.sub(r"\\\1{gathered}", latex)
    latex = _WITHIN_TEXT.sub(r"\1}\2\\text{", latex)
    return _CHEMICAL.sub(_chemical, latex)


def _chemical(found: re.Match[str]) -> str:
    """Give a chemical formula as an ordinary one: its small numbers are below."""
    formula = _COUNT.sub(r"_{\1}", found[1])
    for arrow, command in _ARROWS.items():
        formula = formula.replace(arrow, f" {command} ")
    return rf"\mathrm{{{formula}}}"


def _classed(found: re.Match[str]) -> str:
    """Give the beginning of a tag with classes where it had styles."""
    names = [name for style, name in CELL_STYLES.items() if style in found[2]]
    return f'{found[1]} class="{" ".join(names)}"' if names else found[1]
