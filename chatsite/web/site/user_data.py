"""What a user can do with all that is stored at once: delete it, or have this browser forget whose it is."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, redirect, render_template, request, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from chatsite.services.transfer import user_deletion
from chatsite.web.core.identity import current_user, forget_user, require_user
from chatsite.web.core.page_view import PageView, ParentLink

bp = Blueprint("user_data", __name__)

# Drafts in the storage of the browser go too.
CLEAR_STORAGE = {"Clear-Site-Data": '"storage"'}


@dataclass(frozen=True, kw_only=True)
class ConfirmationPage(PageView):
    """A page that asks before something that cannot be undone.

    `has_data` says that there is something to delete or to forget, `is_done` that it was just done, and
    `is_unconfirmed` that the form was sent without the check mark.
    """

    has_data: bool
    is_done: bool = False
    is_unconfirmed: bool = False


@bp.get("/settings/deletion")
def confirm_deletion() -> str:
    """Ask whether to delete everything of the user; `?done=1` says that it was done."""
    return _render("user_settings/deletion.html")


@bp.post("/settings/deletion")
def destroy() -> Response | tuple[str, int]:
    """Delete everything of the user, if the form has the check mark. Raises NotFoundError for an anonymous user."""
    user = require_user()
    if request.form.get("confirmed") != "1":
        return _render("user_settings/deletion.html", is_unconfirmed=True), 422
    user_deletion.delete_everything(user)
    return _forget(url_for("user_data.confirm_deletion", done=1))


@bp.get("/settings/browser")
def confirm_forgetting() -> str:
    """Ask whether this browser is to forget its user; `?done=1` says that it did."""
    return _render("user_settings/forget_browser.html")


@bp.post("/settings/browser")
def forget() -> Response | tuple[str, int]:
    """Have this browser forget its user, if the form has the check mark; what is stored stays."""
    if request.form.get("confirmed") != "1":
        return _render("user_settings/forget_browser.html", is_unconfirmed=True), 422
    return _forget(url_for("user_data.confirm_forgetting", done=1))


def _render(template: str, is_unconfirmed: bool = False) -> str:
    has_data = bool(current_user())
    view = ConfirmationPage(
        has_data=has_data,
        is_done=not has_data and request.args.get("done") == "1",
        is_unconfirmed=is_unconfirmed,
        parent=ParentLink(url_for("user_settings.show"), gettext("Settings")),
    )
    return render_template(template, view=view)


def _forget(url: str) -> Response:
    response = redirect(url, code=303)
    forget_user(response)
    response.headers.update(CLEAR_STORAGE)
    return response
