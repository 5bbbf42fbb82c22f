"""Random Markdown and LaTeX, rendered in a process of its own.

A text that never ends would keep a test from failing. So the kernel kills this process over one that takes too long,
and the last line of its output is that text.
"""

from __future__ import annotations

import random
import re
import signal
import sys
from html import unescape

from chatsite.rendering.blocks import BlockStream, split_blocks
from chatsite.rendering.decoration import ENGLISH, decorate_block
from chatsite.rendering.markdown_parser import normalize_source
from chatsite.rendering.process.render_budget import RenderBudget
from chatsite.rendering.process.renderer import Renderer
from chatsite.rendering.questions import needs_rendering
from chatsite.rendering.sentences import MAX_SPOKEN_CHARS, GrowingSentences, split_sentences
from chatsite.rendering.text import is_blank, plain_text
from chatsite.rendering.titles import title_from_question
from chatsite.visible_text import remove_controls
from tests.support.whole_texts import render_markdown

# For what a process of its own does, which the kernel may kill, and for what a web worker does itself.
MAX_SECONDS = 3.0
MAX_WORKER_SECONDS = 0.5
# Pieces between blanks; those that have blanks or line ends themselves are added below.
MARKDOWN_MARKS = r"""
a * ** _ ~~ ` `` ``` ~~~ # [ ] ( ) ![ ]( [a] [^1] < > <br> <sub> </sub> <kbd> </kbd> <details> <b> &amp; &#8238;
& \ | |- : https:// https://a.b/( http://a www. @ $ $$ \( \) \[ \] \begin{align} \end{align} $x$ 注 。 “ é 😀
{.py} py:a ' " . , ! ? 0 </ -- __ ||
"""
LATEX_MARKS = r"""
( ) [ ] { } | < > a x 1 + ^ _ ' / & ~ % ! , \left \left( \right \right) \middle| \{ \} \bigl( \bigr) \Big|
\frac \frac{ \sqrt \sqrt[ \hat \bar{ \binom \pmod{ \pmod( \mathopen{(} \mathclose \not \mathrm \text{ \overset
\\ \begin{cases} \end{cases} \begin{matrix} \end{matrix} ]0,1[ (0,1] \sum \int_ \color{red}
"""
MARKDOWN = [
    *MARKDOWN_MARKS.split(),
    *(" ", "\n", "\n\n", "\t", "    ", "  ", "word ", "- ", "1. ", "> ", "# ", "[ ] ", "[x] ", "[a]: ", "[^1]: "),
    *("```py\n", "```md\n", "---\n", "===\n", "|-|-|\n", "| a | b |\n", "\r\n", "\x00", "\x1b[", "\u200b", "\u202e"),
]
LATEX = [
    *LATEX_MARKS.split(),
    *(r"\langle ", r"\rangle ", r"\lvert ", r"\rvert ", r"\lfloor ", r"\rceil "),
]


def random_text(rng: random.Random, pieces: list[str], max_chars: int) -> str:
    """Return pieces in any order, or few of them again and again, which is what takes long."""
    kind = rng.random()
    if kind < 0.4:
        few = [rng.choice(pieces) for _ in range(rng.randint(1, 4))]
        text = "".join(few) * rng.randint(1, max_chars // max(1, sum(map(len, few))))
    elif kind < 0.7:
        few = [rng.choice(pieces) for _ in range(rng.randint(2, 6))]
        text = "".join(rng.choice(few) for _ in range(rng.randint(1, max_chars // 3)))
    else:
        text = "".join(rng.choice(pieces) for _ in range(rng.randint(1, 300)))
    return text[:max_chars]


def render_random_markdown(rng: random.Random, max_chars: int) -> None:
    """Do with a text whatever the site does with it."""
    text = random_text(rng, MARKDOWN, max_chars)
    print(repr(text), flush=True)
    signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS)
    render_markdown(text)
    finished, rest = split_blocks(text)
    split_sentences("".join([*finished, rest]), is_complete=False)
    plain_text(text)
    signal.setitimer(signal.ITIMER_PROF, MAX_WORKER_SECONDS)
    do_worker_part(text)
    signal.setitimer(signal.ITIMER_PROF, 0)


def do_worker_part(text: str) -> None:
    """Do with a text what web workers do themselves, while others wait for them."""
    blocks = BlockStream()
    blocks.feed(normalize_source(text)[: MAX_SPOKEN_CHARS + 1])
    sentences = GrowingSentences(blocks)
    sentences.list_complete()
    sentences.list_all()
    title_from_question(text)
    is_blank(text)
    needs_rendering(text)
    remove_controls(text)


def render_random_formula(rng: random.Random, renderer: Renderer) -> None:
    """Render a formula as a page does; its source has to be in the page, set or as code."""
    latex = random_text(rng, LATEX, 1900)
    print(repr(latex), flush=True)
    signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS)
    blocks = renderer.render_text(f"$$\n{latex}\n$$\n", RenderBudget())
    html = "".join(decorate_block(block, ENGLISH) for block in blocks)
    assert latex.strip() in unescape(re.sub("<[^>]*>", "", html)), html
    signal.setitimer(signal.ITIMER_PROF, 0)


def main(kind: str, seed: str, count: str, max_chars: str) -> None:
    """Render `count` texts."""
    rng = random.Random(int(seed))
    renderer = Renderer()
    for _ in range(int(count)):
        if kind == "markdown":
            render_random_markdown(rng, int(max_chars))
        else:
            render_random_formula(rng, renderer)
    renderer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
