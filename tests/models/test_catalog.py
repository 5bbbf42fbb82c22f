"""What may be wished of models, who answers by default, and what the table says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from chatsite.database import db
from chatsite.engine.catalog.catalog import BUILTIN_ENTRIES, EMBEDDED_MODEL, PREFERRED_MODEL
from chatsite.engine.types import ModelStatus
from chatsite.errors import (
    ChatsiteError,
    DefaultModelInUseError,
    ModelAlreadyDownloadedError,
    ModelBusyError,
    ModelNotDownloadableError,
    ModelNotDownloadedError,
    ModelNotFoundError,
    as_error,
)
from chatsite.models import ModelState, RequestedAction
from chatsite.services.models import catalog, status
from chatsite.services.models.catalog import CatalogConfig
from chatsite.services.models.status import WeightsStatus

AUTO = CatalogConfig()
READY = WeightsStatus(ModelState.READY, revision="1")


@pytest.fixture(autouse=True)
def _app_context(any_app: Flask) -> Iterator[None]:
    """An app context that lasts for the test."""
    with any_app.app_context():
        yield
        db.session.remove()


def test_every_catalog_model_except_scripted_has_card(tmp_path: Path) -> None:
    assert [card.name for card in catalog.list_cards(AUTO)] == [
        entry.name for entry in BUILTIN_ENTRIES if entry.name != "scripted"
    ]
    assert [card.name for card in catalog.list_cards(AUTO) if card.is_default] == [EMBEDDED_MODEL]
    assert all(card.download_state is ModelState.ABSENT and not card.is_ready for card in catalog.list_cards(AUTO))
    with_script = catalog.list_cards(CatalogConfig("scripted"))
    assert (with_script[-1].name, with_script[-1].is_ready, with_script[-1].is_default) == ("scripted", True, True)


def test_unlisted_configured_model_has_card(tmp_path: Path) -> None:
    site = CatalogConfig(str(tmp_path))
    assert catalog.default_name(site) == tmp_path.name
    assert catalog.list_cards(site)[-1].name == tmp_path.name
    assert catalog.get_card(site, tmp_path.name).is_default


def test_custom_models_have_cards(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text('[mine]\nfolder = "weights"\ntitle = "Mine"\n', "utf-8")
    site = CatalogConfig("mine", file)
    assert (catalog.get_card(site, "mine").entry.title, catalog.default_name(site)) == ("Mine", "mine")


def test_auto_default_is_blenderbot_once_downloaded() -> None:
    assert catalog.default_name(AUTO) == EMBEDDED_MODEL
    status.heartbeat(PREFERRED_MODEL, WeightsStatus(ModelState.FETCHING, 1, 2))
    assert catalog.default_name(AUTO) == EMBEDDED_MODEL
    status.finish(PREFERRED_MODEL, READY)
    assert catalog.default_name(AUTO) == PREFERRED_MODEL
    assert catalog.default_name(CatalogConfig("gpt2")) == "gpt2"


def test_choices_are_ready_models_and_default() -> None:
    assert [card.name for card in catalog.list_available(AUTO)] == [EMBEDDED_MODEL]
    status.finish("gpt2", READY)
    status.finish("t5-small", WeightsStatus(ModelState.FAILED, error=as_error("No.")))
    assert [card.name for card in catalog.list_available(AUTO)] == [EMBEDDED_MODEL, "gpt2"]
    assert [card.name for card in catalog.list_available(CatalogConfig("scripted"))] == ["gpt2", "scripted"]
    catalog.request_removal(AUTO, "gpt2")
    assert [card.name for card in catalog.list_available(AUTO)] == [EMBEDDED_MODEL]


def test_download_can_be_requested_once() -> None:
    catalog.request_download(AUTO, "gpt2")
    assert status.requested_actions() == {"gpt2": RequestedAction.PULL}
    assert catalog.get_card(AUTO, "gpt2").is_downloading
    with pytest.raises(ModelBusyError):
        catalog.request_download(AUTO, "gpt2")


@pytest.mark.parametrize("state", [ModelState.FETCHING, ModelState.CONVERTING])
def test_running_download_cannot_restart_but_can_be_canceled(state: ModelState) -> None:
    status.heartbeat("gpt2", WeightsStatus(state))
    with pytest.raises(ModelBusyError):
        catalog.request_download(AUTO, "gpt2")
    catalog.request_removal(AUTO, "gpt2")
    assert status.requested_actions() == {"gpt2": RequestedAction.REMOVE}
    with pytest.raises(ModelBusyError):
        catalog.request_removal(AUTO, "gpt2")
    with pytest.raises(ModelBusyError):
        catalog.request_download(AUTO, "gpt2")


def test_failed_download_can_be_retried() -> None:
    status.finish("gpt2", WeightsStatus(ModelState.FAILED, error=as_error("There is no network.")))
    card = catalog.get_card(AUTO, "gpt2")
    assert (card.has_failed, str(card.error), card.can_pull) == (True, "There is no network.", True)
    catalog.request_download(AUTO, "gpt2")
    assert not catalog.get_card(AUTO, "gpt2").has_failed


def test_failed_model_can_be_removed() -> None:
    """What had come of it takes room on the disk, and weights that cannot be loaded are all here."""
    status.finish("gpt2", WeightsStatus(ModelState.FAILED, error=as_error("It is no model.")))
    assert catalog.get_card(AUTO, "gpt2").can_remove
    catalog.request_removal(AUTO, "gpt2")
    assert status.requested_actions() == {"gpt2": RequestedAction.REMOVE}


def test_ready_model_can_be_removed_but_not_downloaded() -> None:
    status.finish("gpt2", READY)
    with pytest.raises(ModelAlreadyDownloadedError):
        catalog.request_download(AUTO, "gpt2")
    assert catalog.get_card(AUTO, "gpt2").can_remove
    catalog.request_removal(AUTO, "gpt2")
    assert not catalog.get_card(AUTO, "gpt2").can_remove


@pytest.mark.parametrize(
    ("act", "site", "name", "error"),
    [
        (catalog.request_download, AUTO, "nothing", ModelNotFoundError),
        (catalog.request_removal, AUTO, "nothing", ModelNotFoundError),
        (catalog.request_download, AUTO, "scripted", ModelNotFoundError),
        (catalog.request_download, CatalogConfig("scripted"), "scripted", ModelAlreadyDownloadedError),
        (catalog.request_removal, CatalogConfig("scripted"), "scripted", DefaultModelInUseError),
        (catalog.request_removal, AUTO, "gpt2", ModelNotDownloadedError),
        (catalog.request_removal, AUTO, EMBEDDED_MODEL, DefaultModelInUseError),
        (catalog.request_removal, CatalogConfig("gpt2"), "gpt2", DefaultModelInUseError),
    ],
)
def test_invalid_download_and_remove_requests_are_rejected(
    act, site: CatalogConfig, name: str, error: type[ChatsiteError]
) -> None:
    status.finish(EMBEDDED_MODEL, READY)
    with pytest.raises(error):
        act(site, name)
    assert status.requested_actions() == {}


def test_custom_folder_model_is_neither_downloaded_nor_removed(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text('[mine]\nfolder = "weights"\n', "utf-8")
    site = CatalogConfig(custom_models_file=file)
    with pytest.raises(ModelNotDownloadableError):
        catalog.request_download(site, "mine")
    status.finish("mine", READY)
    with pytest.raises(ModelNotDownloadableError):
        catalog.request_removal(site, "mine")


def test_default_blenderbot_cannot_be_removed() -> None:
    status.finish(PREFERRED_MODEL, READY)
    with pytest.raises(DefaultModelInUseError):
        catalog.request_removal(AUTO, PREFERRED_MODEL)
    catalog.request_removal(CatalogConfig("gpt2"), PREFERRED_MODEL)


def test_requested_action_is_taken_by_one_runner() -> None:
    catalog.request_download(AUTO, "gpt2")
    assert status.has_work()
    assert not status.claim("gpt2", RequestedAction.REMOVE)
    assert status.claim("gpt2", RequestedAction.PULL)
    assert not status.claim("gpt2", RequestedAction.PULL)
    assert status.requested_actions() == {}
    assert not status.has_work()


def test_download_progress_has_fraction_and_seconds_left() -> None:
    status.heartbeat("gpt2", WeightsStatus(ModelState.FETCHING, 250, 1000, 50.0))
    card = catalog.get_card(AUTO, "gpt2")
    assert (card.progress, card.seconds_left) == (0.25, 15.0)
    status.heartbeat("gpt2", WeightsStatus(ModelState.FETCHING))
    card = catalog.get_card(AUTO, "gpt2")
    assert (card.progress, card.seconds_left) == (None, None)


def test_memory_state_updates_and_measurements_persist() -> None:
    status.finish("gpt2", READY)
    status.save_memory_status([ModelStatus("gpt2", is_loaded=False), ModelStatus("t5-small", is_loaded=False)])
    row = catalog.get_card(AUTO, "gpt2").local_model
    assert row
    assert (row.is_loading, row.is_loaded) == (True, False)
    status.save_memory_status([ModelStatus("gpt2", True, 500, 42.0, "int8", is_batched=False)])
    db.session.expire_all()
    assert (row.is_loading, row.is_loaded, row.memory_bytes, row.tokens_per_second) == (False, True, 500, 42.0)
    assert (row.precision, row.is_batched, row.download_state) == ("int8", False, ModelState.READY)
    status.save_memory_status([])
    db.session.expire_all()
    assert (row.is_loaded, row.memory_bytes, row.tokens_per_second) == (False, 500, 42.0)


def test_load_error_marks_model_failed() -> None:
    status.finish("gpt2", READY)
    status.save_memory_status([ModelStatus("gpt2", is_loaded=False, failure_reason=as_error("It is damaged."))])
    card = catalog.get_card(AUTO, "gpt2")
    assert (card.has_failed, str(card.error)) == (True, "It is damaged.")
    assert card.local_model is not None
    assert not card.local_model.is_loading


def test_download_without_updates_is_stalled() -> None:
    status.heartbeat("gpt2", WeightsStatus(ModelState.FETCHING))
    status.finish("t5-small", READY)
    assert status.reap(3600) == []
    assert status.reap(-1) == ["gpt2"]
    assert status.all_download_states() == {"gpt2": ModelState.FETCHING, "t5-small": ModelState.READY}


def test_a_pull_that_was_handed_back_can_be_taken_up_at_once() -> None:
    status.heartbeat("gpt2", WeightsStatus(ModelState.FETCHING))
    status.finish("t5-small", READY)
    for name in ("gpt2", "t5-small"):
        status.release(name)
    assert status.reap(3600) == ["gpt2"]
