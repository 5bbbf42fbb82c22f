"""Tags: create, change and delete them, and set the tags of conversations."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from sqlalchemy import Select, delete, func, insert, literal, select

from chatsite.database import WriteSession, db, write_transaction
from chatsite.errors import (
    EmptyTagError,
    InvalidColorError,
    NotFoundError,
    TagAlreadyExistsError,
    TagTooLongError,
    TooManyTagsError,
)
from chatsite.models import AnonymousUser, Conversation, ConversationTag, Tag, Undo, User, Visitor
from chatsite.models.tag import MAX_TAG_CHARS
from chatsite.services import undo
from chatsite.services.chat import conversations
from chatsite.services.ownership import get_owned
from chatsite.visible_text import visible_line

COLORS = ("gray", "red", "orange", "green", "teal", "blue", "purple", "pink")
MAX_TAGS = 200


def normalize_name(name: str) -> str:
    """Return a tag's name in lower case and without accents, by which it is found."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    without_accents = "".join(letter for letter in letters if not unicodedata.combining(letter)).casefold()
    return without_accents.strip()[:MAX_TAG_CHARS].rstrip()


def list_for(user: Visitor) -> Sequence[Tag]:
    """Return the user's tags, sorted by name."""
    if isinstance(user, AnonymousUser):
        return []
    return db.session.scalars(select(Tag).where(Tag.user_id == user.id).order_by(Tag.normalized_name)).all()


def get(user: Visitor, public_id: str) -> Tag:
    """Return the user's tag with this public id. Raises NotFoundError."""
    return get_owned(Tag, user, public_id)


def group_by_conversation(rows: Collection[Conversation]) -> Mapping[int, Sequence[Tag]]:
    """Return the tags of conversations, sorted by name, by conversation id; conversations without tags are left out."""
    if not rows:
        return {}
    query = select(ConversationTag.conversation_id, Tag).join(Tag, Tag.id == ConversationTag.tag_id)
    tag_links = query.where(ConversationTag.conversation_id.in_([row.id for row in rows])).order_by(Tag.normalized_name)
    tags_by_conversation: dict[int, list[Tag]] = {}
    for conversation_id, tag in db.session.execute(tag_links).all():
        tags_by_conversation.setdefault(conversation_id, []).append(tag)
    return tags_by_conversation


def create(user: User, name: str, color: str | None = None) -> Tag:
    """Return the user's tag with this name; create it if there is none.

    Without `color` a new tag gets the color that is used least. Raises EmptyTagError, TagTooLongError,
    InvalidColorError or TooManyTagsError.
    """
    name, user_id = _validate_tag(name, color), user.id
    with write_transaction() as tx:
        return _get_or_create(tx, user_id, name, color=color)


def set_tags(user: User, conversation: Conversation, public_ids: Collection[str], *, new_name: str = "") -> Undo:
    """Replace the tags of a conversation by the tags with these public ids, and return the recorded undo.

    A tag named `new_name` is added, and created if necessary. Raises NotFoundError if a tag is not the user's,
    EmptyTagError, TagTooLongError, TooManyTagsError, TemporaryChatError or ConversationNotFoundError.
    """
    user_id, conversation_ids = user.id, [conversation.public_id]
    with write_transaction() as tx:
        ids = [get(user, public_id).id for public_id in public_ids]
        if new_name.strip():
            ids.append(_get_or_create(tx, user_id, _validate_tag(new_name)).id)
        return _replace_tags(user_id, conversation_ids, lambda _before: ids)


def set_tag(user: User, public_ids: Sequence[str], tag: Tag, *, is_tagged: bool = True) -> Undo:
    """Add a tag to conversations, or remove it with `is_tagged=False`, and return the recorded undo.

    Raises NothingSelectedError, TooManySelectedError, TemporaryChatError or ConversationNotFoundError.
    """
    user_id, tag_id = user.id, tag.id
    return _replace_tags(
        user_id,
        public_ids,
        lambda previous_ids: [*previous_ids, tag_id] if is_tagged else [i for i in previous_ids if i != tag_id],
    )


def set_tag_by_name(user: User, public_ids: Sequence[str], name: str, *, is_tagged: bool = True) -> Undo:
    """Add or remove a tag like `set_tag`, but find the tag by name, and create it if `is_tagged` is true.

    Raises NotFoundError if a tag to be removed does not exist, EmptyTagError, TagTooLongError, TooManyTagsError,
    NothingSelectedError, TooManySelectedError, TemporaryChatError or ConversationNotFoundError.
    """
    user_id, name = user.id, _validate_tag(name)
    with write_transaction() as tx:
        tag = _get_or_create(tx, user_id, name) if is_tagged else _find_by_name(user_id, name)
        if tag is None:
            raise NotFoundError
        return set_tag(user, public_ids, tag, is_tagged=is_tagged)


def next_color(tags: Iterable[Tag]) -> str:
    """Return the color that a new tag gets beside `tags`: the one that is used least."""
    return _least_used_color(Counter(tag.color for tag in tags))


def update(tag: Tag, name: str, color: str) -> Undo:
    """Give a tag another name and another color, and return the recorded undo.

    Raises NotFoundError if the tag was deleted, EmptyTagError, TagTooLongError, InvalidColorError, or
    TagAlreadyExistsError if another tag has the name.
    """
    tag_id, user_id, name = tag.id, tag.user_id, _validate_tag(name, color)
    with write_transaction() as tx:
        row = tx.get(Tag, tag_id, with_for_update=True, populate_existing=True)
        if row is None:
            raise NotFoundError
        same_name = _find_by_name(user_id, name)
        if same_name and same_name.id != tag_id:
            raise TagAlreadyExistsError(name=same_name.name)
        previous = _tag_snapshot(row)
        row.name, row.normalized_name, row.color = name, normalize_name(name), color
        return undo.record_change(tx, user_id, "edit_tag", previous=[previous])


def delete_tag(tag: Tag) -> Undo:
    """Delete a tag and return the recorded undo; its conversations stay.

    Raises NotFoundError if the tag was deleted before.
    """
    tag_id, user_id = tag.id, tag.user_id
    with write_transaction() as tx:
        row = tx.get(Tag, tag_id, with_for_update=True, populate_existing=True)
        if row is None:
            raise NotFoundError
        tagged_ids = tx.scalars(select(ConversationTag.conversation_id).where(ConversationTag.tag_id == tag_id))
        previous = {**_tag_snapshot(row), "public_id": row.public_id, "conversations": list(tagged_ids)}
        tx.execute(delete(Tag).where(Tag.id == tag_id))
        return undo.record_change(tx, user_id, "delete_tag", previous=[previous])


def merge_users(tx: WriteSession, source_id: int, target_id: int) -> None:
    """Move the tags of the user `source_id` to the user `target_id`; tags with the same name become one."""
    target_tags = {tag.normalized_name: tag for tag in tx.scalars(select(Tag).where(Tag.user_id == target_id))}
    for tag in tx.scalars(select(Tag).where(Tag.user_id == source_id)).all():
        if tag.normalized_name in target_tags:
            _merge_tags(tx, tag, target_tags[tag.normalized_name])
        else:
            tag.user_id = target_id
    tx.flush()


def _merge_tags(tx: WriteSession, source: Tag, target: Tag) -> None:
    """Add the tag `target` to all conversations with the tag `source`, and delete `source`."""
    already_tagged = ConversationTag.conversation_id.in_(
        select(ConversationTag.conversation_id).where(ConversationTag.tag_id == target.id)
    )
    link_rows = select(ConversationTag.conversation_id, literal(target.id), ConversationTag.updated_at)
    columns = ["conversation_id", "tag_id", "updated_at"]
    rows = link_rows.where(ConversationTag.tag_id == source.id, ~already_tagged)
    tx.execute(insert(ConversationTag).from_select(columns, rows))
    tx.delete(source)


def _replace_tags(user_id: int, public_ids: Sequence[str], choose_ids: Callable[[list[int]], list[int]]) -> Undo:
    """Replace the tags of conversations: `choose_ids` maps the ids of the present tags to the ids of the new ones."""
    with write_transaction() as tx:
        rows = conversations.lock_many(tx, user_id, public_ids)
        previous_tags = group_by_conversation(rows)
        ids = {row.id: [tag.id for tag in previous_tags.get(row.id, [])] for row in rows}
        tx.execute(delete(ConversationTag).where(ConversationTag.conversation_id.in_([row.id for row in rows])))
        tag_links = [
            {"conversation_id": row.id, "tag_id": tag_id, "updated_at": row.updated_at}
            for row in rows
            for tag_id in sorted(set(choose_ids(ids[row.id])))
        ]
        if tag_links:
            tx.execute(insert(ConversationTag), tag_links)
        return undo.record_change(
            tx,
            user_id,
            "tag",
            previous=[{"conversation": conversation_id, "tags": tags} for conversation_id, tags in ids.items()],
        )


def _validate_tag(name: str, color: str | None = None) -> str:
    """Return the name of a tag as it is stored. Raises EmptyTagError, TagTooLongError or InvalidColorError."""
    name = visible_line(name).removeprefix("#").strip()
    if not normalize_name(name):
        raise EmptyTagError
    if len(name) > MAX_TAG_CHARS:
        raise TagTooLongError(most=MAX_TAG_CHARS)
    if color is not None and color not in COLORS:
        raise InvalidColorError
    return name


def _get_or_create(tx: WriteSession, user_id: int, name: str, *, color: str | None = None) -> Tag:
    """Return the user's tag with this name; create it if there is none. Raises TooManyTagsError."""
    # The lock makes two requests that create the same tag wait for each other.
    tx.scalar(select(User.id).where(User.id == user_id).with_for_update())
    tag = _find_by_name(user_id, name)
    if tag is None:
        color_counts: dict[str, int] = {row[0]: row[1] for row in tx.execute(_color_counts(user_id))}
        if sum(color_counts.values()) >= MAX_TAGS:
            raise TooManyTagsError(most=MAX_TAGS)
        # Gray does not distinguish a tag, so a new one gets it only on request.
        least_used = _least_used_color(color_counts)
        tag = Tag(user_id=user_id, name=name, normalized_name=normalize_name(name), color=color or least_used)
        tx.add(tag)
        tx.flush()
    return tag


def _least_used_color(color_counts: Mapping[str, int]) -> str:
    return min(COLORS[1:], key=lambda each: color_counts.get(each, 0))


def _color_counts(user_id: int) -> Select[str, int]:
    """Return a query of the number of the user's tags by color."""
    return select(Tag.color, func.count()).where(Tag.user_id == user_id).group_by(Tag.color)


def _find_by_name(user_id: int, name: str) -> Tag | None:
    return db.session.scalar(select(Tag).where(Tag.user_id == user_id, Tag.normalized_name == normalize_name(name)))


def _tag_snapshot(tag: Tag) -> undo.UndoEntry:
    return {"tag": tag.id, "name": tag.name, "key": tag.normalized_name, "color": tag.color}
