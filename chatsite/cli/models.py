"""The models on this machine: what there is, and fetching and removing it, with or without a running site."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from flask_babel import force_locale, gettext

from chatsite.cli.bar import Bar, Lines
from chatsite.cli.parent import when_gone
from chatsite.cli.speech import language, translated
from chatsite.config import flask_config, read_settings
from chatsite.engine import weights
from chatsite.engine.catalogue import SCRIPTED, Entry, entries, resolve
from chatsite.engine.weights import ensure, present
from chatsite.errors import ChatsiteError, ModelNotHereError, ModelUnavailableError, NoSourceError

FAILED = 1
ENDED = 143


def fetch(entry: Entry) -> None:
    """Fetch a model with a bar. Raises ModelUnavailableError when it cannot be had now."""
    with _speaking() as config:
        _pull(entry, config["MODELS"])


def pull(name: str) -> int:
    """Fetch a model, with a bar; returns the exit status."""
    with _speaking() as config:
        entry = _find(config, name)
        if not entry.can_be_fetched:
            return _fail(NoSourceError())
        try:
            _pull(entry, config["MODELS"])
        except ChatsiteError as error:
            return _fail(error)
        click.echo(gettext("%(model)s is on this machine.", model=entry.title))
        return 0


def pull_for_runner(name: str, parent: int) -> int:
    """Fetch a model and tell how far it is in lines of JSON, ending with `parent`; returns the exit status.

    The last line has the `revision` of the weights, or an `error` with the reason why they cannot be had.
    """
    if parent:
        when_gone(parent, lambda: os._exit(ENDED))
    lines, config = Lines(), flask_config(read_settings())
    try:
        found = ensure(resolve(name, config["MODELS_FILE"]), config["MODELS"], lines.report)
    except ChatsiteError as error:
        lines.say({"error": str(error.params.get("reason", error))})
        return FAILED
    except Exception as error:
        # Whatever it was, the one who waits for it must be told.
        lines.say({"error": f"{type(error).__name__}: {error}"})
        return FAILED
    lines.say({"revision": found.revision})
    return 0


def show_all() -> int:
    """Print a table of all models."""
    with _speaking() as config:
        from chatsite.cli.tables import table

        found = [(entry, _here(entry, config["MODELS"])) for entry in entries(config["MODELS_FILE"])]
        table(found, config["MODELS"])
        return 0


def show(name: str) -> int:
    """Print all that is known of a model; returns the exit status."""
    with _speaking() as config:
        from chatsite.cli.tables import card

        entry = _find(config, name)
        card(entry, _here(entry, config["MODELS"]))
        return 0


def remove(name: str, sure: bool) -> int:
    """Delete what is here of a model, after asking unless it is `sure`; returns the exit status."""
    with _speaking() as config:
        entry = _find(config, name)
        if not entry.can_be_fetched:
            return _fail(NoSourceError())
        if not weights.has_anything(entry, config["MODELS"]):
            return _fail(ModelNotHereError())
        if not sure and not click.confirm(gettext("Delete the weights of %(model)s?", model=entry.title)):
            return FAILED
        try:
            weights.remove(entry, config["MODELS"])
        except ChatsiteError as error:
            return _fail(error)
        click.echo(gettext("%(model)s was removed.", model=entry.title))
        return 0


@contextmanager
def _speaking() -> Iterator[dict[str, Any]]:
    """The settings, in the language of the environment. Raises ConfigError for one that cannot be used."""
    from chatsite import create_app

    app = create_app({"LOG_LEVEL": "error"})
    with app.app_context(), force_locale(language(app)):
        yield app.config


def _find(config: dict[str, Any], name: str) -> Entry:
    """The model of a name. Raises ConfigError for a broken file of own models, UsageError for an unknown name."""
    try:
        return resolve(name, config["MODELS_FILE"])
    except ModelUnavailableError as error:
        raise click.UsageError(str(error.params["reason"])) from error


def _here(entry: Entry, models: Path) -> bool:
    return entry.name == SCRIPTED or present(entry, models) is not None


def _pull(entry: Entry, models: Path) -> None:
    # The libraries that convert draw bars of their own, which would get into the way of ours.
    os.environ.setdefault("TQDM_DISABLE", "1")
    with Bar(entry.title) as bar:
        ensure(entry, models, bar.report)


def _fail(error: ChatsiteError) -> int:
    click.echo(translated(error), err=True)
    sys.stderr.flush()
    return FAILED
