"""The model of the setting DEFAULT_MODEL, as commands find it: it may be of an endpoint that was added to the site."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chatsite.engine.catalog.catalog import CatalogEntry
from chatsite.engine.catalog.endpoints import Endpoint
from chatsite.runner.model_setting import configured_model


def may_be_added(config: Mapping[str, Any]) -> bool:
    """Return whether the setting may name a model of an endpoint that only the database knows."""
    return "/" in config["DEFAULT_MODEL"]


def find_configured_model(config: Mapping[str, Any]) -> CatalogEntry:
    """Return the catalog entry of the setting. Raises ConfigError if it names no model."""
    return configured_model(config, list_added_endpoints() if may_be_added(config) else ())


def list_added_endpoints() -> list[Endpoint]:
    """Return the endpoints that were added to the site; none where there is no database yet."""
    from sqlalchemy.exc import SQLAlchemyError

    from chatsite import create_app
    from chatsite.errors import StorageError
    from chatsite.services.models import endpoint_status
    from chatsite.services.models.catalog_config import read_catalog_config

    app = create_app({"LOG_LEVEL": "error"})
    with app.app_context():
        try:
            return [each.endpoint for each in endpoint_status.list_known(read_catalog_config(app.config))]
        except (SQLAlchemyError, StorageError):
            return []
