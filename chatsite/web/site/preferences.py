"""Storing the preferences in cookies. The settings page and the palette send them."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, abort, redirect, request, url_for
from werkzeug.wrappers import Response

from chatsite import cookies
from chatsite.errors import NotFoundError
from chatsite.settings import LANGUAGES
from chatsite.web.core.htmx import htmx_headers, htmx_response
from chatsite.web.core.preferences import CHOICES, chosen_language, current_preferences
from chatsite.web.core.security import safe_redirect_path
from chatsite.web.core.templating import render_macro
from chatsite.web.site.setting_sections import APPEARANCE, PREFERENCE_SECTIONS, saved_response, saved_url

bp = Blueprint("preferences", __name__)

# What is asked before the first use, because something would leave the device or interrupt.
QUESTIONS = ("read_with", "dictation", "notify")


@bp.post("/preferences")
def create() -> Response:
    """Store the submitted preferences. Unknown values give status 422.

    htmx gets a redirect for another language, because all texts change, and a short confirmation otherwise. The form
    field `next` is the page to return to, and `section` the part of the settings page in which the form is.
    """
    if not _is_valid(request.form):
        abort(422)
    updated = current_preferences().with_values(request.form)
    language_code = request.form.get("language", chosen_language())
    response = _build_response(is_language_changed=language_code != chosen_language())
    cookies.set_cookie(response, cookies.PREFERENCES, updated.cookie_value)
    # Empty for the language of the browser.
    cookies.set_cookie(response, cookies.LANGUAGE, language_code)
    return response


@bp.get("/preferences/<name>/question")
def show_question(name: str) -> str | Response:
    """Show the question whose answer is a preference; without htmx redirect to the settings, which have it too.

    Raises NotFoundError for what is not asked.
    """
    if name not in QUESTIONS:
        raise NotFoundError
    if not htmx_headers().wants_fragment:
        return redirect(url_for("user_settings.show"), code=303)
    return render_macro("preferences/_question.html", "permission_question", name)


def _build_response(*, is_language_changed: bool) -> Response:
    section, return_url = request.form.get("section", ""), request.form.get("next")
    section = section if section in PREFERENCE_SECTIONS else APPEARANCE
    is_fragment = htmx_headers().wants_fragment
    if is_language_changed or (return_url and not is_fragment):
        url = safe_redirect_path(return_url) if return_url else saved_url(section, saved="language")
        return htmx_response("", redirect=url) if is_fragment else redirect(url, code=303)
    return saved_response(section)


def _is_valid(values: Mapping[str, str]) -> bool:
    """Return whether all submitted values are known; an empty language stands for the language of the browser."""
    choices = {**CHOICES, "language": ("", *LANGUAGES)}
    return all(values[name] in allowed for name, allowed in choices.items() if name in values)
