"""What somebody typed into the search box, understood. Nothing that can be typed is an error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from chatsite.models import Role
from chatsite.services.texts import fold

QUERY_CHARS = 500
MOST_TERMS = 16
# A single letter begins too many words: looking for all of them is slow and finds nothing that one wanted.
SHORTEST_PREFIX = 2

PIECE = re.compile(
    r"""(?P<minus>-?)
        (?:(?P<name>[^\W\d_]+):(?:"(?P<quoted>[^"]*)"?|(?P<value>[^\s"]+))
          |"(?P<phrase>[^"]*)(?P<closed>"?)
          |(?P<word>[^\s"]+))""",
    re.VERBOSE,
)
NAMES = {
    "in": "in",
    "en": "in",
    "by": "by",
    "por": "by",
    "before": "before",
    "antes": "before",
    "after": "after",
    "despues": "after",
    "tag": "tag",
    "etiqueta": "tag",
    "model": "model",
    "modelo": "model",
}
TITLES = {"title", "titles", "titulo", "titulos"}
SPEAKERS = {
    "me": Role.USER,
    "mi": Role.USER,
    "yo": Role.USER,
    "model": Role.ASSISTANT,
    "modelo": Role.ASSISTANT,
}
DAY = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?", re.ASCII)


@dataclass(frozen=True)
class Term:
    """A word or a phrase; with `prefix` its last word is the beginning of one."""

    text: str
    prefix: bool = False


@dataclass(frozen=True)
class Query:
    """What is looked for: all of the words, none of those in `without`, and what the filters say.

    `models` and `tags` are to be there, all of them, those in `without_models` and `without_tags` are not. It is for
    messages from `since` on that are older than `until`, and spoken by `role`. `in_titles` looks at titles only.
    """

    words: tuple[Term, ...] = ()
    without: tuple[Term, ...] = ()
    models: tuple[Term, ...] = ()
    without_models: tuple[Term, ...] = ()
    tags: tuple[str, ...] = ()
    without_tags: tuple[str, ...] = ()
    role: Role | None = None
    since: datetime | None = None
    until: datetime | None = None
    in_titles: bool = False

    @property
    def empty(self) -> bool:
        """Whether it looks for nothing at all."""
        return self == Query()


def parse(typed: str, zone: tzinfo = UTC) -> Query:
    """Understand what was typed; days are those of `zone`. What is no filter that we know is a word.

    The last word may be the beginning of one, unless a space or a quotation mark follows it.
    """
    typed = _clean(typed)
    found: dict[str, list[Term | str]] = {}
    single: dict[str, object] = {}
    for piece in PIECE.finditer(typed):
        for name, value in _read(piece, zone, last=piece.end() == len(typed)):
            if isinstance(value, Term | str) and not isinstance(value, Role):
                found.setdefault(name, []).append(value)
            else:
                single[name] = value
    many = {name: tuple(dict.fromkeys(values))[:MOST_TERMS] for name, values in found.items()}
    return Query(**many, **single)  # type: ignore[arg-type]


def _clean(typed: str) -> str:
    """At most `QUERY_CHARS` characters that a database can read, with one kind of quotation marks."""
    typed = re.sub(r"[“”„«»]", '"', typed[:QUERY_CHARS])
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", " ", typed)


def _read(piece: re.Match[str], zone: tzinfo, last: bool) -> Iterator[tuple[str, object]]:
    """What one piece adds to the query: the name of a field, and the value."""
    minus = bool(piece["minus"])
    if piece["name"]:
        value = piece["quoted"] if piece["value"] is None else piece["value"]
        understood = _filter(NAMES.get(fold(piece["name"]), ""), value, minus, zone)
        if understood:
            yield understood
            return
    yield from _words("without" if minus else "words", piece, last)


def _filter(name: str, value: str, minus: bool, zone: tzinfo) -> tuple[str, object] | None:
    """What a filter asks for, or None when it is none that we know."""
    folded = fold(value)
    if name == "in" and folded in TITLES and not minus:
        return "in_titles", True
    if name == "by" and folded in SPEAKERS:
        me = (SPEAKERS[folded] is Role.USER) is not minus
        return "role", Role.USER if me else Role.ASSISTANT
    if name == "tag" and folded.strip():
        return "without_tags" if minus else "tags", folded.strip()
    if name == "model" and _speaks(value):
        return "without_models" if minus else "models", Term(value.rstrip("*"), prefix=value.endswith("*"))
    moment = _moment(value, zone) if name in {"before", "after"} and not minus else None
    return ("until" if name == "before" else "since", moment) if moment else None


def _moment(value: str, zone: tzinfo) -> datetime | None:
    """The beginning of a day, a month or a year; None for what is none."""
    found = DAY.fullmatch(value)
    if not found:
        return None
    try:
        return datetime(int(found[1]), int(found[2] or 1), int(found[3] or 1), tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _words(name: str, piece: re.Match[str], last: bool) -> Iterator[tuple[str, Term]]:
    """A piece that is no filter, as a word or a phrase."""
    if piece["phrase"] is not None:
        text, prefix = piece["phrase"], last and not piece["closed"]
    else:
        text = piece[0].removeprefix("-") if piece["minus"] else piece[0]
        prefix = text.endswith("*") or (last and name == "words")
    text = text.replace('"', " ").rstrip("*").strip()
    if _speaks(text):
        yield name, Term(text, prefix=prefix and text[-1].isalnum() and len(text) >= SHORTEST_PREFIX)


def _speaks(text: str) -> bool:
    """Whether there is a letter or a digit in it: nothing else is in an index."""
    return any(character.isalnum() for character in text)
