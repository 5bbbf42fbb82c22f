"""The model that the settings name; light, as every start looks at it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chatsite.config import ConfigError, flask_config, read_settings
from chatsite.engine.catalogue import AUTO, PREFERRED, Entry, entries, resolve
from chatsite.engine.weights import present
from chatsite.errors import ModelUnavailableError


def setup() -> None:
    """Have the weights of the model that is set on this machine; says nothing when they are there.

    With `auto` that is the embedded model, unless the preferred one is here. Raises ConfigError for a model that does
    not exist, ModelUnavailableError for one that cannot be had now.
    """
    config = flask_config(read_settings())
    entry = entry_of(config)
    wanted = [resolve(PREFERRED), entry] if config["MODEL"] == AUTO else [entry]
    if entry.source is not None and not any(present(one, config["MODELS"]) for one in wanted):
        from chatsite.cli.models import fetch

        fetch(entry)


def entry_of(config: Mapping[str, Any]) -> Entry:
    """The catalogue's entry for the setting MODEL.

    Raises ConfigError when it means nothing, or when the file of own models does not.
    """
    try:
        entries(config["MODELS_FILE"])
    except ModelUnavailableError as error:
        raise ConfigError(str(error.params["reason"])) from error
    try:
        return resolve(config["MODEL"], config["MODELS_FILE"])
    except ModelUnavailableError as error:
        raise ConfigError(f"CHATSITE_MODEL={config['MODEL']!r} cannot be used: {error.params['reason']}") from error
