"""Colours for code: Pygments finds the tokens, a class a colour, and the style sheet for both colour schemes.

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

# A token gets the class of the nearest of these above it: (light, dark), 4.5:1 or more on the background.
COLOURS: dict[Kind, tuple[str, str]] = {
    Comment: ("#5f6670", "#9aa2ad"),
    Keyword: ("#a0186b", "#f58fc8"),
    String: ("#1a6b34", "#8fd6a0"),
    Number: ("#8a4500", "#f0b072"),
    Operator.Word: ("#a0186b", "#f58fc8"),
    Name.Attribute: ("#8a4500", "#f0b072"),
    Name.Builtin: ("#5b3fb5", "#c0aeff"),
    Name.Class: ("#006a75", "#7cd3dd"),
    Name.Constant: ("#8a4500", "#f0b072"),
    Name.Decorator: ("#5b3fb5", "#c0aeff"),
    Name.Entity: ("#5b3fb5", "#c0aeff"),
    Name.Exception: ("#006a75", "#7cd3dd"),
    Name.Function: ("#1857b8", "#8fbcff"),
    Name.Namespace: ("#006a75", "#7cd3dd"),
    Name.Tag: ("#1857b8", "#8fbcff"),
    Generic.Deleted: ("#b3231b", "#ff9d94"),
    Generic.Error: ("#b3231b", "#ff9d94"),
    Generic.Heading: ("#1857b8", "#8fbcff"),
    Generic.Inserted: ("#1a6b34", "#8fd6a0"),
    Generic.Output: ("#5f6670", "#9aa2ad"),
    Generic.Prompt: ("#5f6670", "#9aa2ad"),
    Generic.Subheading: ("#5b3fb5", "#c0aeff"),
    Generic.Traceback: ("#b3231b", "#ff9d94"),
}

_CLASS_OF = {kind: f"hl-{STANDARD_TYPES[kind]}" for kind in COLOURS}
CLASSES = frozenset(_CLASS_OF.values())


def _aliases() -> dict[str, str]:
    """Map each alias of a listed language to the name under which Pygments finds its lexer."""
    every = [aliases for _, aliases, _, _ in get_all_lexers(plugins=False)]
    return {alias: names[0] for names in every if names and names[0] in LANGUAGES for alias in names}


_ALIASES = _aliases()


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
    name = _ALIASES.get(language)
    if name is None or len(code) > MOST_CODE:
        return str(escape(code))
    tokens = list(_tokens(code, name, seconds))
    if "".join(text for _, text in tokens) != code:
        return str(escape(code))
    return "".join(_spans(tokens))


def stylesheet() -> str:
    """Give the style sheet: one rule for each colour, for a light and a dark code background."""
    selectors: dict[tuple[str, str], list[str]] = {}
    for kind, colours in COLOURS.items():
        selectors.setdefault(colours, []).append(f".{_CLASS_OF[kind]}")
    rules = [f"{', '.join(names)} {{ color: light-dark({a}, {b}); }}" for (a, b), names in selectors.items()]
    head = "/* Written by `python -m chatsite.rendering.highlight`; change the colours there. */"
    return "\n".join([head, *rules]) + "\n"


if __name__ == "__main__":
    print(stylesheet(), end="")
