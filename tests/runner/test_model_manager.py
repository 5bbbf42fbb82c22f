"""The librarian with a Hub that speaks the real protocol: what is wished is done, and the table tells the truth."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from chatsite.database import db
from chatsite.engine.catalog.catalog import EMBEDDED_MODEL, PREFERRED_MODEL, resolve_entry
from chatsite.engine.downloads import weights
from chatsite.engine.model_pool import ModelPool
from chatsite.engine.types import Progress
from chatsite.errors import ModelLoadError
from chatsite.models import LocalModel, ModelState, RequestedAction
from chatsite.runner import model_manager as library_module
from chatsite.runner.model_manager import ModelManager
from chatsite.runner.process import build_model_pool
from chatsite.services import leases
from chatsite.services.models import catalog, status
from chatsite.services.models.status import WeightsStatus
from tests.conftest import close_app, make_app
from tests.support import trained_models
from tests.support.hub_server import COMMIT_HASH, FakeHub, running_hub
from tests.support.served_site import wait_until

BLENDERBOT = "facebook/blenderbot-400M-distill"


@pytest.fixture(scope="module")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny chat model."""
    return trained_models.make_chat_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_model_folder: Path) -> Iterator[FakeHub]:
    """A Hub with the tiny model as somebody/tiny, and no other; the children of this process ask it."""
    with running_hub() as fake:
        fake.repositories["somebody/tiny"] = tiny_model_folder
        monkeypatch.setenv("HF_ENDPOINT", fake.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        yield fake


@pytest.fixture
def site(tmp_path: Path, hub: FakeHub) -> Iterator[Flask]:
    """An app that knows the tiny model as one of its own."""
    (tmp_path / "models.toml").write_text('[tiny]\nhub = "somebody/tiny"\n', "utf-8")
    made = make_app(tmp_path)
    yield made
    close_app(made)


class Keeper:
    """A librarian at work: `step` until something is true."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.pool: ModelPool = build_model_pool(app.config)
        self.library = ModelManager(app.config, self.pool)
        self.seen: list[WeightsStatus] = []

    def step(self) -> None:
        """One look, and what the table says of the tiny model then."""
        self.library._next_poll_at = 0.0
        with self.app.app_context():
            self.library.poll(is_ready=True)
            db.session.remove()

    def until(self, true: Callable[[], bool]) -> None:
        """Look again and again until something is true."""

        def look() -> bool:
            self.step()
            return true()

        wait_until(look, what="What was waited for")

    def row(self, name: str = "tiny") -> LocalModel:
        """What the table says of a model."""
        with self.app.app_context():
            found = db.session.get(LocalModel, name) or LocalModel(name=name, download_state=ModelState.ABSENT)
            db.session.expunge_all()
            db.session.remove()
            return found

    def request_change(self, act: Callable[[catalog.CatalogConfig, str], None], name: str = "tiny") -> None:
        """Pull or remove as the site's owner."""
        with self.app.app_context():
            act(catalog.read_catalog_config(self.app.config), name)
            db.session.remove()

    def end(self) -> None:
        """End the librarian as a runner does."""
        with self.app.app_context():
            self.library.close()
            db.session.remove()
        self.pool.close()


@pytest.fixture
def manager(site: Flask) -> Iterator[Keeper]:
    """A librarian on that site."""
    made = Keeper(site)
    yield made
    made.end()


def test_requested_download_runs_and_reports_progress(manager: Keeper, hub: FakeHub) -> None:
    hub.bytes_per_second = 400_000
    manager.request_change(catalog.request_download)
    assert manager.row().requested_action is RequestedAction.PULL
    manager.until(lambda: (manager.row().bytes_done or 0) > 100_000 and manager.row().bytes_per_second is not None)
    row = manager.row()
    assert (row.download_state, row.requested_action) == (ModelState.FETCHING, None)
    assert 0 < (row.bytes_done or 0) < (row.bytes_total or 0)
    assert row.bytes_per_second
    hub.bytes_per_second = 0
    manager.until(lambda: manager.row().download_state is ModelState.READY)
    assert (manager.row().revision, manager.row().error) == (COMMIT_HASH, None)
    assert weights.find_local(
        resolve_entry("tiny", manager.app.config["CUSTOM_MODELS_FILE"]), manager.app.config["MODELS"]
    )


def test_download_that_does_not_start_is_not_forgotten(manager: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[RequestedAction | None, ModelState]] = []

    def refuse(name: str, _environment: object) -> None:
        row = manager.row(name)
        seen.append((row.requested_action, row.download_state))
        raise OSError("no more processes")

    with monkeypatch.context() as patch:
        patch.setattr(library_module, "DownloadProcess", refuse)
        manager.request_change(catalog.request_download)
        manager.until(lambda: bool(seen))
    # Whoever looks in this moment does not see a model that nobody has asked for.
    assert seen[0] == (None, ModelState.FETCHING)
    with manager.app.app_context():
        db.session.execute(db.update(LocalModel).values(reported_at=leases.lease_end(-3600)))
        db.session.commit()
    manager.library._next_scan_at = 0.0
    manager.until(lambda: manager.row().download_state is ModelState.READY)


def test_removed_model_is_unloaded_and_deleted(manager: Keeper) -> None:
    manager.request_change(catalog.request_download)
    manager.until(lambda: manager.row().download_state is ModelState.READY)
    manager.pool.set_default("tiny")
    manager.until(lambda: manager.row().is_loaded)
    row = manager.row()
    assert (row.is_loading, row.is_batched, row.precision in {"fp32", "int8"}) == (False, True, True)
    manager.request_change(catalog.request_removal)
    manager.until(lambda: manager.row().download_state is ModelState.ABSENT)
    assert (manager.row().requested_action, manager.row().revision) == (None, None)
    manager.until(lambda: not manager.row().is_loaded)
    assert not (manager.app.config["MODELS"] / "tiny").exists()


def test_download_can_be_canceled(manager: Keeper, hub: FakeHub) -> None:
    hub.bytes_per_second = 50_000
    manager.request_change(catalog.request_download)
    manager.until(lambda: bool(manager.row().bytes_done))
    manager.request_change(catalog.request_removal)
    manager.until(lambda: manager.row().requested_action is None)
    assert manager.row().download_state is ModelState.ABSENT
    assert not [path for path in manager.app.config["MODELS"].iterdir() if path.suffix != ".lock"]


def test_download_resumes_after_runner_death(manager: Keeper, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_module, "STALLED_SECONDS", 0.0)
    hub.bytes_per_second = 200_000
    manager.request_change(catalog.request_download)
    manager.until(lambda: (manager.row().bytes_done or 0) > 100_000)
    manager.end()
    assert manager.row().download_state is ModelState.FETCHING
    hub.bytes_per_second, already = 0, len(hub.requests)
    other = Keeper(manager.app)
    other.until(lambda: other.row().download_state is ModelState.READY)
    other.end()
    assert any(" from " in asked for asked in hub.requests[already:])


def test_failed_download_reports_reason_and_can_be_retried(manager: Keeper, hub: FakeHub) -> None:
    hub.tampered_names.add("model.safetensors")
    manager.request_change(catalog.request_download)
    manager.until(lambda: manager.row().download_state is ModelState.FAILED)
    assert str(manager.row().error) == (
        "model.safetensors of somebody/tiny is not the published file: its digest differs."
    )
    hub.tampered_names.clear()
    manager.request_change(catalog.request_download)
    manager.until(lambda: manager.row().download_state is ModelState.READY)


def test_model_status_follows_disk(manager: Keeper, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_module, "SCAN_SECONDS", 0.0)
    folder = manager.app.config["MODELS"] / "tiny"
    weights.install_folder(folder, "7", lambda scratch: Path(shutil.copytree(tiny_model_folder, scratch / "made")))
    manager.until(lambda: manager.row().download_state is ModelState.READY)
    assert manager.row().revision == "7"
    shutil.rmtree(folder)
    manager.until(lambda: manager.row().download_state is ModelState.ABSENT)


def test_load_error_marks_model_failed(manager: Keeper, tiny_model_folder: Path) -> None:
    folder = manager.app.config["MODELS"] / "tiny"
    weights.install_folder(folder, "7", lambda scratch: Path(shutil.copytree(tiny_model_folder, scratch / "made")))
    (folder / "evil.py").write_text("import os", "utf-8")
    (folder / "config.json").write_bytes((folder / "config.json").read_bytes().replace(b'"llama"', b'"lxama"'))
    manager.pool.set_default("tiny")
    manager.until(lambda: manager.row().download_state is ModelState.FAILED)
    assert "are not supported" in str(manager.row().error)
    manager.library._next_scan_at = 0.0
    manager.step()
    assert manager.row().download_state is ModelState.FAILED


def test_action_on_unknown_model_is_cleared_with_reason(manager: Keeper) -> None:
    with manager.app.app_context():
        status.finish("no-such-model", WeightsStatus(ModelState.ABSENT))
        db.session.execute(db.update(LocalModel).values(requested_action=RequestedAction.REMOVE))
        db.session.commit()
    manager.until(lambda: manager.row("no-such-model").requested_action is None)
    assert "neither a folder nor one of" in str(manager.row("no-such-model").error)


def test_missing_configured_model_is_downloaded_before_loading(tmp_path: Path, hub: FakeHub) -> None:
    app = make_app(tmp_path, DEFAULT_MODEL="somebody/tiny", PRECISION="fp32")
    made, told = build_model_pool(app.config), list[Progress]()
    hub.repositories, there = {}, hub.repositories
    with pytest.raises(ModelLoadError, match="somebody/tiny is not in the Hugging Face cache"):
        made.load(told.append)
    hub.repositories, hub.bytes_per_second = there, 500_000
    made.load(told.append)
    assert any(0 < (progress.fraction or 0) < 1 for progress in told)
    assert told[-1] == Progress("loading")
    assert [each.model for each in made.list_statuses() if each.is_loaded] == ["somebody/tiny"]
    made.close()
    close_app(app)


@pytest.fixture
def hub_with_blenderbot(hub: FakeHub, tmp_path: Path) -> FakeHub:
    """The Hub with a tiny BlenderBot in the place of the real one."""
    folder = trained_models.make_blenderbot_model(tmp_path / "blenderbot")
    hub.repositories[BLENDERBOT] = folder
    return hub


@pytest.fixture
def make_auto_manager(tmp_path: Path, tiny_model_folder: Path) -> Iterator[Callable[..., Keeper]]:
    """Librarians of sites with the model `auto`, whose embedded model is the tiny one."""
    made: list[Keeper] = []

    def make(**settings: object) -> Keeper:
        app = make_app(tmp_path, **{"DEFAULT_MODEL": "auto", "AUTO_PULL": True, **settings})
        weights.install_folder(
            tmp_path / "models" / EMBEDDED_MODEL,
            "1",
            lambda scratch: Path(shutil.copytree(tiny_model_folder, scratch / "made")),
        )
        made.append(Keeper(app))
        made[-1].pool.load(lambda progress: None)
        return made[-1]

    yield make
    for keeper in made:
        keeper.end()
        close_app(keeper.app)


def test_auto_downloads_blenderbot_and_makes_it_default(
    make_auto_manager: Callable[..., Keeper], hub_with_blenderbot: FakeHub
) -> None:
    keeper = make_auto_manager()
    keeper.step()
    assert keeper.pool.model == EMBEDDED_MODEL
    with keeper.app.app_context():
        assert catalog.default_name(catalog.read_catalog_config(keeper.app.config)) == EMBEDDED_MODEL
    keeper.until(lambda: keeper.row(PREFERRED_MODEL).is_loaded)
    assert keeper.pool.model == PREFERRED_MODEL
    with keeper.app.app_context():
        assert catalog.default_name(catalog.read_catalog_config(keeper.app.config)) == PREFERRED_MODEL
        assert [card.name for card in catalog.list_available(catalog.read_catalog_config(keeper.app.config))] == [
            EMBEDDED_MODEL,
            PREFERRED_MODEL,
        ]


def test_auto_asks_the_hub_for_nothing_until_somebody_wants_a_model(
    make_auto_manager: Callable[..., Keeper], hub_with_blenderbot: FakeHub
) -> None:
    keeper = make_auto_manager(AUTO_PULL=False)
    for _ in range(3):
        keeper.step()
    assert hub_with_blenderbot.requests == []
    keeper.request_change(catalog.request_download, PREFERRED_MODEL)
    keeper.until(lambda: keeper.row(PREFERRED_MODEL).download_state is ModelState.READY)
    keeper.step()
    # It was asked for as one more model, so new conversations stay with the one that they had.
    assert keeper.pool.model == EMBEDDED_MODEL
    keeper.request_change(catalog.choose_default, PREFERRED_MODEL)
    keeper.until(lambda: keeper.row(PREFERRED_MODEL).is_loaded)
    assert keeper.pool.model == PREFERRED_MODEL
    keeper.request_change(catalog.choose_default, EMBEDDED_MODEL)
    keeper.until(lambda: keeper.pool.model == EMBEDDED_MODEL)


def test_removed_model_is_not_downloaded_automatically(
    make_auto_manager: Callable[..., Keeper], hub_with_blenderbot: FakeHub
) -> None:
    keeper = make_auto_manager()
    with keeper.app.app_context():
        status.finish(PREFERRED_MODEL, WeightsStatus(ModelState.ABSENT))
    for _ in range(3):
        keeper.step()
    assert keeper.library._download is None
    assert hub_with_blenderbot.requests == []


@pytest.mark.parametrize(
    ("settings", "environ"),
    [({"AUTO_PULL": False}, {}), ({"MODEL_MEMORY_MB": 100}, {}), ({}, {"HF_HUB_OFFLINE": "1"})],
    ids=["forbidden", "too large", "offline"],
)
def test_automatic_download_respects_settings(
    make_auto_manager: Callable[..., Keeper],
    hub_with_blenderbot: FakeHub,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, object],
    environ: dict[str, str],
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", bool(environ))
    keeper = make_auto_manager(**settings)
    for _ in range(3):
        keeper.step()
    assert keeper.library._download is None
    assert hub_with_blenderbot.requests == []


def test_unreachable_hub_is_retried_with_backoff(
    make_auto_manager: Callable[..., Keeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", "/nonexistent")
    keeper = make_auto_manager()
    keeper.until(lambda: keeper.row(PREFERRED_MODEL).download_state is ModelState.FAILED)
    assert "cannot be downloaded" in str(keeper.row(PREFERRED_MODEL).error)
    assert keeper.library._retry_seconds == 2 * library_module.MIN_RETRY_SECONDS
    keeper.step()
    assert keeper.library._download is None
    keeper.library._next_try_at = 0.0
    keeper.step()
    assert keeper.library._download is not None
