"""The frame of every page: sidebar, palette, toast with Undo, and a link to the parent page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flask import request, url_for
from flask_babel import gettext

from chatsite import cookies
from chatsite.models import Conversation, Message, Tag
from chatsite.services.chat import conversations, read_marks, title_requests
from chatsite.services.chat.read_marks import ReadMarks
from chatsite.services.organize import tags
from chatsite.services.pagination import Page
from chatsite.web.core.frame import Frame, requested_frame
from chatsite.web.core.identity import current_user
from chatsite.web.core.palette_items import PaletteGroup, initial_groups
from chatsite.web.core.shortcuts import split_keycaps
from chatsite.web.core.undo_responses import Toast, find_offered_toast

# An upper bound for the rows of the sidebar, because the number comes from the request.
MAX_ROWS = 300
# The number of loaded rows is kept in a session cookie, and every page starts with as many: the sidebar can keep its
# scroll position only if the rows above that position are loaded.
MAX_INITIAL_ROWS = 120


@dataclass(frozen=True)
class Sidebar:
    """A page of the user's conversations with their tags and read marks. `current_id` is the public id of the open one.

    `previous_heading` is the heading of the rows above, `row_count` the number of rows including the ones above.
    `writing` names the conversations whose answers or titles are being written, if any; the list then asks for news.
    """

    page: Page[Conversation]
    current_id: str | None
    tags_by_conversation: Mapping[int, Sequence[Tag]]
    marks: ReadMarks
    row_count: int
    previous_heading: str = ""
    writing: str = ""


EMPTY_SIDEBAR = Sidebar(Page([], None), None, {}, ReadMarks(), 0)


@dataclass(frozen=True)
class ParentLink:
    """The link to the parent of a page."""

    url: str
    text: str


def overview_link() -> ParentLink:
    """Return the link to the overview."""
    return ParentLink(url_for("overview.show"), gettext("Overview"))


def load_sidebar(current: Conversation | None = None) -> Sidebar:
    """Load the first rows of the sidebar, with `current` marked as open; empty for anonymous users."""
    user = current_user()
    page: Page[Conversation] = conversations.list_page(user, size=sidebar_size())
    return build_sidebar(page, current.public_id if current else None)


def build_sidebar(
    page: Page[Conversation], current_id: str | None, *, rows_before: int = 0, previous_heading: str = ""
) -> Sidebar:
    """Build a page of the sidebar with the tags of its conversations; `rows_before` is the number of rows above it."""
    tags_by_conversation = tags.group_by_conversation(page.items)
    return Sidebar(
        page,
        current_id,
        tags_by_conversation,
        read_marks.load_marks(page.items),
        rows_before + len(page.items),
        previous_heading,
        "" if rows_before else writing_conversations(),
    )


def writing_conversations() -> str:
    """Return the public ids of the conversations whose answers are being written, and those of which a title may be.

    The latter have a `+` before them. They are joined by spaces.
    """
    user = current_user()
    titles = [f"+{public_id}" for public_id in title_requests.list_pending(user)]
    return " ".join([*read_marks.list_writing(user), *titles])


def sidebar_size() -> int:
    """Return the number of rows to load: as many as the browser has (`rows`), between one page and MAX_ROWS."""
    # Reading `request.form` of a multipart request would parse a whole upload for this number.
    submitted = request.form if request.mimetype == "application/x-www-form-urlencoded" else request.args
    remembered = cookies.read_cookie(cookies.ROWS)
    remembered_rows = min(int(remembered), MAX_INITIAL_ROWS) if re.fullmatch(r"[0-9]{1,4}", remembered) else 0
    return max(conversations.PAGE_SIZE, min(submitted.get("rows", remembered_rows, type=int), MAX_ROWS))


@dataclass(frozen=True, kw_only=True)
class PageView:
    """The values that layouts read. Each page adds its own in a subclass.

    `conversation` is the conversation that the page is about: it is marked in the sidebar, and it is the parent page.
    With `message` the parent is the message in its conversation. Other pages have a `parent`, by default the overview.
    The `sidebar` is loaded with the view, because templates do not query the database; a column and a sheet show none.
    """

    conversation: Conversation | None = None
    message: Message | None = None
    parent: ParentLink | None = field(default_factory=overview_link)
    toast: Toast | None = field(default_factory=find_offered_toast)
    has_palette: bool = True
    sidebar: Sidebar = EMPTY_SIDEBAR

    def __post_init__(self) -> None:
        """Load the list of conversations for a page with its frame, unless it was given one."""
        if self.sidebar is EMPTY_SIDEBAR and self.is_framed and requested_frame() is Frame.FULL:
            conversation = self.message.conversation if self.message else self.conversation
            object.__setattr__(self, "sidebar", load_sidebar(conversation))

    @property
    def is_framed(self) -> bool:
        """Whether a page that is asked for as a whole has a list beside it."""
        return True

    @property
    def palette_groups(self) -> list[PaletteGroup]:
        """The content of the palette before the first response of the server."""
        return initial_groups(self.sidebar.page.items, self.sidebar.current_id)

    @property
    def palette_keycaps(self) -> list[list[str]]:
        """The labels of the keys that open the palette."""
        return split_keycaps("palette")
