"""The catalogue: names and honest facts, without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chatsite.engine import catalogue
from chatsite.engine.catalogue import ENTRIES, Folder, Hub, resolve
from chatsite.engine.local import LocalEngine, build
from chatsite.engine.scripted import ScriptedEngine
from chatsite.errors import ModelUnavailableError


def test_names_are_unique_and_resolve_to_themselves() -> None:
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES)
    assert all(resolve(entry.name) is entry for entry in ENTRIES)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_card_has_all_its_facts(entry: catalogue.Entry) -> None:
    assert entry.purpose.endswith(".")
    assert entry.caution.endswith(".")
    assert entry.licence
    assert entry.training_data
    assert entry.languages
    assert entry.context > 0


def test_a_hub_repository_of_the_catalogue_is_its_entry() -> None:
    assert resolve("facebook/blenderbot-400M-distill").name == "blenderbot-400m-distill"


def test_other_hub_repositories_and_folders_are_entries_without_a_pickle(tmp_path: Path) -> None:
    assert resolve("somebody/some-model").source == Hub("somebody/some-model", pickled=False)
    assert resolve(str(tmp_path)).source == Folder(tmp_path)
    assert resolve(str(tmp_path)).name == tmp_path.name


@pytest.mark.parametrize("name", ["", "gpt-9", "/no/such/folder", "../up", "a/b/c"])
def test_a_name_that_means_nothing_is_refused(name: str) -> None:
    with pytest.raises(ModelUnavailableError, match="neither a folder nor one of smollm2"):
        resolve(name)


def test_build_makes_the_engine_that_the_name_asks_for(tmp_path: Path) -> None:
    assert isinstance(build("scripted", tmp_path, tokens_per_second=5.0), ScriptedEngine)
    local = build("smollm2-135m-instruct", tmp_path)
    assert isinstance(local, LocalEngine)
    assert (local.model, local.capacity) == ("smollm2-135m-instruct", 1)


@pytest.mark.parametrize("module", ["chatsite.engine.catalogue", "chatsite.engine.local", "chatsite.engine.scripted"])
def test_the_module_comes_without_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit(bool({{'torch', 'transformers', 'tokenizers'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
