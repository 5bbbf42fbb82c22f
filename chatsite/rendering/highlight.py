"""Colours and names for code: Pygments finds the tokens, a class stands for a colour, the style sheet gives it.

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

MOST_CODE = 20_000
"""Longer code is shown without colours: Pygments takes milliseconds for each few lines."""

MOST_SECONDS = 0.25
"""Code that takes more processor time than this has no colours from there on.

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

# A token has the colour of the nearest of these above it; the colours are in static/css/tokens.css.
COLOURS: dict[Kind, str] = {
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

_CLASS_OF = {kind: f"hl-{STANDARD_TYPES[kind]}" for kind in COLOURS}
CLASSES = frozenset(_CLASS_OF.values())


# What Pygments calls otherwise than people do.
_NAMES = {
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
_NO_LANGUAGE = frozenset({"text", "txt", "plain", "plaintext", "none", "code"})


def _aliases() -> dict[str, tuple[str, str]]:
    """Map each alias of a listed language to the name by which Pygments finds its lexer, and to what it is called."""
    every = [(name, aliases) for name, aliases, _, _ in get_all_lexers(plugins=False) if aliases]
    return {
        alias: (aliases[0], _NAMES.get(aliases[0], name))
        for name, aliases in every
        if aliases[0] in LANGUAGES
        for alias in aliases
    }


_ALIASES = _aliases()


def called(language: str) -> str:
    """Give what people call `language`, which is in small letters: `C++` for `cpp`.

    One that is not listed is called as it is written, and plain text is no language.
    """
    return "" if language in _NO_LANGUAGE else _ALIASES.get(language, ("", language))[1]


@lru_cache(maxsize=len(LANGUAGES))
def _lexer(name: str) -> Lexer:
    """Make the lexer `name` so that it changes nothing in the code; PHP needs no opening tag."""
    options = {"startinline": True} if name == "php" else {}
    return get_lexer_by_name(name, stripnl=False, ensurenl=False, **options)


def _class_of(kind: Kind) -> str:
    """Give the class of the nearest coloured kind above `kind`, or nothing."""
    return next((_CLASS_OF[above] for above in reversed(kind.split()) if above in _CLASS_OF), "")


def _spans(tokens: Iterable[tuple[Kind, str]]) -> Iterator[str]:
    """Give HTML for `tokens`, with one span around neighbours of the same colour."""
    for name, group in groupby(tokens, lambda token: _class_of(token[0])):
        text = escape("".join(text for _, text in group))
        yield f'<span class="{name}">{text}</span>' if name else str(text)


def _tokens(code: str, name: str, seconds: float) -> Iterator[tuple[Kind, str]]:
    """Give the tokens that the lexer `name` finds within its time, and the rest as one piece of text."""
    end = thread_time() + seconds
    done = 0
    for kind, text in _lexer(name).get_tokens(code):
        yield kind, text
        done += len(text)
        if thread_time() > end:
            yield Text, code[done:]
            return


def highlight(code: str, language: str, seconds: float = MOST_SECONDS) -> str:
    """Give `code` as HTML with spans of the classes in CLASSES, or only escaped.

    The latter for a language that is not listed, for code longer than MOST_CODE, and where a lexer would
    change the code: what is copied has to be what was written.
    """
    if language not in _ALIASES or len(code) > MOST_CODE:
        return str(escape(code))
    tokens = list(_tokens(code, _ALIASES[language][0], seconds))
    if "".join(text for _, text in tokens) != code:
        return str(escape(code))
    return "".join(_spans(tokens))


def stylesheet() -> str:
    """Give the style sheet: one rule for each colour."""
    selectors: dict[str, list[str]] = {}
    for kind, colour in COLOURS.items():
        selectors.setdefault(colour, []).append(f".{_CLASS_OF[kind]}")
    rules = [f"  {', '.join(names)} {{ color: var(--code-{colour}) }}" for colour, names in selectors.items()]
    head = "/* Written by `python -m chatsite.rendering.highlight`; the colours are in tokens.css. */"
    return "\n".join([head, "@layer components {", *rules, "}"]) + "\n"


if __name__ == "__main__":
    print(stylesheet(), end="")
