"""Tags: list, create, edit and delete them, and set the tags of a conversation."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from chatsite.services.organize import tags
from chatsite.web.core.htmx import htmx_headers
from chatsite.web.core.identity import current_user, get_conversation, get_or_create_user, require_user
from chatsite.web.core.page_view import ParentLink
from chatsite.web.core.undo_responses import toast_response, undo_response
from chatsite.web.organize.views import TagForm, TagPage, TagPickerPage, TagsPage, load_tag_picker

bp = Blueprint("tags", __name__)


@bp.get("/tags")
def index() -> str:
    """List the user's tags, with a form for a new one."""
    all_tags = tags.list_for(current_user())
    view = TagsPage(tags=all_tags, next_color=tags.next_color(all_tags))
    return render_template("tags/index.html", view=view)


@bp.post("/tags")
def create() -> Response:
    """Create a tag; a tag with this name that exists already stays unchanged.

    Raises EmptyTagError, TagTooLongError, InvalidColorError, TooManyTagsError.
    """
    name, color = request.form.get("text", ""), request.form.get("color") or None
    tags.create(get_or_create_user(), name, color)
    if htmx_headers().wants_fragment:
        return toast_response(gettext("Tag created."))
    return redirect(url_for("tags.index"), code=303)


@bp.get("/tags/<public_id>")
def edit(public_id: str) -> str:
    """Show the form for the name and color of a tag: in its place for htmx, or as a page. Raises NotFoundError."""
    tag = tags.get(current_user(), public_id)
    if htmx_headers().wants_fragment:
        return render_template("tags/_edit.html", view=TagForm(tag))
    view = TagPage(form=TagForm(tag), parent=ParentLink(url_for("tags.index"), gettext("Tags")))
    return render_template("tags/edit.html", view=view)


@bp.patch("/tags/<public_id>")
def update(public_id: str) -> Response:
    """Set the name and the color of a tag.

    Raises NotFoundError, EmptyTagError, TagTooLongError, InvalidColorError, TagAlreadyExistsError.
    """
    tag = tags.get(current_user(), public_id)
    undo = tags.update(tag, request.form.get("text", ""), request.form.get("color", tag.color))
    return undo_response(undo, url_for("tags.index"))


@bp.delete("/tags/<public_id>")
def destroy(public_id: str) -> Response:
    """Delete a tag; its conversations stay. Raises NotFoundError."""
    return undo_response(tags.delete_tag(tags.get(current_user(), public_id)), url_for("tags.index"))


@bp.get("/conversations/<public_id>/tags")
def show(public_id: str) -> str:
    """Show the form for the tags of a conversation: in place of its row for htmx, or as a page.

    Raises ConversationNotFoundError, and NotFoundError for an anonymous user.
    """
    conversation = get_conversation(public_id)
    picker = load_tag_picker(require_user(), conversation)
    if htmx_headers().wants_fragment:
        return render_template("tags/_row_tag_picker.html", view=picker)
    view = TagPickerPage(picker=picker, conversation=conversation)
    return render_template("tags/show.html", view=view)


@bp.put("/conversations/<public_id>/tags")
def set_tags(public_id: str) -> Response:
    """Set the tags of a conversation: the selected ones, and a new one if its name was typed.

    Raises ConversationNotFoundError, NotFoundError, TagTooLongError, TooManyTagsError.
    """
    conversation = get_conversation(public_id)
    tag_ids, new_name = request.form.getlist("tag"), request.form.get("text", "")
    undo = tags.set_tags(require_user(), conversation, tag_ids, new_name=new_name)
    return undo_response(undo, url_for("conversations.show", public_id=public_id))
