"""The conversations of the demo, read from the files in `texts`.

A file begins with lines of the form `name: value`. After an empty line, `>>>` begins a question and `<<<` an answer.
Marks after them describe the message: `good` or `bad=why` rate it, `model=name` names the model that wrote it,
`version` makes it another version of the message before, and `beside` an answer to compare with the one before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from chatsite.models import Role

TEXTS_FOLDER = Path(__file__).parent / "texts"
ROLE_MARKS = {">>>": Role.USER, "<<<": Role.ASSISTANT}
AGE_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


@dataclass(frozen=True)
class TranscriptLine:
    """One message of a conversation, with its marks."""

    role: Role
    text: str
    marks: dict[str, str]


@dataclass(frozen=True)
class Transcript:
    """A conversation: the `name` of its file, its `header`, and its messages."""

    name: str
    header: dict[str, str]
    lines: tuple[TranscriptLine, ...]

    @property
    def age(self) -> timedelta:
        """The time since the last question."""
        written = self.header["age"]
        return int(written[:-1]) * AGE_UNITS[written[-1]]

    def has_flag(self, name: str) -> bool:
        """Return whether the header sets a flag."""
        return self.header.get(name) == "yes"


def load_transcripts() -> list[Transcript]:
    """List the conversations of the demo, oldest first."""
    transcripts = [
        parse_transcript(path.stem, path.read_text(encoding="utf-8")) for path in sorted(TEXTS_FOLDER.glob("*.md"))
    ]
    return sorted(transcripts, key=lambda transcript: transcript.age, reverse=True)


def parse_transcript(name: str, text: str) -> Transcript:
    """Read the conversation in a file of the demo."""
    head, _, body = text.partition("\n\n")
    header = dict(line.split(": ", 1) for line in head.splitlines())
    return Transcript(name, header, tuple(_parse_lines(body)))


def _parse_lines(body: str) -> list[TranscriptLine]:
    lines: list[TranscriptLine] = []
    for part in re.split(r"^(?=>>>|<<<)", body, flags=re.MULTILINE):
        mark, _, text = part.partition("\n")
        if text.strip():
            lines.append(TranscriptLine(ROLE_MARKS[mark[:3]], text.strip(), _parse_marks(mark[3:])))
    return lines


def _parse_marks(text: str) -> dict[str, str]:
    """Split the marks of a message into names and values; `bad=` takes the rest of the line."""
    text, _, reason = text.partition("bad=")
    marks = {name: value for name, _, value in (word.partition("=") for word in text.split())}
    return {**marks, "bad": reason.strip()} if reason else marks
