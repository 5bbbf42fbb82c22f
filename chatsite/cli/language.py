"""The language of the terminal, without Flask, so that `chatsite --help` stays fast."""

from __future__ import annotations

import gettext
import os
from functools import cache
from typing import TYPE_CHECKING

import click

from chatsite.config import ConfigError
from chatsite.errors import ChatsiteError, gettext_noop
from chatsite.settings import LANGUAGES, ROOT, InvalidValueError

if TYPE_CHECKING:
    from flask import Flask

DOMAIN = "messages"
TRANSLATIONS = ROOT / "chatsite" / "translations"
# Said by gunicorn.conf.py.
RUNNING_AT = gettext_noop("The site is at %(address)s (press Ctrl-C to stop it)")
REACHED_AT = gettext_noop("Other devices on your network reach it at %(address)s")
JOIN_AT = gettext_noop("Others can scan this code. %(address)s shows it large, for a screen in the room.")
# What click prints by itself. It asks Python's gettext for these, in the domain that `localize_commands` binds.
CLICK_TEXTS = (
    gettext_noop("Usage:"),
    gettext_noop("Options"),
    gettext_noop("Commands"),
    gettext_noop("Positional arguments"),
    gettext_noop("Show this message and exit."),
    gettext_noop("Show the version and exit."),
    gettext_noop("Missing command."),
    gettext_noop("Missing argument"),
    gettext_noop("Error: {message}"),
    gettext_noop("No such command {name!r}."),
    gettext_noop("No such option {name!r}."),
    gettext_noop("Try '{command} {option}' for help."),
    gettext_noop("default: {default}"),
    gettext_noop("env var: {var}"),
    gettext_noop("Aborted!"),
)


def detect_language(app: Flask) -> str:
    """Return the language that the environment asks for if the site has it, else the site's."""
    return environment_language(app.config["LANGUAGE"])


def environment_language(default: str = "") -> str:
    """Return the language that the environment asks for if the site has it, else `default`, else the site's."""
    requested = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    candidates = (requested[:2].lower(), default, os.environ.get("CHATSITE_LANGUAGE", ""))
    return next((code for code in candidates if code in LANGUAGES), next(iter(LANGUAGES)))


def localize(text: str, /, **params: object) -> str:
    """Translate a text into the language of the environment and fill in its parameters."""
    translation = _translations(environment_language()).gettext(text)
    return translation % params if params else translation


def localized_message(error: ChatsiteError | ConfigError | InvalidValueError) -> str:
    """Return the message of an error in the language of the environment, its translatable parameters included."""
    translated = error.translated_params if isinstance(error, ChatsiteError) else ()
    params = {name: _localize_param(value, name in translated) for name, value in error.params.items()}
    if isinstance(error, ChatsiteError):
        params = {name: _format_count(value) if isinstance(value, int) else value for name, value in params.items()}
    return localize(error.message_template, **params)


def localize_commands(command: click.Command) -> None:
    """Translate the help of a command and of all commands below it, what click adds included."""
    gettext.bindtextdomain(DOMAIN, TRANSLATIONS)
    gettext.textdomain(DOMAIN)
    _localize_command(command)


def _localize_command(command: click.Command) -> None:
    command.help = localize(command.help) if command.help else None
    for param in command.params:
        if isinstance(param, click.Option) and param.help:
            param.help = localize(param.help)
    if isinstance(command, click.Group):
        for child in command.commands.values():
            _localize_command(child)


def _localize_param(value: object, is_ours: bool) -> object:
    if isinstance(value, ChatsiteError | ConfigError | InvalidValueError):
        return localized_message(value)
    return localize(value) if is_ours and isinstance(value, str) and value else value


def _format_count(count: int) -> str:
    if count < 1000:
        return str(count)
    # Loaded only where it is needed, so that `chatsite --help` stays fast.
    from babel.numbers import format_decimal

    return format_decimal(count, "#,##0", locale=environment_language())


@cache
def _translations(code: str) -> gettext.NullTranslations:
    return gettext.translation(DOMAIN, TRANSLATIONS, [code], fallback=True)
