"""Tags: make, change and delete them, and mark conversations with them."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence

from sqlalchemy import Select, delete, func, insert, literal, select

from chatsite.database import db, write
from chatsite.errors import (
    ColorUnknownError,
    EmptyTagError,
    NotFoundError,
    TagTakenError,
    TagTooLongError,
    TooManyTagsError,
)
from chatsite.models import Conversation, ConversationTag, Tag, Undo, User
from chatsite.models.tag import TAG_CHARS
from chatsite.services import conversations, undos
from chatsite.services.conversations import tidy

COLORS = ("gray", "red", "orange", "green", "teal", "blue", "purple", "pink")
MOST_TAGS = 200


def key(name: str) -> str:
    """What a tag is found by: its name without accents and capitals."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    bare = "".join(each for each in letters if not unicodedata.combining(each)).casefold()
    return bare.strip()[:TAG_CHARS].rstrip()


def index(user: User) -> Sequence[Tag]:
    """The user's tags by name."""
    return db.session.scalars(select(Tag).where(Tag.user_id == user.id).order_by(Tag.key)).all()


def get(user: User | None, public_id: str) -> Tag:
    """The user's tag of that name. Raises NotFoundError."""
    found = None
    if user is not None:
        found = db.session.scalar(select(Tag).where(Tag.public_id == public_id, Tag.user_id == user.id))
    if found is None:
        raise NotFoundError
    return found


def of(rows: Collection[Conversation]) -> Mapping[int, Sequence[Tag]]:
    """The tags of some conversations by name, by the id of the conversation; those without are left out."""
    if not rows:
        return {}
    query = select(ConversationTag.conversation_id, Tag).join(Tag, Tag.id == ConversationTag.tag_id)
    marks = query.where(ConversationTag.conversation_id.in_([row.id for row in rows])).order_by(Tag.key)
    found: dict[int, list[Tag]] = {}
    for conversation_id, tag in db.session.execute(marks).all():
        found.setdefault(conversation_id, []).append(tag)
    return found


def create(user: User, name: str, color: str | None = None) -> Tag:
    """The user's tag of that name, made now if there is none; without a colour it gets the one that is used least.

    Raises EmptyTagError, TagTooLongError, ColorUnknownError or TooManyTagsError.
    """
    name, user_id = _checked(name, color), user.id
    with write():
        return _named(user_id, name, color)


def choose(user: User, conversation: Conversation, chosen: Collection[str], new: str = "") -> Undo:
    """Mark a conversation with those tags that are chosen, and with a new one where its name was typed; no others.

    Raises NotFoundError when one of them is not the user's, what `create` raises, and what `conversations.hold` raises.
    """
    user_id, names = user.id, [conversation.public_id]
    with write():
        ids = [get(user, public_id).id for public_id in chosen]
        if new.strip():
            ids.append(_named(user_id, _checked(new)).id)
        return _put(user_id, names, lambda _before: ids)


def mark(user: User, names: Sequence[str], tag: Tag, marked: bool = True) -> Undo:
    """Mark conversations with a tag, or no longer. Raises what `conversations.hold` raises."""
    user_id, tag_id = user.id, tag.id
    return _put(user_id, names, lambda before: [*before, tag_id] if marked else [i for i in before if i != tag_id])


def mark_as(user: User, names: Sequence[str], name: str, marked: bool = True) -> Undo:
    """The same by the name of a tag, which is made where it is to mark something.

    Raises what `create` and `mark` raise, and NotFoundError for a tag that is to be taken away and does not exist.
    """
    user_id, name = user.id, _checked(name)
    with write():
        found = _named(user_id, name) if marked else _find(user_id, name)
        if found is None:
            raise NotFoundError
        return mark(user, names, found, marked)


def edit(tag: Tag, name: str, color: str) -> Undo:
    """Give a tag another name and another colour. Raises what `create` raises, or TagTakenError."""
    tag_id, user_id, name = tag.id, tag.user_id, _checked(name, color)
    with write() as session:
        found = session.get(Tag, tag_id, with_for_update=True, populate_existing=True)
        if found is None:
            raise NotFoundError
        rival = _find(user_id, name)
        if rival and rival.id != tag_id:
            raise TagTakenError(name=rival.name)
        before = _kept(found)
        found.name, found.key, found.color = name, key(name), color
        return undos.record(user_id, "edit_tag", [before])


def destroy(tag: Tag) -> Undo:
    """Delete a tag; the conversations that it marked stay. A second time raises NotFoundError."""
    tag_id, user_id = tag.id, tag.user_id
    with write() as session:
        found = session.get(Tag, tag_id, with_for_update=True, populate_existing=True)
        if found is None:
            raise NotFoundError
        marked = session.scalars(select(ConversationTag.conversation_id).where(ConversationTag.tag_id == tag_id))
        before = {**_kept(found), "public_id": found.public_id, "conversations": list(marked)}
        session.execute(delete(Tag).where(Tag.id == tag_id))
        return undos.record(user_id, "delete_tag", [before])


def join(gone: int, stays: int) -> None:
    """Make the tags of one user another's, in the write under way: those of the same name become one."""
    mine = {tag.key: tag for tag in db.session.scalars(select(Tag).where(Tag.user_id == stays))}
    for tag in db.session.scalars(select(Tag).where(Tag.user_id == gone)).all():
        if tag.key in mine:
            _merge(tag, mine[tag.key])
        else:
            tag.user_id = stays
    db.session.flush()


def _merge(tag: Tag, into: Tag) -> None:
    """Mark with one tag what another one marks, and delete that one."""
    marked = ConversationTag.conversation_id.in_(
        select(ConversationTag.conversation_id).where(ConversationTag.tag_id == into.id)
    )
    source = select(ConversationTag.conversation_id, literal(into.id), ConversationTag.updated_at)
    columns = ["conversation_id", "tag_id", "updated_at"]
    rows = source.where(ConversationTag.tag_id == tag.id, ~marked)
    db.session.execute(insert(ConversationTag).from_select(columns, rows))
    db.session.delete(tag)


def _put(user_id: int, names: Sequence[str], wanted: Callable[[list[int]], list[int]]) -> Undo:
    """Give each of some conversations the tags that `wanted` makes of those it has, by their ids."""
    with write() as session:
        rows = conversations.hold(user_id, names)
        had = of(rows)
        ids = {row.id: [tag.id for tag in had.get(row.id, [])] for row in rows}
        session.execute(delete(ConversationTag).where(ConversationTag.conversation_id.in_([row.id for row in rows])))
        marks = [
            {"conversation_id": row.id, "tag_id": tag_id, "updated_at": row.updated_at}
            for row in rows
            for tag_id in sorted(set(wanted(ids[row.id])))
        ]
        if marks:
            session.execute(insert(ConversationTag), marks)
        return undos.record(user_id, "tag", [{"conversation": each, "tags": tags} for each, tags in ids.items()])


def _checked(name: str, color: str | None = None) -> str:
    """The name as it is stored."""
    name = tidy(name).removeprefix("#").strip()
    if not key(name):
        raise EmptyTagError
    if len(name) > TAG_CHARS:
        raise TagTooLongError(most=TAG_CHARS)
    if color is not None and color not in COLORS:
        raise ColorUnknownError
    return name


def _named(user_id: int, name: str, color: str | None = None) -> Tag:
    """The tag of that name, made in the write under way if there is none."""
    # Two forms that make the same tag at once wait for each other.
    db.session.scalar(select(User.id).where(User.id == user_id).with_for_update())
    found = _find(user_id, name)
    if found is None:
        used: dict[str, int] = {row[0]: row[1] for row in db.session.execute(_uses(user_id))}
        if sum(used.values()) >= MOST_TAGS:
            raise TooManyTagsError(most=MOST_TAGS)
        # Gray says nothing, so nobody is given it who did not ask for it.
        rarest = min(COLORS[1:], key=lambda each: used.get(each, 0))
        found = Tag(user_id=user_id, name=name, key=key(name), color=color or rarest)
        db.session.add(found)
        db.session.flush()
    return found


def _uses(user_id: int) -> Select[str, int]:
    return select(Tag.color, func.count()).where(Tag.user_id == user_id).group_by(Tag.color)


def _find(user_id: int, name: str) -> Tag | None:
    return db.session.scalar(select(Tag).where(Tag.user_id == user_id, Tag.key == key(name)))


def _kept(tag: Tag) -> undos.Entry:
    return {"tag": tag.id, "name": tag.name, "key": tag.key, "color": tag.color}
