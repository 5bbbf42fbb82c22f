"""The settings about models, as all services for models take them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatsite.engine.catalog import catalog


@dataclass(frozen=True)
class CatalogConfig:
    """The settings about models: DEFAULT_MODEL, ENDPOINT, and the file with the owner's custom models and endpoints."""

    default_model: str = catalog.AUTO_MODEL
    custom_models_file: Path | None = None
    endpoint: str = ""

    @property
    def is_auto(self) -> bool:
        """Return whether the default model is left to what the owner says on the pages."""
        return self.default_model == catalog.AUTO_MODEL


def read_catalog_config(config: Mapping[str, Any]) -> CatalogConfig:
    """Return the settings about models from an app's configuration."""
    return CatalogConfig(config["DEFAULT_MODEL"], config["CUSTOM_MODELS_FILE"], config["ENDPOINT"])
