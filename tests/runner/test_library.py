"""The librarian with a Hub that speaks the real protocol: what is wished is done, and the table tells the truth."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from chatsite.cli.runner import shelf
from chatsite.database import db
from chatsite.engine import Progress, weights
from chatsite.engine.catalogue import EMBEDDED, PREFERRED, resolve
from chatsite.engine.shelf import Shelf
from chatsite.errors import ModelUnavailableError
from chatsite.models import Model, ModelState, Wish
from chatsite.runner import library as library_module
from chatsite.runner.library import Library
from chatsite.services import models, residences
from chatsite.services.residences import Seen
from tests.conftest import close, make_app
from tests.engine import support
from tests.hub import COMMIT, FakeHub, running_hub
from tests.site import until

BLENDERBOT = "facebook/blenderbot-400M-distill"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny chat model."""
    return support.make_chat_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny: Path) -> Iterator[FakeHub]:
    """A Hub with the tiny model as somebody/tiny, and no other; the children of this process ask it."""
    with running_hub() as fake:
        fake.repositories["somebody/tiny"] = tiny
        monkeypatch.setenv("HF_ENDPOINT", fake.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        yield fake


@pytest.fixture
def site(tmp_path: Path, hub: FakeHub) -> Iterator[Flask]:
    """An app that knows the tiny model as one of its own."""
    (tmp_path / "models.toml").write_text('[tiny]\nhub = "somebody/tiny"\n', "utf-8")
    made = make_app(tmp_path)
    yield made
    close(made)


class Keeper:
    """A librarian at work: `step` until something is true."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.shelf: Shelf = shelf(app.config)
        self.library = Library(app.config, self.shelf)
        self.seen: list[Seen] = []

    def step(self) -> None:
        """One look, and what the table says of the tiny model then."""
        self.library._next_look = 0.0
        with self.app.app_context():
            self.library.tend(ready=True)
            db.session.remove()

    def until(self, true: Callable[[], bool]) -> None:
        """Look again and again until something is true."""

        def look() -> bool:
            self.step()
            return true()

        until(look, what="What was waited for")

    def row(self, name: str = "tiny") -> Model:
        """What the table says of a model."""
        with self.app.app_context():
            found = db.session.get(Model, name) or Model(name=name, state=ModelState.ABSENT)
            db.session.expunge_all()
            db.session.remove()
            return found

    def wish(self, act: Callable[[models.Known, str], None], name: str = "tiny") -> None:
        """Pull or remove as the site's owner."""
        with self.app.app_context():
            act(models.known(self.app.config), name)
            db.session.remove()

    def end(self) -> None:
        """End the librarian as a runner does."""
        with self.app.app_context():
            self.library.close()
            db.session.remove()
        self.shelf.close()


@pytest.fixture
def keeper(site: Flask) -> Iterator[Keeper]:
    """A librarian on that site."""
    made = Keeper(site)
    yield made
    made.end()


def test_a_pull_that_is_wished_for_is_done_and_told_byte_by_byte(keeper: Keeper, hub: FakeHub) -> None:
    hub.bytes_per_second = 400_000
    keeper.wish(models.pull)
    assert keeper.row().wish is Wish.PULL
    keeper.until(lambda: (keeper.row().bytes_done or 0) > 100_000 and keeper.row().bytes_per_second is not None)
    row = keeper.row()
    assert (row.state, row.wish) == (ModelState.FETCHING, None)
    assert 0 < (row.bytes_done or 0) < (row.bytes_total or 0)
    assert row.bytes_per_second
    hub.bytes_per_second = 0
    keeper.until(lambda: keeper.row().state is ModelState.READY)
    assert (keeper.row().revision, keeper.row().reason) == (COMMIT, None)
    assert weights.present(resolve("tiny", keeper.app.config["MODELS_FILE"]), keeper.app.config["MODELS"])


def test_a_model_that_is_removed_is_unloaded_and_gone(keeper: Keeper) -> None:
    keeper.wish(models.pull)
    keeper.until(lambda: keeper.row().state is ModelState.READY)
    keeper.shelf.prefer("tiny")
    keeper.until(lambda: keeper.row().loaded)
    row = keeper.row()
    assert (row.loading, row.batched, row.precision in {"fp32", "int8"}) == (False, True, True)
    keeper.wish(models.remove)
    keeper.until(lambda: keeper.row().state is ModelState.ABSENT)
    assert (keeper.row().wish, keeper.row().revision) == (None, None)
    keeper.until(lambda: not keeper.row().loaded)
    assert not (keeper.app.config["MODELS"] / "tiny").exists()


def test_a_pull_can_be_given_up(keeper: Keeper, hub: FakeHub) -> None:
    hub.bytes_per_second = 50_000
    keeper.wish(models.pull)
    keeper.until(lambda: bool(keeper.row().bytes_done))
    keeper.wish(models.remove)
    keeper.until(lambda: keeper.row().wish is None)
    assert keeper.row().state is ModelState.ABSENT
    assert not [path for path in keeper.app.config["MODELS"].iterdir() if path.suffix != ".lock"]


def test_a_pull_goes_on_when_its_runner_died(keeper: Keeper, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_module, "STALLED_SECONDS", 0.0)
    hub.bytes_per_second = 200_000
    keeper.wish(models.pull)
    keeper.until(lambda: (keeper.row().bytes_done or 0) > 100_000)
    keeper.end()
    assert keeper.row().state is ModelState.FETCHING
    hub.bytes_per_second, already = 0, len(hub.asked)
    other = Keeper(keeper.app)
    other.until(lambda: other.row().state is ModelState.READY)
    other.end()
    assert any(" from " in asked for asked in hub.asked[already:])


def test_a_pull_that_fails_says_why_and_can_be_tried_again(keeper: Keeper, hub: FakeHub) -> None:
    hub.tampered.add("model.safetensors")
    keeper.wish(models.pull)
    keeper.until(lambda: keeper.row().state is ModelState.FAILED)
    assert keeper.row().reason == (
        "model.safetensors of somebody/tiny is not the file that was published: its digest differs."
    )
    hub.tampered.clear()
    keeper.wish(models.pull)
    keeper.until(lambda: keeper.row().state is ModelState.READY)


def test_the_table_follows_the_disk(keeper: Keeper, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_module, "DISK_SECONDS", 0.0)
    folder = keeper.app.config["MODELS"] / "tiny"
    weights.install(folder, "7", lambda scratch: Path(shutil.copytree(tiny, scratch / "made")))
    keeper.until(lambda: keeper.row().state is ModelState.READY)
    assert keeper.row().revision == "7"
    shutil.rmtree(folder)
    keeper.until(lambda: keeper.row().state is ModelState.ABSENT)


def test_what_cannot_be_loaded_is_told_and_not_called_ready(keeper: Keeper, tiny: Path) -> None:
    folder = keeper.app.config["MODELS"] / "tiny"
    weights.install(folder, "7", lambda scratch: Path(shutil.copytree(tiny, scratch / "made")))
    (folder / "evil.py").write_text("import os", "utf-8")
    (folder / "config.json").write_bytes((folder / "config.json").read_bytes().replace(b'"llama"', b'"lxama"'))
    keeper.shelf.prefer("tiny")
    keeper.until(lambda: keeper.row().state is ModelState.FAILED)
    assert "are not supported" in (keeper.row().reason or "")
    keeper.library._next_disk = 0.0
    keeper.step()
    assert keeper.row().state is ModelState.FAILED


def test_an_unknown_wish_harms_nobody(keeper: Keeper) -> None:
    with keeper.app.app_context():
        residences.record("no-such-model", Seen(ModelState.ABSENT))
        db.session.execute(db.update(Model).values(wish=Wish.REMOVE))
        db.session.commit()
    keeper.until(lambda: keeper.row("no-such-model").wish is None)
    assert "neither a folder nor one of" in (keeper.row("no-such-model").reason or "")


def test_a_model_that_is_set_and_not_here_is_fetched_before_it_is_loaded(tmp_path: Path, hub: FakeHub) -> None:
    app = make_app(tmp_path, MODEL="somebody/tiny", PRECISION="fp32")
    made, told = shelf(app.config), list[Progress]()
    hub.repositories, there = {}, hub.repositories
    with pytest.raises(ModelUnavailableError, match="somebody/tiny is not in the Hugging Face cache"):
        made.load(told.append)
    hub.repositories, hub.bytes_per_second = there, 500_000
    made.load(told.append)
    assert any(0 < (progress.part or 0) < 1 for progress in told)
    assert told[-1] == Progress("loading")
    assert [each.model for each in made.residences() if each.loaded] == ["somebody/tiny"]
    made.close()
    close(app)


@pytest.fixture
def pickled(hub: FakeHub, tmp_path: Path) -> FakeHub:
    """The Hub with a tiny BlenderBot in the place of the real one."""
    folder = support.make_blenderbot_model(tmp_path / "blenderbot")
    hub.repositories[BLENDERBOT] = folder
    return hub


@pytest.fixture
def auto(tmp_path: Path, tiny: Path) -> Iterator[Callable[..., Keeper]]:
    """Librarians of sites with the model `auto`, whose embedded model is the tiny one."""
    made: list[Keeper] = []

    def make(**settings: object) -> Keeper:
        app = make_app(tmp_path, MODEL="auto", **settings)
        weights.install(
            tmp_path / "models" / EMBEDDED, "1", lambda scratch: Path(shutil.copytree(tiny, scratch / "made"))
        )
        made.append(Keeper(app))
        made[-1].shelf.load(lambda progress: None)
        return made[-1]

    yield make
    for keeper in made:
        keeper.end()
        close(keeper.app)


def test_auto_fetches_blenderbot_by_itself_and_new_conversations_get_it(
    auto: Callable[..., Keeper], pickled: FakeHub
) -> None:
    keeper = auto()
    keeper.step()
    assert keeper.shelf.model == EMBEDDED
    with keeper.app.app_context():
        assert models.default(models.known(keeper.app.config)) == EMBEDDED
    keeper.until(lambda: keeper.row(PREFERRED).loaded)
    assert keeper.shelf.model == PREFERRED
    with keeper.app.app_context():
        assert models.default(models.known(keeper.app.config)) == PREFERRED
        assert [card.name for card in models.choices(models.known(keeper.app.config))] == [EMBEDDED, PREFERRED]


def test_what_was_removed_is_not_fetched_again_unasked(auto: Callable[..., Keeper], pickled: FakeHub) -> None:
    keeper = auto()
    with keeper.app.app_context():
        residences.record(PREFERRED, Seen(ModelState.ABSENT))
    for _ in range(3):
        keeper.step()
    assert keeper.library._pull is None
    assert pickled.asked == []


@pytest.mark.parametrize(
    ("settings", "environ"),
    [({"AUTO_PULL": False}, {}), ({"MODEL_MEMORY_MB": 100}, {}), ({}, {"HF_HUB_OFFLINE": "1"})],
    ids=["forbidden", "too large", "offline"],
)
def test_nothing_is_fetched_that_is_not_to_be(
    auto: Callable[..., Keeper],
    pickled: FakeHub,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, object],
    environ: dict[str, str],
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", bool(environ))
    keeper = auto(**settings)
    for _ in range(3):
        keeper.step()
    assert keeper.library._pull is None
    assert pickled.asked == []


def test_a_hub_out_of_reach_is_asked_again_later_and_later(
    auto: Callable[..., Keeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", "/nonexistent")
    keeper = auto()
    keeper.until(lambda: keeper.row(PREFERRED).state is ModelState.FAILED)
    assert "cannot be fetched" in (keeper.row(PREFERRED).reason or "")
    assert keeper.library._pause == 2 * library_module.FIRST_PAUSE
    keeper.step()
    assert keeper.library._pull is None
    keeper.library._next_try = 0.0
    keeper.step()
    assert keeper.library._pull is not None
