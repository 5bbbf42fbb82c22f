"""Stores what was found in a file as its user's and nobody else's, in steps that hold the database for a moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, insert, select, text, update

from chatsite.database import db, now
from chatsite.models import Conversation, ConversationTag, Generation, Message, Persona, Status, Tag
from chatsite.models.conversation import public_id
from chatsite.services import personas, tags
from chatsite.services.transfer import trees
from chatsite.services.transfer.own import PARTIAL
from chatsite.services.transfer.trees import Found, Said

Rows = list[dict[str, Any]]
Named = type[Conversation] | type[Message]

BATCH = 400
# A conversation that is not whole is stored as a temporary one, which nobody sees and which goes by itself.
PARTIAL_LASTS = timedelta(hours=1)
# Rows that are stored together have the same columns.
HEAD: dict[str, Any] = {
    "pinned": False,
    "archived_at": None,
    "expires_at": None,
    "model": None,
    "preset": None,
    "persona": None,
    "instructions": None,
    "numbers": None,
}
RUN: dict[str, Any] = {
    "status": Status.DONE,
    "model": None,
    "preset": None,
    "persona": None,
    "instructions": None,
    "numbers": None,
    "takes_over": False,
    "resets": False,
    "rating": None,
    "rating_note": None,
    "tokens": 0,
    "tokens_per_second": None,
    "finish_reason": None,
    "error": None,
    "receipt": None,
    "created_at": None,
    "started_at": None,
    "first_token_at": None,
    "finished_at": None,
}


def present(user_id: int, found: Sequence[Found]) -> dict[str, int]:
    """Which of some conversations this user has, or what came of them before: the ids there are, by `origin`."""
    mine = select(Conversation.id, Conversation.origin, Conversation.public_id).where(Conversation.user_id == user_id)
    known: dict[str, int] = {}
    for row in db.session.execute(mine.where(Conversation.public_id.in_([each.public_id for each in found]))):
        known.update({each.origin: row.id for each in found if each.public_id == row.public_id})
    for row in db.session.execute(mine.where(Conversation.origin.in_([each.origin for each in found]))):
        known[row.origin] = row.id
    return known


def add(user_id: int, found: Sequence[Found]) -> list[int]:
    """Store some conversations, in the write under way; returns their ids."""
    said = [each for one in found for each in one.said]
    heads = _taken(Conversation, [each.public_id for each in found if each.public_id])
    arrivals = [
        Arrival(user_id, one, number, one.public_id not in heads)
        for one, number in zip(found, _ids(Conversation, len(found)), strict=True)
    ]
    taken, ids = _taken(Message, [each.public_id for each in said if each.public_id]), iter(_ids(Message, len(said)))
    rows = [arrival.lines(arrival.found.said, ids, taken) for arrival in arrivals]
    _insert(Conversation, [arrival.head(arrival.leaf) for arrival in arrivals])
    _insert(Message, [line for lines, _ in rows for line in lines])
    _insert(Generation, [run for _, runs in rows for run in runs])
    for arrival in arrivals:
        arrival.tag()
    return [arrival.id for arrival in arrivals]


def begin(user_id: int, found: Found, mark: str) -> Arrival:
    """Store a long conversation without its messages, hidden under a `mark`, in the write under way.

    Then call `step` until it says that all is stored, and `finish`, each in a write of its own.
    """
    taken = _taken(Conversation, [found.public_id] if found.public_id else [])
    [number] = _ids(Conversation, 1)
    arrival = Arrival(user_id, found, number, found.public_id not in taken)
    hidden = {"origin": PARTIAL + mark, "expires_at": now() + PARTIAL_LASTS}
    _insert(Conversation, [{**arrival.head(None), **hidden}])
    return arrival


def forget_partial(user_id: int, mark: str) -> bool:
    """Delete, in the write under way, what was left of a conversation that was stored in part; whether there is more.

    Its ids are free then for the same conversation once more.
    """
    left = db.session.scalar(_partial(select(Conversation.id), user_id, mark))
    if left is None:
        return False
    # Newest first: the database lets no message be left behind without the one above it.
    newest = select(Message.id).where(Message.conversation_id == left).order_by(Message.id.desc()).limit(BATCH)
    ids = db.session.scalars(newest).all()
    model, ours = (Message, Message.id.in_(ids)) if ids else (Conversation, Conversation.id == left)
    db.session.execute(delete(model).where(ours).execution_options(synchronize_session=False))
    return True


def abandon_partial(user_id: int, mark: str) -> None:
    """Leave it to the sweep to delete that, in the write under way."""
    over = _partial(update(Conversation), user_id, mark).values(origin=None, expires_at=now())
    db.session.execute(over.execution_options(synchronize_session=False))


def _partial(statement: Any, user_id: int, mark: str) -> Any:
    return statement.where(Conversation.user_id == user_id, Conversation.origin == PARTIAL + mark)


class Arrival:
    """A conversation on its way into the database, where it is going to have the `id`.

    It keeps its public id where it `keeps` that, and else has a new one.
    """

    def __init__(self, user_id: int, found: Found, number: int, keeps: bool) -> None:
        self.id = number
        self.found = found
        self._user_id = user_id
        self._keeps = keeps and found.public_id is not None
        self._rows: dict[str, int] = {}
        self._done = 0
        said = [each.created_at for each in found.said if each.created_at]
        self._created = found.created_at or min(said, default=None) or found.updated_at or now()
        self._updated = found.updated_at or max(said, default=None) or self._created
        self._moment: datetime = self._created

    @property
    def leaf(self) -> int | None:
        """The id of the last message of the branch that is shown, once all messages have theirs."""
        key = trees.leaf(self.found.said)
        return None if key is None else self._rows[key]

    def head(self, leaf: int | None) -> dict[str, Any]:
        """The row of the conversation."""
        return {
            **HEAD,
            **self.found.values,
            "id": self.id,
            "public_id": self.found.public_id if self._keeps else public_id(),
            "user_id": self._user_id,
            "title": self.found.title,
            "origin": self._origin,
            "leaf_id": leaf,
            "created_at": self._created,
            "updated_at": self._updated,
        }

    def lines(self, said: Sequence[Said], ids: Iterator[int], taken: set[str]) -> tuple[Rows, Rows]:
        """The rows of the next messages, and of their generations."""
        lines: Rows = []
        runs: Rows = []
        for each in said:
            line = self._line(each, next(ids), taken)
            lines.append(line)
            runs.extend(self._runs(each, line))
        return lines, runs

    def step(self) -> bool:
        """Store the next messages; returns whether these were the last."""
        batch = self.found.said[self._done : self._done + BATCH]
        taken = _taken(Message, [each.public_id for each in batch if each.public_id])
        lines, runs = self.lines(batch, iter(_ids(Message, len(batch))), taken)
        _insert(Message, lines)
        _insert(Generation, runs)
        self._done += len(batch)
        return self._done >= len(self.found.said)

    def finish(self) -> None:
        """Show a conversation that was hidden."""
        this = update(Conversation).where(Conversation.id == self.id).execution_options(synchronize_session=False)
        db.session.execute(this.values(leaf_id=self.leaf, origin=self._origin, expires_at=None))
        self.tag()

    def tag(self) -> None:
        """Mark it with its tags."""
        if self.found.tags:
            _tag(self.id, tag_ids(self._user_id, self.found.tags).values(), self._updated)

    @property
    def _origin(self) -> str | None:
        return self.found.source if self._keeps else self.found.origin

    def _line(self, each: Said, number: int, taken: set[str]) -> dict[str, Any]:
        keeps = each.public_id is not None and each.public_id not in taken
        self._rows[each.key] = number
        self._moment = each.created_at or self._moment
        return {
            "id": number,
            "public_id": each.public_id if keeps else public_id(),
            "conversation_id": self.id,
            "parent_id": self._rows[each.parent] if each.parent else None,
            "shown": each.shown,
            "comparing": each.comparing,
            "role": each.role,
            "text": each.text,
            "origin": each.origin if keeps or each.origin else each.public_id,
            "created_at": self._moment,
        }

    def _runs(self, each: Said, message: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
        common = {"message_id": message["id"], "user_id": self._user_id, "attempt": 1, "cancel_requested": False}
        for number, run in enumerate(each.runs, start=1):
            row: dict[str, Any] = {**RUN, **run, **common, "newest": number == len(each.runs), "seq": 0}
            row["created_at"] = row["created_at"] or message["created_at"]
            yield row


def tag_ids(user_id: int, names: Sequence[str], colors: Mapping[str, str] | None = None) -> dict[str, int]:
    """The ids of tags of a user by their keys, in the write under way; those that there are not yet are made."""
    wanted = {tags.key(name): name for name in names}
    wanted.pop("", None)
    query = select(Tag.key, Tag.id).where(Tag.user_id == user_id, Tag.key.in_(wanted))
    found = {row.key: row.id for row in db.session.execute(query)}
    room = tags.MOST_TAGS - (db.session.scalar(select(func.count()).where(Tag.user_id == user_id)) or 0)
    for key in [key for key in wanted if key not in found][: max(room, 0)]:
        color = (colors or {}).get(wanted[key])
        tag = Tag(user_id=user_id, name=wanted[key], key=key, color=color if color in tags.COLORS else tags.COLORS[0])
        db.session.add(tag)
        db.session.flush()
        found[key] = tag.id
    return found


def add_tag(user_id: int, name: str, color: object, created_at: datetime | None) -> None:
    """Have a tag of this name, in the write under way; one that there is stays as it is."""
    known = select(Tag.id).where(Tag.user_id == user_id, Tag.key == tags.key(name))
    if tags.key(name) and db.session.scalar(known) is None:
        made = tag_ids(user_id, [name], {name: str(color)}).values()
        db.session.execute(update(Tag).where(Tag.id.in_(made)).values(created_at=created_at or now()))


def add_persona(user_id: int, values: Mapping[str, Any], created_at: datetime | None) -> None:
    """Have a saved persona, in the write under way, unless there is just the same already."""
    mine = db.session.scalars(select(Persona).where(Persona.user_id == user_id).limit(personas.MOST)).all()
    alike = any(all(getattr(each, key) == value for key, value in values.items()) for each in mine)
    if not alike and len(mine) < personas.MOST:
        db.session.add(Persona(user_id=user_id, created_at=created_at or now(), **values))


def _tag(conversation_id: int, ids: Iterable[int], moment: datetime) -> None:
    rows = [{"conversation_id": conversation_id, "tag_id": tag_id, "updated_at": moment} for tag_id in sorted(ids)]
    if rows:
        db.session.execute(insert(ConversationTag), rows)


def _taken(model: Named, ids: Sequence[str]) -> set[str]:
    """Those of some public ids that somebody has already."""
    found: set[str] = set()
    for start in range(0, len(ids), BATCH):
        found.update(db.session.scalars(select(model.public_id).where(model.public_id.in_(ids[start : start + BATCH]))))
    return found


def _ids(model: Named, number: int) -> Sequence[int]:
    """Ids for so many new rows, ascending, in the write under way.

    With ids that are known beforehand each message is stored with its parent at once. In SQLite nobody else writes now.
    """
    if db.engine.dialect.name == "sqlite":
        last = db.session.scalar(select(func.max(model.id))) or 0
        return range(last + 1, last + 1 + number)
    drawn = text("SELECT nextval(pg_get_serial_sequence(:name, 'id')) FROM generate_series(1, :number)")
    return sorted(db.session.scalars(drawn, {"name": model.__tablename__, "number": number}))


def _insert(model: type[Any], rows: Rows) -> None:
    if rows:
        db.session.execute(insert(model.__table__), rows)
