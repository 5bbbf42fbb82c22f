"""Redirects from addresses before version 1.0, for bookmarks and links."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Blueprint, redirect, request, url_for
from werkzeug.wrappers import Response

from chatsite.web.core.sub_path import current_path

bp = Blueprint("old_addresses", __name__)

# Old and new parameters in the address of a conversation. `at` could also be `start` or `end`, now `position`.
RENAMED_PARAMS = {"at": "message", "on": "date"}
POSITIONS = {"start", "end"}


@bp.get("/preferences", defaults={"endpoint": "user_settings.show"})
@bp.get("/library", defaults={"endpoint": "overview.show"})
@bp.get("/answerer", defaults={"endpoint": "model_choice.show"})
@bp.get("/model/status", defaults={"endpoint": "models.show_status"})
@bp.get("/links/<token>", defaults={"endpoint": "terminal_links.show"})
@bp.get("/messages/<public_id>/receipt", defaults={"endpoint": "prompt_reports.show"})
def show(endpoint: str, **url_values: str) -> Response:
    """Redirect to the current address, with the same query."""
    query = request.query_string.decode("latin-1")
    url = url_for(endpoint, **url_values)  # type: ignore[arg-type]
    return redirect(f"{url}?{query}" if query else url, code=308)


@bp.before_app_request
def redirect_renamed_params() -> Response | None:
    """Redirect an address of a conversation with renamed parameters; return None for all other requests."""
    if request.endpoint != "conversations.show" or RENAMED_PARAMS.keys().isdisjoint(request.args):
        return None
    params = [(_new_param_name(name, value), value) for name, value in request.args.items(multi=True)]
    return redirect(f"{current_path()}?{urlencode(params)}", code=308)


def _new_param_name(name: str, value: str) -> str:
    return "position" if name == "at" and value in POSITIONS else RENAMED_PARAMS.get(name, name)
