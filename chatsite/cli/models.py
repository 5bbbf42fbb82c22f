"""The models on this machine: list, download and remove them, with or without a running site."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from flask_babel import force_locale, gettext
from sqlalchemy.exc import SQLAlchemyError

from chatsite.cli.language import detect_language
from chatsite.cli.progress import ProgressBar
from chatsite.engine.catalog.catalog import EMBEDDED_MODEL, SCRIPTED_MODEL, CatalogEntry, list_entries, resolve_entry
from chatsite.engine.downloads import weights
from chatsite.engine.downloads.weights import ensure_installed, find_local
from chatsite.errors import (
    ChatsiteError,
    ModelLoadError,
    ModelNotDownloadableError,
    ModelNotDownloadedError,
    StorageError,
    as_error,
)
from chatsite.i18n import translate_error
from chatsite.services.models import endpoints
from chatsite.services.models.catalog import ModelCard, read_catalog_config
from chatsite.services.models.endpoints import EndpointCard
from chatsite.services.models.recommendation import read_machine, recommend

EXIT_FAILED = 1


def download_with_bar(entry: CatalogEntry) -> None:
    """Download a model with a progress bar. Raises ModelLoadError."""
    with _localized_config() as config:
        _download(entry, config["MODELS"])


def name_larger_models() -> None:
    """Say that a larger model is downloaded only if somebody asks for it, and which one is best on this machine."""
    with _localized_config() as config:
        cards = [ModelCard(entry, None) for entry in list_entries(config["CUSTOM_MODELS_FILE"])]
        best = recommend(read_machine(config["MODELS"], config["MODEL_MEMORY_MB"]), cards)
        click.echo(gettext("Larger models are only downloaded when you ask for them, on the site or here."))
        if best and best.card.name != EMBEDDED_MODEL:
            command = f"chatsite models pull {best.card.name}"
            title = best.card.entry.title
            click.echo(
                gettext("Best on this computer: %(model)s. Download it: %(command)s", model=title, command=command)
            )


def pull(name: str) -> int:
    """Download a model with a progress bar. Return the exit status."""
    with _localized_config() as config:
        entry = _get_entry(config, name)
        if not entry.is_downloadable:
            return _print_error(ModelNotDownloadableError())
        try:
            _download(entry, config["MODELS"])
        except ChatsiteError as error:
            return _print_error(error)
        click.echo(gettext("%(model)s is downloaded.", model=entry.title))
        return 0


def pull_in_json(name: str) -> int:
    """Download a model and report progress as JSON lines. Return the exit status."""
    from chatsite.runner.download_worker import download

    return download(name)


def list_all() -> int:
    """Print a table of all models."""
    with _localized_config() as config:
        from chatsite.cli.model_tables import print_model_table

        remote = [entry for card in _list_endpoint_cards(config) for entry in card.entries]
        listed = [(entry, _is_local(entry, config["MODELS"])) for entry in list_entries(config["CUSTOM_MODELS_FILE"])]
        print_model_table([*listed, *((entry, False) for entry in remote)], config["MODELS"])
        return 0


def show_details(name: str) -> int:
    """Print everything that is known of a model. Return the exit status."""
    with _localized_config() as config:
        from chatsite.cli.model_tables import print_model_details

        entry = _get_entry(config, name)
        print_model_details(entry, _is_local(entry, config["MODELS"]))
        return 0


def remove(name: str, is_confirmed: bool) -> int:
    """Delete the local files of a model, after a question unless `is_confirmed`. Return the exit status."""
    with _localized_config() as config:
        entry = _get_entry(config, name)
        if not entry.is_downloadable:
            return _print_error(ModelNotDownloadableError())
        if not weights.has_files(entry, config["MODELS"]):
            return _print_error(ModelNotDownloadedError())
        if not is_confirmed and not click.confirm(gettext("Delete the files of %(model)s?", model=entry.title)):
            return EXIT_FAILED
        try:
            weights.remove_files(entry, config["MODELS"])
        except ChatsiteError as error:
            return _print_error(error)
        click.echo(gettext("%(model)s was removed.", model=entry.title))
        return 0


@contextmanager
def _localized_config() -> Iterator[dict[str, Any]]:
    """Read the settings, in the language of the environment. Raises ConfigError for an invalid one."""
    from chatsite import create_app

    app = create_app({"LOG_LEVEL": "error"})
    with app.app_context(), force_locale(detect_language(app)):
        yield app.config


def _get_entry(config: dict[str, Any], name: str) -> CatalogEntry:
    """Return the model with a name. Raises ConfigError (invalid file of custom models) or UsageError (unknown name)."""
    try:
        cards = _list_endpoint_cards(config) if "/" in name else []
        known = next((entry for card in cards for entry in card.entries if entry.name == name), None)
        return known or resolve_entry(name, config["CUSTOM_MODELS_FILE"], [card.endpoint for card in cards])
    except ModelLoadError as error:
        raise click.UsageError(translate_error(as_error(error.params["reason"]))) from error


def _list_endpoint_cards(config: dict[str, Any]) -> list[EndpointCard]:
    """Return the endpoints of the site; those of the settings only where there is no database yet.

    Raises ModelLoadError for an invalid file of custom models.
    """
    catalog_config = read_catalog_config(config)
    try:
        return endpoints.list_cards(catalog_config)
    except (SQLAlchemyError, StorageError):
        return endpoints.build_cards(endpoints.load_configured(catalog_config), ())


def _is_local(entry: CatalogEntry, models_folder: Path) -> bool:
    return entry.name == SCRIPTED_MODEL or find_local(entry, models_folder) is not None


def _download(entry: CatalogEntry, models_folder: Path) -> None:
    # The libraries that convert draw bars of their own, which would get into the way of ours.
    os.environ.setdefault("TQDM_DISABLE", "1")
    with ProgressBar(entry.title) as bar:
        ensure_installed(entry, models_folder, bar.report_progress)


def _print_error(error: ChatsiteError) -> int:
    click.echo(translate_error(error), err=True)
    sys.stderr.flush()
    return EXIT_FAILED
