"""What may be wished of models, who answers by default, and what the table says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from chatsite.database import db
from chatsite.engine import Residence
from chatsite.engine.catalogue import EMBEDDED, ENTRIES, PREFERRED
from chatsite.errors import (
    ChatsiteError,
    ModelBusyError,
    ModelHereError,
    ModelNeededError,
    ModelNotHereError,
    ModelUnknownError,
    NoSourceError,
)
from chatsite.models import ModelState, Wish
from chatsite.services import models, residences
from chatsite.services.models import Known
from chatsite.services.residences import Seen

AUTO = Known()
READY = Seen(ModelState.READY, revision="1")


@pytest.fixture(autouse=True)
def context(any_app: Flask) -> Iterator[None]:
    """An app context that lasts for the test."""
    with any_app.app_context():
        yield
        db.session.remove()


def test_every_model_of_the_catalogue_has_a_card_but_the_script(tmp_path: Path) -> None:
    assert [card.name for card in models.cards(AUTO)] == [entry.name for entry in ENTRIES if entry.name != "scripted"]
    assert [card.name for card in models.cards(AUTO) if card.default] == [EMBEDDED]
    assert all(card.state is ModelState.ABSENT and not card.ready for card in models.cards(AUTO))
    with_script = models.cards(Known("scripted"))
    assert (with_script[-1].name, with_script[-1].ready, with_script[-1].default) == ("scripted", True, True)


def test_a_model_of_the_setting_that_is_not_listed_has_a_card_too(tmp_path: Path) -> None:
    site = Known(str(tmp_path))
    assert models.default(site) == tmp_path.name
    assert models.cards(site)[-1].name == tmp_path.name
    assert models.get(site, tmp_path.name).default


def test_models_of_ones_own_have_cards(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text('[mine]\nfolder = "weights"\ntitle = "Mine"\n', "utf-8")
    site = Known("mine", file)
    assert (models.get(site, "mine").entry.title, models.default(site)) == ("Mine", "mine")


def test_blenderbot_is_the_default_of_auto_once_it_is_here() -> None:
    assert models.default(AUTO) == EMBEDDED
    residences.record(PREFERRED, Seen(ModelState.FETCHING, 1, 2))
    assert models.default(AUTO) == EMBEDDED
    residences.record(PREFERRED, READY)
    assert models.default(AUTO) == PREFERRED
    assert models.default(Known("gpt2")) == "gpt2"


def test_only_what_is_here_can_be_chosen_and_the_default() -> None:
    assert [card.name for card in models.choices(AUTO)] == [EMBEDDED]
    residences.record("gpt2", READY)
    residences.record("t5-small", Seen(ModelState.FAILED, reason="No."))
    assert [card.name for card in models.choices(AUTO)] == [EMBEDDED, "gpt2"]
    assert [card.name for card in models.choices(Known("scripted"))] == ["gpt2", "scripted"]
    models.remove(AUTO, "gpt2")
    assert [card.name for card in models.choices(AUTO)] == [EMBEDDED]


def test_a_pull_is_wished_for_once() -> None:
    models.pull(AUTO, "gpt2")
    assert residences.wishes() == {"gpt2": Wish.PULL}
    assert models.get(AUTO, "gpt2").pulling
    with pytest.raises(ModelBusyError):
        models.pull(AUTO, "gpt2")


@pytest.mark.parametrize("state", [ModelState.FETCHING, ModelState.CONVERTING])
def test_what_is_on_its_way_is_not_pulled_again_but_can_be_given_up(state: ModelState) -> None:
    residences.record("gpt2", Seen(state))
    with pytest.raises(ModelBusyError):
        models.pull(AUTO, "gpt2")
    models.remove(AUTO, "gpt2")
    assert residences.wishes() == {"gpt2": Wish.REMOVE}
    with pytest.raises(ModelBusyError):
        models.remove(AUTO, "gpt2")
    with pytest.raises(ModelBusyError):
        models.pull(AUTO, "gpt2")


def test_what_failed_can_be_tried_again() -> None:
    residences.record("gpt2", Seen(ModelState.FAILED, reason="There is no network."))
    card = models.get(AUTO, "gpt2")
    assert (card.failed, card.reason, card.can_pull) == (True, "There is no network.", True)
    models.pull(AUTO, "gpt2")
    assert not models.get(AUTO, "gpt2").failed


def test_what_failed_can_be_removed() -> None:
    """What had come of it takes room on the disk, and weights that cannot be loaded are all here."""
    residences.record("gpt2", Seen(ModelState.FAILED, reason="It is no model."))
    assert models.get(AUTO, "gpt2").can_remove
    models.remove(AUTO, "gpt2")
    assert residences.wishes() == {"gpt2": Wish.REMOVE}


def test_what_is_here_is_not_pulled_but_removed() -> None:
    residences.record("gpt2", READY)
    with pytest.raises(ModelHereError):
        models.pull(AUTO, "gpt2")
    assert models.get(AUTO, "gpt2").can_remove
    models.remove(AUTO, "gpt2")
    assert not models.get(AUTO, "gpt2").can_remove


@pytest.mark.parametrize(
    ("act", "site", "name", "error"),
    [
        (models.pull, AUTO, "nothing", ModelUnknownError),
        (models.remove, AUTO, "nothing", ModelUnknownError),
        (models.pull, AUTO, "scripted", ModelUnknownError),
        (models.pull, Known("scripted"), "scripted", ModelHereError),
        (models.remove, Known("scripted"), "scripted", ModelNeededError),
        (models.remove, AUTO, "gpt2", ModelNotHereError),
        (models.remove, AUTO, EMBEDDED, ModelNeededError),
        (models.remove, Known("gpt2"), "gpt2", ModelNeededError),
    ],
)
def test_what_cannot_be_is_refused(act, site: Known, name: str, error: type[ChatsiteError]) -> None:  # type: ignore[no-untyped-def]
    residences.record(EMBEDDED, READY)
    with pytest.raises(error):
        act(site, name)
    assert residences.wishes() == {}


def test_a_folder_of_ones_own_is_neither_fetched_nor_removed(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text('[mine]\nfolder = "weights"\n', "utf-8")
    site = Known(own=file)
    with pytest.raises(NoSourceError):
        models.pull(site, "mine")
    residences.record("mine", READY)
    with pytest.raises(NoSourceError):
        models.remove(site, "mine")


def test_blenderbot_can_be_removed_only_while_it_is_not_the_default() -> None:
    residences.record(PREFERRED, READY)
    with pytest.raises(ModelNeededError):
        models.remove(AUTO, PREFERRED)
    models.remove(Known("gpt2"), PREFERRED)


def test_a_wish_is_taken_by_one_runner() -> None:
    models.pull(AUTO, "gpt2")
    assert not residences.take("gpt2", Wish.REMOVE)
    assert residences.take("gpt2", Wish.PULL)
    assert not residences.take("gpt2", Wish.PULL)
    assert residences.wishes() == {}


def test_progress_is_told_in_parts_and_seconds() -> None:
    residences.record("gpt2", Seen(ModelState.FETCHING, 250, 1000, 50.0))
    card = models.get(AUTO, "gpt2")
    assert (card.part, card.seconds_left) == (0.25, 15.0)
    residences.record("gpt2", Seen(ModelState.FETCHING))
    card = models.get(AUTO, "gpt2")
    assert (card.part, card.seconds_left) == (None, None)


def test_what_is_in_memory_is_told_and_what_was_measured_stays() -> None:
    residences.record("gpt2", READY)
    residences.reside([Residence("gpt2", loaded=False), Residence("t5-small", loaded=False)])
    row = models.get(AUTO, "gpt2").row
    assert row
    assert (row.loading, row.loaded) == (True, False)
    residences.reside([Residence("gpt2", True, 500, 42.0, "int8", batched=False)])
    db.session.expire_all()
    assert (row.loading, row.loaded, row.memory_bytes, row.tokens_per_second) == (False, True, 500, 42.0)
    assert (row.precision, row.batched, row.state) == ("int8", False, ModelState.READY)
    residences.reside([])
    db.session.expire_all()
    assert (row.loaded, row.memory_bytes, row.tokens_per_second) == (False, 500, 42.0)


def test_a_model_that_could_not_be_loaded_has_failed() -> None:
    residences.record("gpt2", READY)
    residences.reside([Residence("gpt2", loaded=False, reason="It is damaged.")])
    card = models.get(AUTO, "gpt2")
    assert (card.failed, card.reason) == (True, "It is damaged.")
    assert card.row is not None
    assert not card.row.loading


def test_a_pull_that_nobody_speaks_of_is_stalled() -> None:
    residences.record("gpt2", Seen(ModelState.FETCHING))
    residences.record("t5-small", READY)
    assert residences.stalled(3600) == []
    assert residences.stalled(-1) == ["gpt2"]
    assert residences.states() == {"gpt2": ModelState.FETCHING, "t5-small": ModelState.READY}
