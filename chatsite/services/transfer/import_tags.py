"""Storage of imported tags and personas, unless the user has them already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, update

from chatsite.database import WriteSession, utcnow
from chatsite.models import ConversationTag, Persona, Tag
from chatsite.models.persona import MAX_PERSONAS
from chatsite.services.organize import tags


def ensure_tag_ids(
    tx: WriteSession, user_id: int, names: Sequence[str], *, colors: Mapping[str, str] | None = None
) -> dict[str, int]:
    """Return the ids of a user's tags by normalized name; create missing ones while the user has fewer than MAX_TAGS.

    `colors` are the colors of new tags by name; without one a tag is gray.
    """
    names_by_key = {tags.normalize_name(name): name for name in names}
    names_by_key.pop("", None)
    query = select(Tag.normalized_name, Tag.id).where(Tag.user_id == user_id, Tag.normalized_name.in_(names_by_key))
    ids_by_key = {row.normalized_name: row.id for row in tx.execute(query)}
    free_slots = tags.MAX_TAGS - (tx.scalar(select(func.count()).where(Tag.user_id == user_id)) or 0)
    for key in [key for key in names_by_key if key not in ids_by_key][: max(free_slots, 0)]:
        color = (colors or {}).get(names_by_key[key])
        tag = Tag(
            user_id=user_id,
            name=names_by_key[key],
            normalized_name=key,
            color=color if color in tags.COLORS else tags.COLORS[0],
        )
        tx.add(tag)
        tx.flush()
        ids_by_key[key] = tag.id
    return ids_by_key


def ensure_tag(tx: WriteSession, user_id: int, name: str, *, color: object, created_at: datetime | None) -> bool:
    """Create a tag with this name and color, unless the user has one with the name.

    Returns False if it was left out, because the user has MAX_TAGS already.
    """
    existing = select(Tag.id).where(Tag.user_id == user_id, Tag.normalized_name == tags.normalize_name(name))
    if not tags.normalize_name(name) or tx.scalar(existing) is not None:
        return True
    created_ids = ensure_tag_ids(tx, user_id, [name], colors={name: str(color)}).values()
    tx.execute(update(Tag).where(Tag.id.in_(created_ids)).values(created_at=created_at or utcnow()))
    return bool(created_ids)


def ensure_persona(tx: WriteSession, user_id: int, values: Mapping[str, Any], *, created_at: datetime | None) -> bool:
    """Create a saved persona with these column values, unless the user has an equal one.

    Returns False if it was left out, because the user has MAX_PERSONAS already.
    """
    own_personas = tx.scalars(select(Persona).where(Persona.user_id == user_id).limit(MAX_PERSONAS)).all()
    already_there = any(all(getattr(each, key) == value for key, value in values.items()) for each in own_personas)
    if already_there:
        return True
    if len(own_personas) >= MAX_PERSONAS:
        return False
    tx.add(Persona(user_id=user_id, created_at=created_at or utcnow(), **values))
    return True


def tag_conversation(
    tx: WriteSession, user_id: int, names: Sequence[str], *, conversation_id: int, updated_at: datetime
) -> int:
    """Give an imported conversation its tags, and create those that the user does not have yet.

    `updated_at` is the conversation's own. Returns how many were left out, because the user has MAX_TAGS already.
    """
    keys = {tags.normalize_name(name) for name in names} - {""}
    ids = ensure_tag_ids(tx, user_id, names) if keys else {}
    rows = [
        {"conversation_id": conversation_id, "tag_id": tag_id, "updated_at": updated_at}
        for tag_id in sorted(ids.values())
    ]
    if rows:
        tx.execute(insert(ConversationTag), rows)
    return len(keys) - len(ids)
