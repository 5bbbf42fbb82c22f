"""Colors and names for code: Pygments finds the tokens, a class stands for a color, the style sheet gives it.

`python -m chatsite.rendering.highlight > static/css/highlight.css` writes the style sheet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import groupby
from time import thread_time

from markupsafe import escape
from pygments.lexer import Lexer
from pygments.lexers import get_all_lexers, get_lexer_by_name
from pygments.token import STANDARD_TYPES, Comment, Generic, Keyword, Name, Number, Operator, String, Text
from pygments.token import _TokenType as Kind

MAX_CODE_CHARS = 20_000
"""Longer code is shown without colors: Pygments takes milliseconds for each few lines."""

MAX_SECONDS = 0.25
"""Code that takes more processor time than this has no colors from there on.

Honest code of MOST_CODE characters takes less. But five thousand lines with nothing but an `a` keep the
lexer of C# busy for ten seconds, and several lexers have such a text.
"""

# fmt: off
LANGUAGES = frozenset(
    {
        "ada", "awk", "bash", "batch", "c", "clojure", "cmake", "common-lisp", "console", "cpp", "csharp",
        "css", "dart", "delphi", "diff", "django", "docker", "elixir", "elm", "erlang", "fortran", "fsharp",
        "go", "graphql", "groovy", "haskell", "html", "http", "ini", "java", "javascript", "json", "jsx",
        "julia", "kotlin", "less", "lua", "make", "markdown", "matlab", "nasm", "nginx", "nimrod", "nixos",
        "objective-c", "ocaml", "perl", "php", "postgresql", "powershell", "prolog", "properties",
        "protobuf", "pycon", "pytb", "python", "ruby", "rust", "scala", "scheme", "scss", "splus", "sql",
        "swift", "terraform", "tex", "toml", "tsx", "typescript", "vim", "vue", "xml", "yaml", "zig",
    }
)
# fmt: on
"""The lexers that are used, by their first alias; their other aliases count too.

Pygments has some five hundred. A lexer is made of regular expressions that were not written for hostile
text, so the well-worn ones are enough.
"""

# A token has the color of the nearest of these above it; the colors are in static/css/tokens.css.
COLORS: dict[Kind, str] = {
    Comment: "quiet",
    Keyword: "word",
    String: "string",
    Number: "value",
    Operator.Word: "word",
    Name.Attribute: "value",
    Name.Builtin: "known",
    Name.Class: "type",
    Name.Constant: "value",
    Name.Decorator: "known",
    Name.Entity: "known",
    Name.Exception: "type",
    Name.Function: "name",
    Name.Namespace: "type",
    Name.Tag: "name",
    Generic.Deleted: "removed",
    Generic.Error: "removed",
    Generic.Heading: "name",
    Generic.Inserted: "string",
    Generic.Output: "quiet",
    Generic.Prompt: "quiet",
    Generic.Subheading: "known",
    Generic.Traceback: "removed",
}

# A page has thousands of tokens, so a class is as short as Pygments' name of the first kind that has its color.
CLASS_BY_COLOR = {color: STANDARD_TYPES[kind] for kind, color in reversed(COLORS.items())}
CLASSES = frozenset(CLASS_BY_COLOR.values())


# What Pygments calls otherwise than people do.
_DISPLAY_NAMES = {
    "batch": "Batch",
    "console": "Shell",
    "django": "Jinja",
    "docker": "Dockerfile",
    "less": "Less",
    "matlab": "MATLAB",
    "nginx": "Nginx",
    "nimrod": "Nim",
    "postgresql": "PostgreSQL",
    "protobuf": "Protocol Buffers",
    "pycon": "Python",
    "pytb": "Python",
    "splus": "R",
    "vim": "Vim",
}
_PLAIN_TEXT = frozenset({"text", "txt", "plain", "plaintext", "none", "code"})


def _load_aliases() -> dict[str, tuple[str, str]]:
    """Map each alias of a listed language to the name by which Pygments finds its lexer, and to what it is called."""
    lexers = [(name, aliases) for name, aliases, _, _ in get_all_lexers(plugins=False) if aliases]
    return {
        alias: (aliases[0], _DISPLAY_NAMES.get(aliases[0], name))
        for name, aliases in lexers
        if aliases[0] in LANGUAGES
        for alias in aliases
    }


_ALIASES = _load_aliases()


def language_name(language: str) -> str:
    """Return what people call `language`, which is in small letters: `C++` for `cpp`.

    One that is not listed is called as it is written, and plain text is no language.
    """
    return "" if language in _PLAIN_TEXT else _ALIASES.get(language, ("", language))[1]


@lru_cache(maxsize=len(LANGUAGES))
def _load_lexer(name: str) -> Lexer:
    """Make the lexer `name` so that it changes nothing in the code; PHP needs no opening tag."""
    options = {"startinline": True} if name == "php" else {}
    return get_lexer_by_name(name, stripnl=False, ensurenl=False, **options)


def _class_of(kind: Kind) -> str:
    """Return the class of the nearest colored kind above `kind`, or nothing."""
    return next((CLASS_BY_COLOR[COLORS[ancestor]] for ancestor in reversed(kind.split()) if ancestor in COLORS), "")


def _iter_spans(tokens: Iterable[tuple[Kind, str]]) -> Iterator[str]:
    """Return HTML for `tokens`, with one element around neighbors of the same color."""
    for name, group in groupby(tokens, lambda token: _class_of(token[0])):
        text = escape("".join(text for _, text in group))
        yield f'<i class="{name}">{text}</i>' if name else str(text)


def _iter_tokens(code: str, name: str, max_seconds: float) -> Iterator[tuple[Kind, str]]:
    """Return the tokens that the lexer `name` finds within its time, and the rest as one piece of text."""
    deadline = thread_time() + max_seconds
    consumed = 0
    for kind, text in _load_lexer(name).get_tokens(code):
        yield kind, text
        consumed += len(text)
        if thread_time() > deadline:
            yield Text, code[consumed:]
            return


def highlight_code(code: str, language: str, max_seconds: float = MAX_SECONDS) -> str:
    """Return `code` as HTML with elements `<i>` of the classes in CLASSES, or only escaped.

    It is only escaped if the language is not listed, if it is longer than MAX_CODE_CHARS, or if the lexer would change
    it: what is copied has to be what was written.
    """
    if language not in _ALIASES or len(code) > MAX_CODE_CHARS:
        return str(escape(code))
    tokens = list(_iter_tokens(code, _ALIASES[language][0], max_seconds))
    if "".join(text for _, text in tokens) != code:
        return str(escape(code))
    return "".join(_iter_spans(tokens))


def build_stylesheet() -> str:
    """Return the style sheet: one rule for each color."""
    rules = [f"  code .{name} {{ color: var(--code-{color}) }}" for color, name in CLASS_BY_COLOR.items()]
    head = "/* Written by `python -m chatsite.rendering.highlight`; the colors are in tokens.css. */"
    upright = "  code i { font-style: normal }"
    return "\n".join([head, "@layer components {", upright, *rules, "}"]) + "\n"


if __name__ == "__main__":
    print(build_stylesheet(), end="")
