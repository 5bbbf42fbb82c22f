"""Questions as HTML: fenced and inline code and formulas are set, and everything else stays as it was typed.

Few people write Markdown on purpose, so a star or a number sign is what it is, and every line end and blank is kept.
Like all rendering that may take long, this happens in a process with a limit (`render_process.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import escape

from chatsite.rendering.decoration import CodeBlock, SanitizedBlock, max_line_columns
from chatsite.rendering.highlight import highlight_code
from chatsite.rendering.markdown import Detail
from chatsite.rendering.markdown_parser import MAX_INLINE_CHARS, MAX_SOURCE_CHARS, normalize_source
from chatsite.rendering.sanitizer import sanitize_html
from chatsite.rendering.syntax import formulas
from chatsite.rendering.syntax.fences import language_of_info
from chatsite.rendering.syntax.mathml import render_mathml

# A question without any of these characters is plain.
_MARKS = re.compile(r"[`$]|~~~|\\[(\[]")
_FENCE_OPENING = re.compile(r" {0,3}(`{3,}|~{3,})([^`]*)")


def needs_rendering(source: str) -> bool:
    """Return whether there may be code or a formula in a question; most have none and cost nothing."""
    return len(source) <= MAX_SOURCE_CHARS and _MARKS.search(source) is not None


def sanitize_question(source: str, detail: Detail) -> SanitizedBlock:
    """Return the sanitized HTML of a question, as one block. Accepts any string and raises nothing."""
    if detail is Detail.SOURCE:
        return question_as_written(source)
    parts: list[str] = []
    codes: list[CodeBlock] = []
    for text, info in _iter_parts(normalize_source(source)):
        if info is None:
            parts.append(_render_text(text, detail))
            continue
        language = language_of_info(info)
        code = highlight_code(text, language) if detail is Detail.COLORS else escape(text)
        parts.append(f"<pre><code>{code}</code></pre>")
        codes.append(CodeBlock(language, max_line_columns(text)))
    return SanitizedBlock(sanitize_html("".join(parts)), tuple(codes))


def question_as_written(source: str) -> SanitizedBlock:
    """Return a question without reading it."""
    return SanitizedBlock(str(escape(normalize_source(source))), ())


def _iter_parts(source: str) -> Iterator[tuple[str, str | None]]:
    """Yield the parts of a question: text with None, and fenced code with what its first line says.

    A fence that nothing closes is text: somebody wrote only its marks.
    """
    lines = source.split("\n")
    # Marks that nothing closes from here on, by their character: each is looked for once.
    unclosed: dict[str, int] = {}
    text: list[str] = []
    index = 0
    while index < len(lines):
        opening = _FENCE_OPENING.fullmatch(lines[index])
        end = _find_fence_end(lines, index + 1, opening[1], unclosed=unclosed) if opening else None
        if opening is None or end is None:
            text.append(lines[index])
            index += 1
            continue
        if text:
            yield "\n".join(text), None
            text = []
        yield "".join(f"{line}\n" for line in lines[index + 1 : end]), opening[2]
        index = end + 1
    if text:
        yield "\n".join(text), None


def _find_fence_end(lines: list[str], start: int, marks: str, *, unclosed: dict[str, int]) -> int | None:
    """Return the line that closes a fence, or None."""
    if len(marks) >= unclosed.get(marks[0], len(marks) + 1):
        return None
    closing = re.compile(rf" {{0,3}}{marks[0]}{{{len(marks)},}}[ \t]*")
    end = next((index for index in range(start, len(lines)) if closing.fullmatch(lines[index])), None)
    if end is None:
        unclosed[marks[0]] = len(marks)
    return end


def _build_inline_parser() -> MarkdownIt:
    """Make the parser of text: it knows code and formulas, and leaves line ends and backslashes alone."""
    parser = MarkdownIt("zero")
    formulas.install_plugin(parser)
    parser.inline.ruler.enableOnly(["text", "math_inline", "backticks"])
    parser.inline.ruler2.enableOnly([])
    return parser


_INLINE_PARSER = _build_inline_parser()


def _render_text(text: str, detail: Detail) -> str:
    if len(text) > MAX_INLINE_CHARS:
        return str(escape(text))
    [paragraph] = _INLINE_PARSER.parseInline(text, {})
    return "".join(_render_token(token, detail) for token in paragraph.children or ())


def _render_token(token: Token, detail: Detail) -> str:
    if token.type == "math_inline":
        mathml = render_mathml(token.content, token.block) if detail >= Detail.FORMULAS else None
        return mathml or f'<code dir="auto">{escape(token.markup)}</code>'
    if token.type == "code_inline":
        return f'<code dir="auto">{escape(token.content)}</code>'
    return str(escape(token.content))
