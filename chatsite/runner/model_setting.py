"""The model of the setting DEFAULT_MODEL. This module imports no torch, because every start uses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chatsite.config import ConfigError
from chatsite.engine.catalog.catalog import CatalogEntry, list_entries, resolve_entry
from chatsite.engine.catalog.endpoints import Endpoint, load_endpoints
from chatsite.errors import ModelLoadError, gettext_noop

UNUSABLE_MODEL = gettext_noop("%(variable)s=%(text)s cannot be used: %(reason)s")


def configured_model(config: Mapping[str, Any], added: Sequence[Endpoint] = ()) -> CatalogEntry:
    """Return the catalog entry of the setting DEFAULT_MODEL, which may be a model of a configured endpoint.

    `added` are endpoints that stand in no setting. A configured one of the same name goes before them.
    Raises ConfigError if the catalog does not contain it, or if the file of custom models is invalid.
    """
    require_valid_file(config)
    configured = load_endpoints(config["CUSTOM_MODELS_FILE"], config["ENDPOINT"])
    try:
        return resolve_entry(config["DEFAULT_MODEL"], config["CUSTOM_MODELS_FILE"], (*configured, *added))
    except ModelLoadError as error:
        text, reason = repr(config["DEFAULT_MODEL"]), error.params["reason"]
        raise ConfigError(UNUSABLE_MODEL, variable="CHATSITE_DEFAULT_MODEL", text=text, reason=reason) from error


def require_valid_file(config: Mapping[str, Any]) -> None:
    """Raise ConfigError if the file of custom models and endpoints is invalid."""
    try:
        list_entries(config["CUSTOM_MODELS_FILE"])
        load_endpoints(config["CUSTOM_MODELS_FILE"], config["ENDPOINT"])
    except ModelLoadError as error:
        raise ConfigError("%(reason)s", reason=error.params["reason"]) from error
