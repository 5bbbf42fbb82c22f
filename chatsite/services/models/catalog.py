"""Model cards: the catalog with the state of each model on this machine, and requests to pull or remove a model.

The web only stores a requested action; a runner, which alone sees the disk, executes it and reports the progress with
`services.models.status`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from sqlalchemy import or_, select, update

from chatsite.database import WriteSession, db, write_transaction
from chatsite.engine.catalog import catalog
from chatsite.engine.catalog.catalog import CatalogEntry, EndpointSource
from chatsite.errors import (
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
from chatsite.services.models import endpoints
from chatsite.services.models.catalog_config import CatalogConfig, read_catalog_config
from chatsite.services.models.endpoints import EndpointCard
from chatsite.services.models.model_cards import DOWNLOADING_STATES, ModelCard

__all__ = [
    "DOWNLOADING_STATES",
    "CatalogConfig",
    "ModelCard",
    "can_write_titles",
    "choose_default",
    "decline",
    "default_name",
    "free_disk_bytes",
    "get_card",
    "list_available",
    "list_cards",
    "read_catalog_config",
    "request_download",
    "request_removal",
]


def list_cards(config: CatalogConfig) -> list[ModelCard]:
    """Return the cards of all models: the built-in ones in the order of the catalog, the owner's, those of endpoints.

    The scripted model is listed only if it is the default. Raises ModelLoadError if the file of custom models is
    invalid.
    """
    rows = {row.name: row for row in db.session.scalars(select(LocalModel))}
    endpoint_cards = endpoints.list_cards(config)
    configured = _configured_entry(config, endpoint_cards)
    default_model = configured.name if configured else _choose_default(config, rows.values(), lambda: endpoint_cards)
    remote = _remote_entries(endpoint_cards, configured)
    listed = [*((entry, None) for entry in _local_entries(config, configured)), *remote]
    return [ModelCard(entry, rows.get(entry.name), entry.name == default_model, card) for entry, card in listed]


def get_card(config: CatalogConfig, name: str) -> ModelCard:
    """Return the card of a model. Raises ModelNotFoundError, or ModelLoadError for a broken file of custom models."""
    local = _local_entries(config, None if "/" in config.default_model else _configured_entry(config, ()))
    entry, card = next((entry for entry in local if entry.name == name), None), None
    if entry is None:
        endpoint_cards = endpoints.list_cards(config)
        configured = _configured_entry(config, endpoint_cards)
        others = [*_remote_entries(endpoint_cards, configured), *((each, None) for each in [configured] if each)]
        entry, card = next((other for other in others if other[0].name == name), (None, None))
    if entry is None:
        raise ModelNotFoundError
    return ModelCard(entry, db.session.get(LocalModel, name), name == default_name(config), card)


def list_available(config: CatalogConfig) -> list[ModelCard]:
    """Return the cards of the models that a conversation can use: the usable ones, and the default model even before.

    Raises ModelLoadError if the file of custom models is invalid.
    """
    return [card for card in list_cards(config) if card.is_usable or card.is_default]


def default_name(config: CatalogConfig) -> str:
    """Return the name of the model of new conversations.

    `auto` is the model that the owner chose, once it can answer; else the first model of the endpoint of the settings,
    while that answers; else the preferred model, if it is downloaded and the owner did not say otherwise; else the
    embedded model. Raises ModelLoadError if the setting names no model.
    """
    if not config.is_auto:
        configured = endpoints.list_cards(config) if "/" in config.default_model else ()
        return (_configured_entry(config, configured) or catalog.resolve_entry(catalog.EMBEDDED_MODEL)).name
    is_candidate = or_(LocalModel.answers_new_chats.is_(True), LocalModel.name == catalog.PREFERRED_MODEL)
    rows = db.session.scalars(select(LocalModel).where(is_candidate)).all()
    return _choose_default(config, rows, lambda: endpoints.list_cards(config))


def can_write_titles(config: CatalogConfig, name: str | None) -> bool:
    """Return whether a model is an assistant that can name conversations; None is the default model."""
    try:
        wanted = name or default_name(config)
        known = [card.endpoint for card in endpoints.list_cards(config)] if "/" in wanted else ()
        entry = catalog.resolve_entry(wanted, config.custom_models_file, known)
        return (get_card(config, wanted).entry if entry.is_remote else entry).can_write_titles
    except (ModelLoadError, ModelNotFoundError):
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


def _local_entries(config: CatalogConfig, configured: CatalogEntry | None) -> list[CatalogEntry]:
    """Return the models that run here, with the `configured` one even if it is listed nowhere.

    The scripted model is left out unless it is that.
    """
    others = {catalog.SCRIPTED_MODEL} - {configured.name if configured else ""}
    listed = [entry for entry in catalog.list_entries(config.custom_models_file) if entry.name not in others]
    is_listed = configured is None or configured.is_remote or any(entry.name == configured.name for entry in listed)
    return listed if is_listed or configured is None else [*listed, configured]


def _remote_entries(
    endpoint_cards: Iterable[EndpointCard], configured: CatalogEntry | None
) -> list[tuple[CatalogEntry, EndpointCard | None]]:
    """Return the models of endpoints, each with its endpoint, and the `configured` one before it is known there."""
    listed: list[tuple[CatalogEntry, EndpointCard | None]] = []
    for card in endpoint_cards:
        listed += [(entry, card) for entry in card.entries]
        source = configured.source if configured else None
        is_missing = configured and all(entry.name != configured.name for entry, _ in listed)
        if configured and is_missing and isinstance(source, EndpointSource) and source.endpoint == card.name:
            listed.append((configured, card))
    return listed


def _configured_entry(config: CatalogConfig, endpoint_cards: Iterable[EndpointCard]) -> CatalogEntry | None:
    """Return the model that the setting DEFAULT_MODEL names, or None for `auto`.

    What an endpoint says about it is part of it. Raises ModelLoadError if the setting names no model.
    """
    if config.is_auto:
        return None
    cards = list(endpoint_cards)
    entry = catalog.resolve_entry(config.default_model, config.custom_models_file, [card.endpoint for card in cards])
    listed = (each for card in cards for each in card.entries) if entry.is_remote else ()
    return next((each for each in listed if each.name == entry.name), entry)


def _choose_default(
    config: CatalogConfig, rows: Iterable[LocalModel], list_endpoints: Callable[[], Sequence[EndpointCard]]
) -> str:
    """Return the model of new conversations where the setting is `auto`; `rows` are those of all candidates."""
    by_name = {row.name: row for row in rows}
    chosen = [name for name, row in by_name.items() if row.answers_new_chats]
    here = {
        name
        for name, row in by_name.items()
        if row.download_state is ModelState.READY and row.requested_action is not RequestedAction.REMOVE
    }
    listed = {entry.name for entry in catalog.list_entries(config.custom_models_file)}
    chosen_here = next((name for name in chosen if name in listed & here), None)
    if chosen_here:
        return chosen_here
    remote = _choose_remote_default(config, chosen, list_endpoints)
    if remote:
        return remote
    preferred = by_name.get(catalog.PREFERRED_MODEL)
    is_preferred_used = preferred is not None and preferred.name in here and preferred.answers_new_chats is None
    return catalog.PREFERRED_MODEL if is_preferred_used else catalog.EMBEDDED_MODEL


def _choose_remote_default(
    config: CatalogConfig, chosen: Iterable[str], list_endpoints: Callable[[], Sequence[EndpointCard]]
) -> str | None:
    """Return the model of an endpoint that answers new conversations, or None.

    Sites without an endpoint in their settings, whose owner chose none, ask nothing of the database for it.
    """
    wanted = [name for name in chosen if "/" in name]
    if not wanted and not config.endpoint:
        return None
    ready = [card for card in list_endpoints() if card.is_ready]
    names = {entry.name for card in ready for entry in card.entries}
    first_of_setting = [card.entries[0].name for card in ready if card.endpoint.url == config.endpoint and card.entries]
    return next((name for name in [*wanted, *first_of_setting] if name in names), None)


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
