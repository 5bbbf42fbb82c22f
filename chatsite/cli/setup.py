"""Download the model before the first start."""

from __future__ import annotations

from chatsite.cli.configured_model import find_configured_model
from chatsite.config import flask_config, read_settings
from chatsite.engine.catalog.catalog import AUTO_MODEL, PREFERRED_MODEL, resolve_entry
from chatsite.engine.downloads.weights import find_local


def fetch_configured_model() -> None:
    """Download the weights of the configured model; prints nothing if they are here.

    With `auto` that is the built-in model, unless the preferred one is here; larger ones are named and not downloaded.
    Raises ConfigError for a model that does not exist, ModelLoadError for one that cannot be had now.
    """
    config = flask_config(read_settings())
    entry = find_configured_model(config)
    is_auto = config["DEFAULT_MODEL"] == AUTO_MODEL
    acceptable = [resolve_entry(PREFERRED_MODEL), entry] if is_auto else [entry]
    if (
        entry.source is not None
        and not entry.is_remote
        and not any(find_local(candidate, config["MODELS"]) for candidate in acceptable)
    ):
        from chatsite.cli.models import download_with_bar, name_larger_models

        download_with_bar(entry)
        if is_auto:
            name_larger_models()
