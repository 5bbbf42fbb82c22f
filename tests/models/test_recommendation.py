"""The advice about models: what is best on machines of all sizes, and what the owner is asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from chatsite.database import db
from chatsite.engine import memory
from chatsite.engine.catalog.catalog import EMBEDDED_MODEL, PREFERRED_MODEL
from chatsite.engine.types import ModelStatus
from chatsite.errors import DefaultModelConfiguredError, ModelNotDownloadedError
from chatsite.models import ModelState
from chatsite.services.models import catalog, status
from chatsite.services.models.catalog import CatalogConfig
from chatsite.services.models.offers import list_offers
from chatsite.services.models.recommendation import Machine, recommend
from chatsite.services.models.status import WeightsStatus

AUTO = CatalogConfig()
READY = WeightsStatus(ModelState.READY, revision="1")
GIGABYTE = 10**9
# A machine on which everything fits.
LARGE = Machine(32 * GIGABYTE, 32 * GIGABYTE, 8.0, 500 * GIGABYTE)


@pytest.fixture(autouse=True)
def _app_context(any_app: Flask) -> Iterator[None]:
    """An app context that lasts for the test."""
    with any_app.app_context():
        yield
        db.session.remove()


def machine(gigabytes: float, free: float | None = None, cores: float = 4.0, disk: float = 100.0) -> Machine:
    """A machine with so much memory, of which models may take a half."""
    free_bytes = int((gigabytes * 0.8 if free is None else free) * GIGABYTE)
    return Machine(int(gigabytes * GIGABYTE) // 2, free_bytes, cores, int(disk * GIGABYTE))


def best_on(machine: Machine, language: str = "") -> str:
    """The name of the model that is recommended on a machine, or an empty text."""
    found = recommend(machine, catalog.list_cards(AUTO), language)
    return found.card.name if found else ""


def offered(machine: Machine, config: CatalogConfig = AUTO) -> list[str]:
    """The names of the models that the owner is asked about."""
    cards = catalog.list_cards(config)
    return [card.name for card in list_offers(config, cards, machine, best=recommend(machine, cards))]


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        (machine(1), "smollm2-135m-instruct"),
        (machine(2), "smollm2-360m-instruct"),
        (machine(4), "qwen2.5-0.5b-instruct"),
        (machine(8), "qwen3-0.6b"),
        (machine(32), "qwen3-0.6b"),
        (machine(8, free=1.0), "smollm2-360m-instruct"),
        (machine(8, free=0.2), ""),
        (machine(8, cores=1.0), "qwen2.5-0.5b-instruct"),
        (machine(8, cores=0.1), ""),
        (machine(8, disk=1.2), "qwen2.5-0.5b-instruct"),
        (machine(8, disk=0.01), ""),
    ],
)
def test_best_model_follows_from_memory_processors_and_disk(machine: Machine, name: str) -> None:
    assert best_on(machine) == name


def test_recommended_model_speaks_the_language_that_is_asked_for() -> None:
    assert best_on(machine(4), "es") == "qwen2.5-0.5b-instruct"
    assert best_on(machine(2), "es") == ""
    assert best_on(LARGE, "es") == "qwen3-0.6b"


def test_memory_of_loaded_models_counts_as_free() -> None:
    assert best_on(machine(8, free=0.5)) == "smollm2-135m-instruct"
    status.finish(PREFERRED_MODEL, READY)
    status.save_memory_status([ModelStatus(PREFERRED_MODEL, is_loaded=True, memory_bytes=2 * GIGABYTE)])
    assert best_on(machine(8, free=0.5)) == "qwen3-0.6b"


def test_speed_is_measured_or_estimated_from_a_measured_model() -> None:
    found = recommend(LARGE, catalog.list_cards(AUTO))
    assert found
    assert found.tokens_per_second is None
    status.finish(EMBEDDED_MODEL, READY)
    status.save_memory_status([ModelStatus(EMBEDDED_MODEL, is_loaded=True, tokens_per_second=100.0)])
    found = recommend(LARGE, catalog.list_cards(AUTO))
    assert found
    # Four bytes for each of 4.4 times as many weights are read instead of one.
    assert (found.card.name, found.is_measured) == ("qwen3-0.6b", False)
    assert found.tokens_per_second == pytest.approx(5.6, abs=0.1)
    # A machine that is too slow for it gets the next one.
    status.save_memory_status([ModelStatus(EMBEDDED_MODEL, is_loaded=True, tokens_per_second=30.0)])
    assert best_on(LARGE) == "qwen2.5-0.5b-instruct"
    status.finish("qwen3-0.6b", READY)
    status.save_memory_status([ModelStatus("qwen3-0.6b", is_loaded=True, tokens_per_second=9.0)])
    found = recommend(LARGE, catalog.list_cards(AUTO))
    assert found
    assert (found.card.name, found.tokens_per_second, found.is_measured) == ("qwen3-0.6b", 9.0, True)


def test_each_offer_is_made_until_the_owner_answers() -> None:
    assert offered(machine(8)) == ["qwen3-0.6b", PREFERRED_MODEL]
    assert offered(machine(1)) == []
    assert offered(machine(8), CatalogConfig("gpt2")) == []
    catalog.decline(["qwen3-0.6b"])
    assert offered(machine(8)) == [PREFERRED_MODEL]
    catalog.request_download(AUTO, PREFERRED_MODEL, answers_new_chats=True)
    assert offered(machine(8)) == [PREFERRED_MODEL]
    assert catalog.default_name(AUTO) == EMBEDDED_MODEL
    status.finish(PREFERRED_MODEL, READY)
    assert (offered(machine(8)), catalog.default_name(AUTO)) == ([], PREFERRED_MODEL)


def test_downloaded_model_answers_new_chats_only_if_that_was_asked_for() -> None:
    for name in (PREFERRED_MODEL, "qwen3-0.6b"):
        catalog.request_download(AUTO, name)
        status.finish(name, READY)
        assert catalog.default_name(AUTO) == EMBEDDED_MODEL
    catalog.choose_default(AUTO, "qwen3-0.6b")
    assert catalog.default_name(AUTO) == "qwen3-0.6b"
    catalog.choose_default(AUTO, PREFERRED_MODEL)
    assert catalog.default_name(AUTO) == PREFERRED_MODEL
    # What is gone from the disk cannot answer.
    status.finish(PREFERRED_MODEL, WeightsStatus(ModelState.ABSENT))
    assert catalog.default_name(AUTO) == EMBEDDED_MODEL


def test_default_cannot_be_chosen_where_settings_name_it_or_before_it_is_here() -> None:
    with pytest.raises(ModelNotDownloadedError):
        catalog.choose_default(AUTO, "qwen3-0.6b")
    status.finish("qwen3-0.6b", READY)
    with pytest.raises(DefaultModelConfiguredError):
        catalog.choose_default(CatalogConfig("gpt2"), "qwen3-0.6b")
    # A chosen model that left the file of custom models is no default.
    status.finish("left", READY)
    db.session.execute(db.text("UPDATE model SET answers_new_chats = true WHERE name = 'left'"))
    assert catalog.default_name(AUTO) == EMBEDDED_MODEL


def test_limits_of_containers_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "MEMINFO": "MemTotal: 64000000 kB\nMemAvailable: 50000000 kB\n",
        "CGROUP_LIMIT": "2000000000\n",
        "CGROUP_USAGE": "900000000\n",
        "CGROUP_DETAILS": "anon 1\ninactive_file 400000000\n",
        "CGROUP_PROCESSORS": "50000 100000\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(memory, name, tmp_path / name)
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 15_625_000}.__getitem__)
    assert (memory.total_bytes(), memory.available_bytes()) == (2_000_000_000, 1_500_000_000)
    assert memory.processor_count() == 0.5
    (tmp_path / "CGROUP_LIMIT").write_text("max\n")
    (tmp_path / "CGROUP_PROCESSORS").write_text("max 100000\n")
    assert (memory.total_bytes(), memory.available_bytes()) == (64_000_000_000, 51_200_000_000)
    assert memory.processor_count() >= 1
    for name in files:
        (tmp_path / name).unlink()
    assert memory.available_bytes() == memory.total_bytes() == 64_000_000_000
