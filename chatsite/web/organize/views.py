"""Views of the archive, the trash and the tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chatsite.models import Conversation, Tag, User
from chatsite.services.organize import tags
from chatsite.services.organize.tags import COLORS
from chatsite.services.pagination import Page
from chatsite.web.core.page_view import PageView


@dataclass(frozen=True)
class RowMenuView:
    """The menu of a conversation, in place of its row."""

    conversation: Conversation


@dataclass(frozen=True, kw_only=True)
class ArchivePage(PageView):
    """A page of the archived conversations."""

    page: Page[Conversation]


@dataclass(frozen=True, kw_only=True)
class TrashPage(PageView):
    """A page of the trash. `days_left` maps row ids of conversations to the days until they are purged."""

    page: Page[Conversation]
    days_left: Mapping[int, int]
    retention_days: int


@dataclass(frozen=True, kw_only=True)
class TagsPage(PageView):
    """The user's tags, and the colors for a new one; `next_color` is the one that is used least."""

    tags: Sequence[Tag]
    next_color: str
    colors: Sequence[str] = COLORS


@dataclass(frozen=True)
class TagForm:
    """The form for a tag, with the colors to choose from."""

    tag: Tag
    colors: Sequence[str] = COLORS


@dataclass(frozen=True, kw_only=True)
class TagPage(PageView):
    """The form for a tag, as a page."""

    form: TagForm


@dataclass(frozen=True)
class TagPicker:
    """All tags of the user, with the ids of the ones that a conversation has."""

    conversation: Conversation
    tags: Sequence[Tag]
    selected_ids: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class TagPickerPage(PageView):
    """The form for the tags of a conversation, as a page."""

    picker: TagPicker


def load_tag_picker(user: User, conversation: Conversation) -> TagPicker:
    """Load the user's tags, and the ids of the ones that the conversation has."""
    selected = tags.group_by_conversation([conversation]).get(conversation.id, ())
    return TagPicker(conversation, tags.list_for(user), frozenset(tag.id for tag in selected))
