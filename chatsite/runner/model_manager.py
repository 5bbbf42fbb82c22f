"""The model manager: stores which models are on this machine, and carries out the requested actions of the owner.

It runs between two ticks and does nothing long; a child process downloads one model at a time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from chatsite.engine.catalog import catalog
from chatsite.engine.catalog.catalog import PREFERRED_MODEL, CatalogEntry, HubSource
from chatsite.engine.downloads import hub, weights
from chatsite.engine.downloads.weights import Weights
from chatsite.engine.model_pool import ModelPool
from chatsite.engine.types import ModelStatus
from chatsite.errors import ChatsiteError, ModelLoadError, reason_of
from chatsite.models import ModelState, RequestedAction
from chatsite.runner.download_process import DownloadProcess, build_environment
from chatsite.runner.model_setting import configured_model
from chatsite.services.models import catalog as cards
from chatsite.services.models import status
from chatsite.services.models.status import RUNNING_STATES, WeightsStatus

log = structlog.get_logger()

POLL_SECONDS = 0.5
SCAN_SECONDS = 5.0
# The pauses between tries of the unrequested download of the preferred model: no user waits for it.
MIN_RETRY_SECONDS = 300.0
MAX_RETRY_SECONDS = 6 * 3600.0
# A download without a heartbeat for STALLED_SECONDS has ended together with its runner.
HEARTBEAT_SECONDS = 2.0
STALLED_SECONDS = 6.0


class ModelManager:
    """The model manager of a runner. `config` is the configuration of the app, `pool` holds the models in memory.

    `configured` is the model of the setting DEFAULT_MODEL, if the settings alone do not tell which that is.
    """

    def __init__(self, config: Mapping[str, Any], pool: ModelPool, configured: CatalogEntry | None = None) -> None:
        self._pool = pool
        self._models_folder: Path = config["MODELS"]
        self._custom_models_file: Path = config["CUSTOM_MODELS_FILE"]
        listed_models = catalog.list_entries(self._custom_models_file)
        configured = configured or configured_model(config)
        is_listed = configured in listed_models or configured.is_remote
        self._entries = listed_models if is_listed else (*listed_models, configured)
        self._config = cards.read_catalog_config(config)
        self._followed_default = ""
        # What this runner can load, as of the last scan.
        self.local_models: frozenset[str] = frozenset()
        self._may_download_default: bool = self._config.is_auto and config["AUTO_PULL"]
        self._environment = build_environment(config)
        self._download: DownloadProcess | None = None
        self._is_unrequested = False
        self._saved_status: WeightsStatus | None = None
        self._saved_memory_status: list[ModelStatus] | None = None
        self._next_poll_at = 0.0
        self._next_scan_at = 0.0
        self._next_try_at = 0.0
        self._next_heartbeat_at = 0.0
        self._retry_seconds = MIN_RETRY_SECONDS

    def poll(self, is_ready: bool, *, may_reap: bool = True) -> None:
        """Scan the disk, store progress and apply requested actions, at most every POLL_SECONDS. Needs an app context.

        `is_ready` says that the runner has loaded its model, `may_reap` that a silent download is abandoned. Raises
        the ChatsiteError of a write, such as DatabaseBusyError.
        """
        if time.monotonic() < self._next_poll_at:
            return
        self._next_poll_at = time.monotonic() + POLL_SECONDS
        try:
            self._poll_once(is_ready, may_reap)
        except ChatsiteError:
            raise
        except Exception:
            # Loaded models can write answers even if the model manager fails.
            log.exception("library_broke")
            self._next_poll_at = time.monotonic() + SCAN_SECONDS

    def _poll_once(self, is_ready: bool, may_reap: bool) -> None:
        if time.monotonic() > self._next_scan_at:
            self._next_scan_at = time.monotonic() + SCAN_SECONDS
            self._scan_disk(may_reap)
        self._save_download_progress()
        if status.has_work():
            for name, request in status.requested_actions().items():
                self._apply_request(name, request)
        if is_ready and self._config.is_auto:
            self._follow_default()
            self._download_default()
        self._save_memory_status()

    def close(self) -> None:
        """End the download and release its model, so that the next runner continues it. Needs an app context."""
        if self._download:
            self._download.terminate()
        status.save_memory_status([])
        if self._download:
            status.release(self._download.name)

    def _scan_disk(self, may_reap: bool) -> None:
        """Update the stored states of weights that other programs added or deleted, and restart stalled downloads."""
        failed_names = {
            loaded_model.model for loaded_model in self._pool.list_statuses() if loaded_model.failure_reason
        }
        saved_states = status.all_download_states()
        here = set()
        for entry in self._entries:
            installed = weights.find_local(entry, self._models_folder) if entry.source else None
            if installed or entry.source is None:
                here.add(entry.name)
            is_downloading = self._download is not None and self._download.name == entry.name
            if entry.source and entry.name not in failed_names and not is_downloading:
                self._reconcile_entry(entry, installed, saved_states.get(entry.name))
        self.local_models = frozenset(here)
        if self._download is None and may_reap:
            # The runner that downloaded these has ended, so this one continues the first of them.
            for name in status.reap(STALLED_SECONDS)[:1]:
                self._start_download(name)

    def _reconcile_entry(self, entry: CatalogEntry, installed: Weights | None, saved_state: ModelState | None) -> None:
        if installed and saved_state is not ModelState.READY:
            status.finish(entry.name, WeightsStatus(ModelState.READY, revision=installed.revision or None))
        elif not installed and saved_state is ModelState.READY:
            status.finish(entry.name, WeightsStatus(ModelState.ABSENT))

    def _save_download_progress(self) -> None:
        """Store the progress of the download, at least every HEARTBEAT_SECONDS, and its end."""
        download = self._download
        if download is None:
            return
        download_status = self._download_status(download)
        if download_status != self._saved_status or time.monotonic() > self._next_heartbeat_at:
            if download_status.download_state in RUNNING_STATES:
                status.heartbeat(download.name, download_status)
            else:
                status.finish(download.name, download_status)
            self._saved_status = download_status
            self._next_heartbeat_at = time.monotonic() + HEARTBEAT_SECONDS
        if download.finished.is_set():
            self._download = None
            self._on_download_finished(download)

    def _download_status(self, download: DownloadProcess) -> WeightsStatus:
        if download.finished.is_set():
            if download.error is None:
                return WeightsStatus(ModelState.READY, revision=download.revision)
            return WeightsStatus(ModelState.FAILED, error=download.error)
        state = ModelState.CONVERTING if download.progress.stage == "converting" else ModelState.FETCHING
        return WeightsStatus(
            state, download.progress.done_bytes, download.progress.total_bytes, download.bytes_per_second
        )

    def _on_download_finished(self, download: DownloadProcess) -> None:
        if download.error is None:
            log.info("model_pulled", model=download.name, revision=download.revision)
            return
        if not self._is_unrequested or self._retry_seconds == MIN_RETRY_SECONDS:
            log.warning("pull_failed", model=download.name, reason=str(download.error))
        if self._is_unrequested:
            self._next_try_at = time.monotonic() + self._retry_seconds
            self._retry_seconds = min(2 * self._retry_seconds, MAX_RETRY_SECONDS)

    def _follow_default(self) -> None:
        """Let the pool load the model of new conversations when that changes, so that their first answer is quick.

        A model that cannot be loaded is reported as failed; then another one is the default, and this follows that.
        """
        name = cards.default_name(self._config)
        if name == self._followed_default:
            return
        self._followed_default = name
        if name != self._pool.model:
            try:
                self._pool.set_default(name)
            except ModelLoadError as error:
                log.warning("load_failed", model=name, reason=str(reason_of(error)))

    def _apply_request(self, name: str, request: RequestedAction) -> None:
        if request is RequestedAction.REMOVE:
            self._remove_model(name)
        elif self._download is None and status.claim(name, request):
            self._start_download(name)

    def _start_download(self, name: str, is_unrequested: bool = False) -> None:
        self._pool.clear_failure(name)
        self._is_unrequested = is_unrequested
        self._download = DownloadProcess(name, self._environment)
        self._saved_status = None
        self._save_download_progress()

    def _remove_model(self, name: str) -> None:
        """Delete the weights of a model. Does nothing while the model writes answers; later polls try again."""
        if self._download and self._download.name == name:
            self._download.terminate()
            self._download = None
        if not self._pool.unload_model(name):
            return
        new_status = WeightsStatus(ModelState.ABSENT)
        try:
            weights.remove_files(catalog.resolve_entry(name, self._custom_models_file), self._models_folder)
            log.info("model_removed", model=name)
        except (ModelLoadError, OSError) as error:
            new_status = WeightsStatus(ModelState.FAILED, error=reason_of(error))
            log.warning("remove_failed", model=name, reason=str(new_status.error))
        status.finish(name, new_status)
        status.claim(name, RequestedAction.REMOVE)

    def _download_default(self) -> None:
        """Download the preferred model if nothing is stored about it, or if an earlier try failed."""
        if not self._may_download_default or self._download or time.monotonic() < self._next_try_at:
            return
        self._next_try_at = time.monotonic() + self._retry_seconds
        entry = catalog.resolve_entry(PREFERRED_MODEL)
        is_untouched = status.all_download_states().get(PREFERRED_MODEL) in (None, ModelState.FAILED)
        if is_untouched and self._is_obtainable(entry) and self._pool.can_fit(entry.memory_bytes_int8):
            self._start_download(PREFERRED_MODEL, is_unrequested=True)

    def _is_obtainable(self, entry: CatalogEntry) -> bool:
        """Return whether the weights are missing here, and can be downloaded or are in the cache of the Hub."""
        from huggingface_hub import constants

        is_cached = isinstance(entry.source, HubSource) and hub.is_cached(entry.source)
        return not weights.find_local(entry, self._models_folder) and (is_cached or not constants.is_offline_mode())

    def _save_memory_status(self) -> None:
        memory_status = self._pool.list_statuses()
        if memory_status != self._saved_memory_status:
            status.save_memory_status(memory_status)
            self._saved_memory_status = memory_status
