"""Conversations as Markdown, to be read and to be edited elsewhere: the branch of each that is shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Row

from chatsite.models import Role
from chatsite.services.transfer import reading
from chatsite.services.transfer.reading import Line


def export(user_id: int, you: str, only: int | None = None) -> Iterator[str]:
    """Everything of a user, or one conversation. `you` is what the user is called, models have their names."""
    first = True
    for head in reading.heads(user_id, only):
        yield ("" if first else "\n---\n\n") + _heading(head.row, head.tags)
        first = False
        for line in reading.branch(head.row.id):
            yield _message(line, you)


def _heading(row: Row[Any], tags: object) -> str:
    facts = [_day(row.created_at), *(f"#{tag.replace(' ', '-')}" for tag in tags)]  # type: ignore[attr-defined]
    told = "".join(f"> {line}\n" for line in (row.instructions or "").splitlines())
    return f"# {row.title}\n\n{' · '.join(facts)}\n" + (f"\n{told}" if told else "")


def _message(line: Line, you: str) -> str:
    model = line.runs[-1]["model"] if line.runs else None
    who = you if line.row.role is Role.USER else model or "chatsite"
    return f"\n## {who}\n\n{line.row.text}\n"


def _day(moment: Any) -> str:
    return str(moment.strftime("%Y-%m-%d %H:%M UTC"))
