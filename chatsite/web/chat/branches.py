"""Versions and branches of a conversation at a glance, and two versions side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from flask import Blueprint, render_template, request

from chatsite.errors import NotFoundError
from chatsite.models import Conversation, Message
from chatsite.rendering import text_diff
from chatsite.rendering.text_diff import TextDiff
from chatsite.services.chat import branches
from chatsite.services.chat.branches import BranchPage, BranchPoint, Version
from chatsite.web.core.identity import get_conversation, get_message
from chatsite.web.core.page_view import PageView
from chatsite.web.models.picker import titles_by_model

bp = Blueprint("branches", __name__)


@dataclass(frozen=True, kw_only=True)
class BranchesPage(PageView):
    """Where a conversation has several versions, and the titles of the models that wrote them."""

    conversation: Conversation
    page: BranchPage
    titles_by_model: Mapping[str, str]


@dataclass(frozen=True)
class ComparedVersion:
    """A version in the form that chooses two: its number, its model, and whether it is the left or the right one."""

    number: int
    version: Version
    model_title: str
    is_old: bool
    is_new: bool


@dataclass(frozen=True, kw_only=True)
class DifferencesPage(PageView):
    """Two versions of a message. `diff` is None if there is only one version."""

    message: Message
    versions: Sequence[ComparedVersion]
    diff: TextDiff | None


@bp.get("/conversations/<public_id>/branches")
def show(public_id: str) -> str:
    """Show the branch points of a conversation; `?after=` is the position of the next page.

    Raises ConversationNotFoundError, and NotFoundError for a malformed position.
    """
    conversation = get_conversation(public_id)
    after = request.args.get("after", "0")
    if not (after.isascii() and after.isdecimal() and len(after) < 10):
        raise NotFoundError
    page = branches.list_branch_points(conversation, int(after))
    titles = titles_by_model(version.model for version in _iter_versions(page.branch_points))
    view = BranchesPage(conversation=conversation, page=page, titles_by_model=titles)
    return render_template("branches/show.html", view=view)


@bp.get("/messages/<public_id>/differences")
def compare(public_id: str) -> str:
    """Show the differences between two versions of a message: `?old=` and `?new=`, or itself and the one before it.

    Raises NotFoundError, also for a message that is no version of this one.
    """
    message = get_message(public_id)
    versions = branches.list_versions(message)
    ids = [version.public_id for version in versions]
    position = ids.index(public_id)
    new_id = request.args.get("new") or (public_id if position else ids[min(1, len(ids) - 1)])
    old_id = request.args.get("old") or ids[max(0, position - 1)]
    if old_id not in ids or new_id not in ids:
        raise NotFoundError
    titles = titles_by_model(version.model for version in versions)
    compared = [
        ComparedVersion(
            number,
            version,
            titles[version.model],
            is_old=version.public_id == old_id,
            is_new=version.public_id == new_id,
        )
        for number, version in enumerate(versions, start=1)
    ]
    diff = text_diff.compare_texts(get_message(old_id).text, get_message(new_id).text) if len(ids) > 1 else None
    view = DifferencesPage(message=message, versions=compared, diff=diff)
    return render_template("branches/differences.html", view=view)


def _iter_versions(branch_points: Iterable[BranchPoint]) -> Iterator[Version]:
    for point in branch_points:
        for version in point.versions:
            yield version
            yield from _iter_versions(version.branch_points)
