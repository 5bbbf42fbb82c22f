"""The settings page of a user: preferences, instructions for every chat, default model and style, and links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata

from flask import Blueprint, render_template, request
from flask_babel import gettext
from werkzeug.wrappers import Response

from chatsite.engine.types import Preset
from chatsite.errors import ChatsiteError
from chatsite.i18n import translate_error
from chatsite.services.accounts import user_settings
from chatsite.services.chat import chat_settings
from chatsite.services.models import catalog, choice
from chatsite.services.models.catalog import ModelCard
from chatsite.web.core.htmx import htmx_headers
from chatsite.web.core.identity import catalog_config, current_user, get_or_create_user
from chatsite.web.core.page_view import PageView
from chatsite.web.core.preferences import Preferences, chosen_language, current_preferences
from chatsite.web.models.picker import SAMPLING_PRESETS
from chatsite.web.site.setting_sections import (
    APPEARANCE,
    DEFAULTS,
    INSTRUCTIONS,
    READING,
    SavedView,
    render_note,
    saved_response,
)

bp = Blueprint("user_settings", __name__)


@dataclass(frozen=True)
class InstructionsForm:
    """The instructions for every chat as they are stored or were submitted.

    `error_message` says why they were not stored. `ignored_by` are the titles of models on this machine that take no
    such instructions.
    """

    text: str
    max_chars: int
    error_message: str
    ignored_by: Sequence[str]


@dataclass(frozen=True)
class DefaultsForm:
    """The model and the style of new chats. `model` is empty for the default of the site, named `site_default`."""

    model: str
    preset: str
    cards: Sequence[ModelCard]
    presets: Sequence[tuple[str, str]]
    site_default: str
    error_message: str


@dataclass(frozen=True, kw_only=True)
class UserSettingsPage(PageView):
    """All settings of the user and of this device.

    `sections` are the ids and the headings of the sections, for the links to them. `saved` is the section whose form
    was just sent, which then says so and has the focus; empty if there is none.
    """

    sections: Sequence[tuple[str, str]]
    preferences: Preferences
    language: str
    instructions: InstructionsForm
    defaults: DefaultsForm
    saved: str
    version: str
    license: str


@bp.get("/settings")
def show() -> str:
    """Show the settings. `?saved=` names the section that was just saved, or `language`."""
    return _render_page(_instructions_form(user_settings.get_instructions(current_user())))


@bp.put("/settings/instructions")
def update_instructions() -> Response | str | tuple[str, int]:
    """Store the instructions for every chat. Text that is too long is kept in its field, with the reason."""
    text = request.form.get("instructions", "")
    try:
        user_settings.update_instructions(get_or_create_user(), text)
    except ChatsiteError as error:
        message = translate_error(error)
        if htmx_headers().wants_fragment:
            return render_note(SavedView(INSTRUCTIONS, message)), error.status
        return _render_page(_instructions_form(text, message)), error.status
    return saved_response(INSTRUCTIONS)


@bp.put("/settings/defaults")
def update_defaults() -> Response | str | tuple[str, int]:
    """Store the model and the style of new chats. Says why a model or style that is not available was refused."""
    model, preset = request.form.get("model") or None, request.form.get("preset") or None
    try:
        choice.validate(catalog_config(), model, preset)
        user_settings.update_defaults(get_or_create_user(), model, preset)
    except ChatsiteError as error:
        message = translate_error(error)
        if htmx_headers().wants_fragment:
            return render_note(SavedView(DEFAULTS, message)), error.status
        instructions = _instructions_form(user_settings.get_instructions(current_user()))
        return _render_page(instructions, defaults_error=message), error.status
    return saved_response(DEFAULTS)


def _render_page(instructions: InstructionsForm, defaults_error: str = "") -> str:
    version, license_name = _read_package()
    view = UserSettingsPage(
        sections=_list_sections(),
        preferences=current_preferences(),
        language=chosen_language(),
        instructions=instructions,
        defaults=_defaults_form(defaults_error),
        saved=request.args.get("saved", ""),
        version=version,
        license=license_name,
    )
    return render_template("user_settings/show.html", view=view)


def _read_package() -> tuple[str, str]:
    """Return the version and the license; empty where the site is not installed as a package."""
    try:
        package = metadata("chatsite")
    except PackageNotFoundError:
        return "", ""
    return package["Version"], package["License-Expression"]


def _list_sections() -> list[tuple[str, str]]:
    return [
        (APPEARANCE, gettext("Appearance")),
        (READING, gettext("Writing and reading")),
        (INSTRUCTIONS, gettext("Instructions for every chat")),
        (DEFAULTS, gettext("Default model and style")),
        ("data", gettext("Data")),
        ("shortcuts-list", gettext("Keyboard shortcuts")),
        ("about", gettext("About")),
    ]


def _instructions_form(text: str, error_message: str = "") -> InstructionsForm:
    cards = catalog.list_available(catalog_config())
    ignored_by = [card.entry.title for card in cards if not chat_settings.takes_user_instructions(card.entry.family)]
    return InstructionsForm(text, user_settings.MAX_INSTRUCTIONS_CHARS, error_message, ignored_by)


def _defaults_form(error_message: str) -> DefaultsForm:
    config, user = catalog_config(), current_user()
    site_default = catalog.get_card(config, catalog.default_name(config)).entry.title
    return DefaultsForm(
        model=choice.find_default_model(config, user) or "",
        preset=user.default_preset or "",
        cards=catalog.list_available(config),
        presets=[
            ("", gettext("Recommended for the model")),
            *((key, gettext(SAMPLING_PRESETS[key][0])) for key in Preset),
        ],
        site_default=site_default,
        error_message=error_message,
    )
