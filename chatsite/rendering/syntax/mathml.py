"""LaTeX formulas as MathML, which browsers show without scripts or styles.

What comes out is still to be sanitized. Formulas are remembered: a text repeats its own, and one that is being written
is rendered again and again.
"""

from __future__ import annotations

import re
from functools import lru_cache

from markupsafe import escape
from math_core import LatexToMathML

from chatsite.rendering.syntax.math_delimiters import max_open_delimiters

MAX_FORMULA_CHARS = 2_000
"""A formula with more characters is shown as it was written."""

MAX_COMMANDS = 400
"""So are those with more commands and opening brackets than this.

The converter is recursive and written in Rust: what is nested too deeply would end the process. On the smallest stack
that Python gives a thread, 1 MB, it takes nearly twice as many of the worst kind.
"""

MAX_OPEN_DELIMITERS = 12
"""So are those in which more delimiters than this stand open at once (`math_delimiters.py`)."""

MAX_CACHED_FORMULAS = 1_024

_COMMAND = re.compile(r"\\[A-Za-z]+|[{\[]")
_DEFINITION = re.compile(r"\\(?:newcommand|renewcommand|providecommand|def|gdef|edef|let)(?![A-Za-z])")
_FAR_SHIFT = re.compile(r'(?:width|voffset)="-?(?:\d{2,}[\d.]*e[mx]|\d{3})')
_NUMBERING = re.compile(r"\\(?:label|tag)\*?\{[^{}]*\}|\\(?:nonumber|notag|hfill)(?![A-Za-z])")
_DISPLAY_ENVIRONMENT = re.compile(r"\\(begin|end)\{(?:equation|math|displaymath)\*?\}")
_ALIGNED_ENVIRONMENT = re.compile(r"\\(begin|end)\{(?:align|flalign|alignat|eqnarray|split)\*?\}")
_GATHERED_ENVIRONMENT = re.compile(r"\\(begin|end)\{(?:gather|multline)\*?\}")
_MATH_IN_TEXT = re.compile(r"(\\text\{[^{}$]*)\$([^{}$]*)\$")
_CHEMICAL = re.compile(r"\\ce\{([^{}]*)\}")
_ATOM_COUNT = re.compile(r"(?<=[A-Za-z)])(\d+)")
_ARROWS = {"<=>": r"\rightleftharpoons", "<->": r"\leftrightarrow", "->": r"\rightarrow"}
_STYLED_TAG = re.compile(r'(<(?:mtd|mtable|mrow|mpadded)\b[^<>"]*) style="([^"<]*)"')
_VARIATION_SELECTOR = re.compile("[\ufe00\ufe01]")

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
    "text-align: left": "math-left",
    "text-align: right": "math-right",
    "padding-left: 0": "math-joined",
    "padding-right: 0": "math-joins",
    "padding-left:1em": "math-apart",
    "border-left": "math-rule-left",
    "border-right": "math-rule-right",
    "border-top": "math-rule-top",
}
"""The styles that the converter gives to cells of tables, and the classes that stand for them."""


@lru_cache(maxsize=MAX_CACHED_FORMULAS)
def render_mathml(latex: str, display: bool) -> str | None:
    """Return `latex` as a `<math>` element, with its source as annotation, or None if that cannot be done.

    `display` is for a formula that stands by itself. Any string will do, and nothing is raised.
    """
    if len(latex) > MAX_FORMULA_CHARS or len(_COMMAND.findall(latex)) > MAX_COMMANDS or _DEFINITION.search(latex):
        return None
    prepared = _prepare_latex(latex)
    if max_open_delimiters(prepared) > MAX_OPEN_DELIMITERS:
        return None
    try:
        html = _CONVERTER.convert_with_local_state(prepared, displaystyle=display)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return None
    if _FAR_SHIFT.search(html):
        return None
    return _with_source(_STYLED_TAG.sub(_styles_to_classes, _VARIATION_SELECTOR.sub("", html)), latex)


def _with_source(html: str, latex: str) -> str:
    """Return the element with its source beside it; formulas run left to right in any language."""
    tag, _, inner = html.partition(">")
    source = f'<annotation encoding="application/x-tex">{escape(latex)}</annotation>'
    shown = f"<mrow>{inner.removesuffix('</math>')}</mrow>"
    return f'{tag} dir="ltr"><semantics>{shown}{source}</semantics></math>'


def _prepare_latex(latex: str) -> str:
    """Return `latex` with what the converter knows in place of what it does not; no equation has a number."""
    latex = _DISPLAY_ENVIRONMENT.sub("", _NUMBERING.sub("", latex))
    latex = _ALIGNED_ENVIRONMENT.sub(r"\\\1{aligned}", latex)
    latex = _GATHERED_ENVIRONMENT.sub(r"\\\1{gathered}", latex)
    latex = _MATH_IN_TEXT.sub(r"\1}\2\\text{", latex)
    return _CHEMICAL.sub(_convert_chemical, latex)


def _convert_chemical(match: re.Match[str]) -> str:
    """Return a chemical formula as an ordinary one: its small numbers are below."""
    formula = _ATOM_COUNT.sub(r"_{\1}", match[1])
    for arrow, command in _ARROWS.items():
        formula = formula.replace(arrow, f" {command} ")
    return rf"\mathrm{{{formula}}}"


def _styles_to_classes(match: re.Match[str]) -> str:
    """Return the beginning of a tag with classes where it had styles."""
    names = [name for style, name in CELL_STYLES.items() if style in match[2]]
    return f'{match[1]} class="{" ".join(names)}"' if names else match[1]
