"""Branches: where a message tree has more than one version, and which messages are not on the active branch.

Only versions that are not active are read, by an index that holds nothing else, and what follows them. So a long
conversation without versions costs as little as a short one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Row, func, select
from sqlalchemy.orm import aliased

from chatsite.database import db
from chatsite.models import Conversation, Generation, Message, Role

# Versions that are not active, on one page.
PAGE_SIZE = 100
# Beyond so many messages on other branches nobody is told which branch a message is on.
MAX_OTHER_MESSAGES = 2000
# Branch points that lie deeper are listed beside the ones above them.
MAX_DEPTH = 4
TEXT_CHARS = 200


@dataclass
class Version:
    """One version at a branch point. `branch_points` are those on its branch, if it is not the active version."""

    public_id: str
    text: str
    model: str
    created_at: datetime
    is_current: bool
    branch_points: list[BranchPoint] = field(default_factory=list)


@dataclass
class BranchPoint:
    """A place in the tree with several versions of a question or of an answer."""

    role: Role
    versions: list[Version]


@dataclass(frozen=True)
class BranchPage:
    """Some branch points, those on other branches inside the version that leads to them; `next` is the next page."""

    branch_points: Sequence[BranchPoint]
    next: int | None


def map_other_branches(conversation: Conversation) -> Mapping[int, int] | None:
    """Return the messages that are not on the active branch, each with the inactive version that leads to it.

    Both are ids. Returns None if there are more than MAX_OTHER_MESSAGES.
    """
    inactive = select(Message.id).where(Message.conversation_id == conversation.id, ~Message.is_active)
    first = inactive.order_by(Message.id).limit(MAX_OTHER_MESSAGES + 1).subquery()
    other = select(first.c.id, first.c.id.label("version_id")).cte("other", recursive=True)
    below = select(Message.id, other.c.version_id).join(other, Message.parent_id == other.c.id)
    other = other.union_all(below.where(Message.is_active))
    rows = db.session.execute(select(other.c.id, other.c.version_id).limit(MAX_OTHER_MESSAGES + 1)).all()
    return None if len(rows) > MAX_OTHER_MESSAGES else {row.id: row.version_id for row in rows}


def list_branch_points(conversation: Conversation, after: int = 0, size: int = PAGE_SIZE) -> BranchPage:
    """Return the branch points of about `size` versions, from the beginning; `after` is the `next` of the page before.

    A branch point that is cut by the end of a page continues on the next one.
    """
    inactive = (
        select(Message.id, Message.parent_id)
        .where(Message.conversation_id == conversation.id, ~Message.is_active, Message.id > after)
        .order_by(Message.id)
        .limit(size + 1)
    )
    found = db.session.execute(inactive).all()
    shown = found[:size]
    rows = _load_rows([row.id for row in shown] + _active_versions(conversation, {row.parent_id for row in shown}))
    tree = _arrange(rows, map_other_branches(conversation))
    return BranchPage(tree, shown[-1].id if len(found) > size else None)


def list_versions(message: Message, limit: int = PAGE_SIZE) -> list[Version]:
    """Return the versions of a message, itself included, the oldest first; of very many only the first and itself."""
    are_versions = (
        (Message.conversation_id == message.conversation_id) & Message.parent_id.is_(None)
        if message.parent_id is None
        else Message.parent_id == message.parent_id
    )
    ids = list(db.session.scalars(select(Message.id).where(are_versions).order_by(Message.id).limit(limit)))
    return [_to_version(row, is_current=row.is_active) for row in _load_rows(sorted({*ids, message.id}))]


def _active_versions(conversation: Conversation, parent_ids: set[int | None]) -> list[int]:
    """Return the ids of the active versions below these parents; None stands for the first messages."""
    below = select(Message.id).where(Message.parent_id.in_(parent_ids - {None}), Message.is_active)
    ids = list(db.session.scalars(below))
    if None in parent_ids:
        roots = select(Message.id).where(Message.conversation_id == conversation.id, Message.parent_id.is_(None))
        ids += db.session.scalars(roots.where(Message.is_active))
    return ids


def _load_rows(ids: Sequence[int]) -> Sequence[Row[tuple[object, ...]]]:
    """Return what is shown of messages, in the order of their ids; of a text only its beginning is loaded."""
    newest = aliased(Generation)
    return db.session.execute(
        select(
            Message.id,
            Message.public_id,
            Message.parent_id,
            Message.role,
            Message.is_active,
            Message.created_at,
            func.substr(Message.text, 1, TEXT_CHARS).label("text"),
            newest.model,
        )
        .outerjoin(newest, (newest.message_id == Message.id) & newest.is_latest)
        .where(Message.id.in_(ids))
        .order_by(Message.id)
    ).all()


def _arrange(rows: Sequence[Row[tuple[object, ...]]], other: Mapping[int, int] | None) -> list[BranchPoint]:
    """Group versions by their parent, and put each group into the version that leads to it."""
    groups: dict[int | None, list[Row[tuple[object, ...]]]] = {}
    for row in rows:
        groups.setdefault(row.parent_id, []).append(row)
    top: list[BranchPoint] = []
    # The version by its id, with the list that its branch point is in and the depth of that list.
    placed: dict[int, tuple[Version, list[BranchPoint], int]] = {}
    # A message has a greater id than all above it, so the version that leads to a group is placed before the group.
    for parent_id, members in groups.items():
        leading_id = (other or {}).get(parent_id or 0)
        version, siblings, depth = placed.get(leading_id or 0, (None, top, 0))
        target, depth = (version.branch_points, depth + 1) if version and depth < MAX_DEPTH else (siblings, depth)
        is_on_branch = other is not None and leading_id is None
        versions = [_to_version(row, is_current=is_on_branch and row.is_active) for row in members]
        target.append(BranchPoint(members[0].role, versions))
        placed |= {row.id: (made, target, depth) for row, made in zip(members, versions, strict=True)}
    return top


def _to_version(row: Row[tuple[object, ...]], *, is_current: bool) -> Version:
    return Version(row.public_id, row.text, row.model or "", row.created_at, is_current)
