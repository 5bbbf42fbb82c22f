"""Model cards: the catalog with the state of each model on this machine, and requests to pull or remove a model.

The web only stores a requested action; a runner, which alone sees the disk, executes it and reports the progress with
`services.models.status`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import or_, select, update

from chatsite.database import WriteSession, db, write_transaction
from chatsite.engine.catalog import catalog
from chatsite.engine.catalog.catalog import CatalogEntry
from chatsite.errors import (
    ChatsiteError,
    DefaultModelConfiguredError,
    DefaultModelInUseError,
    ModelAlreadyDownloadedError,
    ModelBusyError,
    ModelLoadError,
    ModelNotDownloadableError,
    ModelNotDownloadedError,
    ModelNotFoundError,
)
from chatsite.models import LocalModel, ModelState, RequestedAction

DOWNLOADING_STATES = frozenset({ModelState.FETCHING, ModelState.CONVERTING})


@dataclass(frozen=True)
class CatalogConfig:
    """The settings about models: DEFAULT_MODEL, and the file that describes the owner's custom models."""

    default_model: str = catalog.AUTO_MODEL
    custom_models_file: Path | None = None

    @property
    def is_auto(self) -> bool:
        """Return whether the default model is left to what the owner says on the pages."""
        return self.default_model == catalog.AUTO_MODEL


@dataclass(frozen=True)
class ModelCard:
    """A catalog entry, the state that a runner last reported (None: never), and whether it is the default model."""

    entry: CatalogEntry
    local_model: LocalModel | None
    is_default: bool = False

    @property
    def name(self) -> str:
        """The name of the model in the catalog."""
        return self.entry.name

    @property
    def download_state(self) -> ModelState:
        """The state of the weights on this machine."""
        return self.local_model.download_state if self.local_model else ModelState.ABSENT

    @property
    def is_ready(self) -> bool:
        """Return whether the model can answer: its weights are on this machine, or it needs none."""
        return self.entry.source is None or self.download_state is ModelState.READY

    @property
    def answers_new_chats(self) -> bool | None:
        """Whether the owner wants new conversations to be answered by this model; None if the owner did not say."""
        return self.local_model.answers_new_chats if self.local_model else None

    @property
    def is_queued(self) -> bool:
        """Return whether a pull was requested and has not begun."""
        return (
            self.local_model is not None
            and self.local_model.requested_action is RequestedAction.PULL
            and self.download_state not in DOWNLOADING_STATES
        )

    @property
    def is_downloading(self) -> bool:
        """Return whether the weights are being downloaded or converted, or a pull is queued."""
        return self.is_queued or self.download_state in DOWNLOADING_STATES

    @property
    def is_removing(self) -> bool:
        """Return whether the removal of the model was requested."""
        return self.local_model is not None and self.local_model.requested_action is RequestedAction.REMOVE

    @property
    def has_failed(self) -> bool:
        """Return whether the last attempt failed and no new one was requested; `error` has the reason."""
        return self.download_state is ModelState.FAILED and not self.is_downloading

    @property
    def error(self) -> ChatsiteError | None:
        """The reason why the last attempt failed, or None."""
        return self.local_model.error if self.local_model and self.has_failed else None

    @property
    def progress(self) -> float | None:
        """The downloaded part of the weights, from 0 to 1; None if it is unknown."""
        if (
            self.local_model is None
            or not self.is_downloading
            or self.local_model.bytes_done is None
            or not self.local_model.bytes_total
        ):
            return None
        return min(1.0, self.local_model.bytes_done / self.local_model.bytes_total)

    @property
    def seconds_left(self) -> float | None:
        """The estimated seconds until the download ends, at the present speed; None if it is unknown."""
        if self.local_model is None or self.progress is None or not self.local_model.bytes_per_second:
            return None
        return (
            max(0.0, (self.local_model.bytes_total or 0) - (self.local_model.bytes_done or 0))
            / self.local_model.bytes_per_second
        )

    @property
    def can_pull(self) -> bool:
        """Return whether the model can be downloaded and is neither here nor being downloaded."""
        return self.entry.is_downloadable and not self.is_ready and not self.is_downloading

    @property
    def has_local_files(self) -> bool:
        """Return whether the model may take disk space: a failed download leaves the files that had arrived."""
        return self.is_ready or self.is_downloading or self.has_failed

    @property
    def can_remove(self) -> bool:
        """Return whether the model takes disk space, or is about to, and may be removed."""
        return self.entry.is_downloadable and self.has_local_files and not self.is_default and not self.is_removing


def read_catalog_config(config: Mapping[str, Any]) -> CatalogConfig:
    """Return the settings about models from an app's configuration."""
    return CatalogConfig(config["DEFAULT_MODEL"], config["CUSTOM_MODELS_FILE"])


def list_cards(config: CatalogConfig) -> list[ModelCard]:
    """Return the cards of all models: the built-in ones in the order of the catalog, then the owner's.

    The scripted model is listed only if it is the default. Raises ModelLoadError if the file of custom models is
    invalid.
    """
    rows = {row.name: row for row in db.session.scalars(select(LocalModel))}
    default_model = default_name(config)
    return [ModelCard(entry, rows.get(entry.name), entry.name == default_model) for entry in _catalog_entries(config)]


def get_card(config: CatalogConfig, name: str) -> ModelCard:
    """Return the card of a model. Raises ModelNotFoundError, or ModelLoadError for a broken file of custom models."""
    entry = next((entry for entry in _catalog_entries(config) if entry.name == name), None)
    if entry is None:
        raise ModelNotFoundError
    return ModelCard(entry, db.session.get(LocalModel, name), name == default_name(config))


def list_available(config: CatalogConfig) -> list[ModelCard]:
    """Return the cards of the models that a conversation can use: the ready ones, and the default model even before.

    Raises ModelLoadError if the file of custom models is invalid.
    """
    return [card for card in list_cards(config) if (card.is_ready and not card.is_removing) or card.is_default]


def default_name(config: CatalogConfig) -> str:
    """Return the name of the model of new conversations.

    `auto` is the model that the owner chose, once it is downloaded; else the preferred model, if it is downloaded and
    the owner did not say otherwise; else the embedded model. Raises ModelLoadError if the setting names no model.
    """
    if not config.is_auto:
        return catalog.resolve_entry(config.default_model, config.custom_models_file).name
    is_candidate = or_(LocalModel.answers_new_chats.is_(True), LocalModel.name == catalog.PREFERRED_MODEL)
    is_ready = LocalModel.download_state == ModelState.READY
    candidates = {
        row.name: row.answers_new_chats
        for row in db.session.scalars(select(LocalModel).where(is_candidate, is_ready))
        if row.requested_action is not RequestedAction.REMOVE
    }
    listed = {entry.name for entry in catalog.list_entries(config.custom_models_file)}
    chosen = next((name for name, is_chosen in candidates.items() if is_chosen and name in listed), None)
    if chosen:
        return chosen
    is_preferred_used = candidates.get(catalog.PREFERRED_MODEL, False) is None
    return catalog.PREFERRED_MODEL if is_preferred_used else catalog.EMBEDDED_MODEL


def can_write_titles(config: CatalogConfig, name: str | None) -> bool:
    """Return whether a model is an assistant that can name conversations; None is the default model."""
    try:
        return catalog.resolve_entry(name or default_name(config), config.custom_models_file).can_write_titles
    except ModelLoadError:
        return False


def request_download(config: CatalogConfig, name: str, *, answers_new_chats: bool = False) -> None:
    """Ask the runners to download a model. With `answers_new_chats` and `auto` it is the default model afterwards.

    Raises ModelNotFoundError, ModelAlreadyDownloadedError, ModelBusyError, ModelNotDownloadableError, or the
    StorageError of the write.
    """
    with write_transaction() as tx:
        card = get_card(config, name)
        if card.is_ready:
            raise ModelAlreadyDownloadedError
        if card.is_downloading or card.is_removing:
            raise ModelBusyError
        if not card.entry.is_downloadable:
            raise ModelNotDownloadableError
        _request_action(tx, name, RequestedAction.PULL)
        _answer_new_chats(tx, name, answers_new_chats)


def choose_default(config: CatalogConfig, name: str) -> None:
    """Let a model answer new conversations, if the setting is `auto`.

    Raises ModelNotFoundError, DefaultModelConfiguredError, ModelNotDownloadedError, or the StorageError of the write.
    """
    if not config.is_auto:
        raise DefaultModelConfiguredError
    with write_transaction() as tx:
        card = get_card(config, name)
        if not card.is_ready or card.is_removing:
            raise ModelNotDownloadedError
        _answer_new_chats(tx, name, True)


def decline(names: Iterable[str]) -> None:
    """Store that the owner does not want these models, which were offered. Raises the StorageError of the write."""
    with write_transaction() as tx:
        for name in names:
            _get_or_add(tx, name).answers_new_chats = False


def request_removal(config: CatalogConfig, name: str) -> None:
    """Ask the runners to delete the files of a model; a download in progress ends.

    Raises ModelNotFoundError, DefaultModelInUseError, ModelNotDownloadableError, ModelBusyError,
    ModelNotDownloadedError, or the StorageError of the write.
    """
    with write_transaction() as tx:
        card = get_card(config, name)
        if card.is_default:
            raise DefaultModelInUseError
        if not card.entry.is_downloadable:
            raise ModelNotDownloadableError
        if card.is_removing:
            raise ModelBusyError
        if not card.has_local_files:
            raise ModelNotDownloadedError
        _request_action(tx, name, RequestedAction.REMOVE)


def free_disk_bytes(folder: Path) -> int:
    """Return the free bytes of the disk that holds `folder`, which need not exist yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _catalog_entries(config: CatalogConfig) -> list[CatalogEntry]:
    """Return the catalog, with the default model even if it is not listed there.

    The scripted model is left out unless it is the default.
    """
    listed = [
        entry for entry in catalog.list_entries(config.custom_models_file) if entry.name != catalog.SCRIPTED_MODEL
    ]
    if config.is_auto:
        return listed
    default_entry = catalog.resolve_entry(config.default_model, config.custom_models_file)
    return listed if any(entry.name == default_entry.name for entry in listed) else [*listed, default_entry]


def _request_action(tx: WriteSession, name: str, action: RequestedAction) -> None:
    _get_or_add(tx, name).requested_action = action


def _answer_new_chats(tx: WriteSession, name: str, is_wanted: bool) -> None:
    if is_wanted:
        tx.execute(update(LocalModel).where(LocalModel.answers_new_chats.is_(True)).values(answers_new_chats=False))
    _get_or_add(tx, name).answers_new_chats = is_wanted


def _get_or_add(tx: WriteSession, name: str) -> LocalModel:
    row = tx.get(LocalModel, name) or LocalModel(name=name)
    tx.add(row)
    return row
