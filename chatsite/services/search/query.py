"""Parser of the search box. Every text that can be typed is a valid query."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from chatsite.models import Role
from chatsite.models.search_segmentation import has_segmented_character
from chatsite.services.text import fold_accents

MAX_QUERY_CHARS = 500
MAX_TERMS = 16
# A single letter begins too many words: a search for all of them is slow and finds nothing useful.
MIN_PREFIX_CHARS = 2

TOKEN_PATTERN = re.compile(
    r"""(?P<minus>-?)
        (?:(?P<name>[^\W\d_]+):(?:"(?P<quoted>[^"]*)"?|(?P<value>[^\s"]+))
          |"(?P<phrase>[^"]*)(?P<closed>"?)
          |(?P<word>[^\s"]+))""",
    re.VERBOSE,
)
FILTER_NAMES = {
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
TITLE_NAMES = {"title", "titles", "titulo", "titulos"}
ROLE_NAMES = {
    "me": Role.USER,
    "mi": Role.USER,
    "yo": Role.USER,
    "model": Role.ASSISTANT,
    "modelo": Role.ASSISTANT,
}
DATE_PATTERN = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?", re.ASCII)


@dataclass(frozen=True)
class Term:
    """A word or a phrase; with `is_prefix` its last word is the beginning of a word."""

    text: str
    is_prefix: bool = False


@dataclass(frozen=True)
class Query:
    """A parsed query: a result has all of `words`, none of `excluded_words`, and passes the filters.

    A result has all of `models` and `tags`, and none of `excluded_models` and `excluded_tags`. A message is not older
    than `since`, older than `until`, and written by `role`. With `in_titles` only titles are searched.
    """

    words: tuple[Term, ...] = ()
    excluded_words: tuple[Term, ...] = ()
    models: tuple[Term, ...] = ()
    excluded_models: tuple[Term, ...] = ()
    tags: tuple[str, ...] = ()
    excluded_tags: tuple[str, ...] = ()
    role: Role | None = None
    since: datetime | None = None
    until: datetime | None = None
    in_titles: bool = False

    @property
    def is_empty(self) -> bool:
        """Return whether the query has neither words nor filters."""
        return self == Query()


def parse_query(typed: str, zone: tzinfo = UTC) -> Query:
    """Parse a typed query; dates are days of `zone`. Unknown filters count as words.

    The last word counts as the beginning of a word, unless a space or a quotation mark follows it.
    """
    typed = _clean_typed(typed)
    terms: dict[str, list[Term | str]] = {}
    scalars: dict[str, object] = {}
    for token in TOKEN_PATTERN.finditer(typed):
        for name, value in _read_token(token, zone, is_last=token.end() == len(typed)):
            if isinstance(value, Term | str) and not isinstance(value, Role):
                terms.setdefault(name, []).append(value)
            else:
                scalars[name] = value
    term_fields = {name: tuple(dict.fromkeys(values))[:MAX_TERMS] for name, values in terms.items()}
    return Query(**term_fields, **scalars)  # type: ignore[arg-type]


def _clean_typed(typed: str) -> str:
    """Return the first MAX_QUERY_CHARS characters of a query, without control characters and typographic quotes."""
    typed = re.sub(r"[“”„«»]", '"', typed[:MAX_QUERY_CHARS])
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", " ", typed)


def _read_token(token: re.Match[str], zone: tzinfo, is_last: bool) -> Iterator[tuple[str, object]]:
    """Yield what one token adds to the query: the name of a field, and a value."""
    is_negated = bool(token["minus"])
    if token["name"]:
        value = token["quoted"] if token["value"] is None else token["value"]
        parsed_filter = _parse_filter(FILTER_NAMES.get(fold_accents(token["name"]), ""), value, is_negated, zone=zone)
        if parsed_filter:
            yield parsed_filter
            return
    yield from _parse_words("excluded_words" if is_negated else "words", token, is_last)


def _parse_filter(name: str, value: str, is_negated: bool, *, zone: tzinfo) -> tuple[str, object] | None:
    """Return the field and the value of a filter; None if the filter is unknown or its value is invalid."""
    folded = fold_accents(value)
    if name == "in" and folded in TITLE_NAMES and not is_negated:
        return "in_titles", True
    if name == "by" and folded in ROLE_NAMES:
        is_user = (ROLE_NAMES[folded] is Role.USER) is not is_negated
        return "role", Role.USER if is_user else Role.ASSISTANT
    if name == "tag" and folded.strip():
        return "excluded_tags" if is_negated else "tags", folded.strip()
    if name == "model" and _is_searchable(value):
        return "excluded_models" if is_negated else "models", Term(value.rstrip("*"), is_prefix=value.endswith("*"))
    start = _parse_date(value, zone) if name in {"before", "after"} and not is_negated else None
    return ("until" if name == "before" else "since", start) if start else None


def _parse_date(value: str, zone: tzinfo) -> datetime | None:
    """Return the beginning of a day, a month or a year in `zone`, as UTC; None if the text is no date."""
    match = DATE_PATTERN.fullmatch(value)
    if not match:
        return None
    try:
        return datetime(int(match[1]), int(match[2] or 1), int(match[3] or 1), tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _parse_words(name: str, token: re.Match[str], is_last: bool) -> Iterator[tuple[str, Term]]:
    """Yield a token that is no filter as a word or a phrase for the field `name`, unless it has no letter or digit."""
    if token["phrase"] is not None:
        text, is_prefix = token["phrase"], is_last and not token["closed"]
    else:
        text = token[0].removeprefix("-") if token["minus"] else token[0]
        is_prefix = text.endswith("*") or (is_last and name == "words")
    text = text.replace('"', " ").rstrip("*").strip()
    if _is_searchable(text):
        # The last letter of a script without spaces is a whole word in the indexes, and what follows may be anything.
        is_open = text[-1].isalnum() and not has_segmented_character(text[-1])
        yield name, Term(text, is_prefix=is_prefix and is_open and len(text) >= MIN_PREFIX_CHARS)


def _is_searchable(text: str) -> bool:
    """Return whether a text has a letter, a digit or an emoji; the indexes contain nothing else."""
    return any(character.isalnum() for character in text) or has_segmented_character(text)
