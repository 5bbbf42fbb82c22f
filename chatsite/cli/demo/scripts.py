"""The conversations of the demo as they are written down in `texts`: what each is like, and who says what in it.

A file begins with lines of the form `name: value`. After an empty line, `>>>` begins a question and `<<<` an answer;
words behind them say more of it: `good` or `bad=why` rate it, `model=name` wrote it, `version` is another version of
what was said before it, `beside` an answer to compare that with.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from chatsite.models import Role

TEXTS = Path(__file__).parent / "texts"
ROLES = {">>>": Role.USER, "<<<": Role.ASSISTANT}
UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


@dataclass(frozen=True)
class Line:
    """Something that was said, and what is told of it."""

    role: Role
    text: str
    words: dict[str, str]


@dataclass(frozen=True)
class Script:
    """A conversation: the `name` of its file, what is told `about` it, and what was said."""

    name: str
    about: dict[str, str]
    said: tuple[Line, ...]

    @property
    def age(self) -> timedelta:
        """How long ago its last question was asked."""
        written = self.about["age"]
        return int(written[:-1]) * UNITS[written[-1]]

    def has(self, word: str) -> bool:
        """Whether a line of its head says so."""
        return self.about.get(word) == "yes"


def all_scripts() -> list[Script]:
    """The conversations of the demo, the oldest first."""
    found = [read(path.stem, path.read_text(encoding="utf-8")) for path in sorted(TEXTS.glob("*.md"))]
    return sorted(found, key=lambda script: script.age, reverse=True)


def read(name: str, text: str) -> Script:
    """The conversation in a file of that name."""
    head, _, body = text.partition("\n\n")
    about = dict(line.split(": ", 1) for line in head.splitlines())
    return Script(name, about, tuple(_lines(body)))


def _lines(body: str) -> list[Line]:
    found: list[Line] = []
    for part in re.split(r"^(?=>>>|<<<)", body, flags=re.MULTILINE):
        mark, _, text = part.partition("\n")
        if text.strip():
            found.append(Line(ROLES[mark[:3]], text.strip(), _words(mark[3:])))
    return found


def _words(told: str) -> dict[str, str]:
    """The words behind a mark; what follows `bad=` is a sentence, and goes to the end."""
    told, _, why = told.partition("bad=")
    words = {name: value for name, _, value in (word.partition("=") for word in told.split())}
    return {**words, "bad": why.strip()} if why else words
