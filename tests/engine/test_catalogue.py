"""The catalogue: names and honest facts, without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chatsite.engine import catalogue, own
from chatsite.engine.catalogue import AUTO, EMBEDDED, ENTRIES, PREFERRED, Folder, Hub, entries, resolve
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
    assert entry.terms.endswith(".")
    assert entry.training_data.endswith(".")
    assert all(len(code) == 2 for code in entry.languages)
    assert entry.languages
    assert entry.context > 0
    assert entry.family in {*own.FAMILIES, "scripted"}
    assert all(score.what and score.value and score.source for score in entry.scores)


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.source], ids=lambda entry: entry.name)
def test_sizes_are_told_and_of_one_order(entry: catalogue.Entry) -> None:
    assert entry.can_be_fetched
    assert 0.6 < entry.download / entry.parameters < 5
    assert entry.parameters < entry.memory_int8 <= entry.memory_fp32


def test_auto_and_the_preferred_model_mean_something() -> None:
    assert resolve(AUTO) is resolve(EMBEDDED)
    assert resolve(PREFERRED).family == "blenderbot"
    assert entries() == ENTRIES


def toml(tmp_path: Path, text: str) -> Path:
    """A file of own models."""
    file = tmp_path / "models.toml"
    file.write_text(text, "utf-8")
    return file


def test_own_models_stand_behind_the_others(tmp_path: Path) -> None:
    file = toml(
        tmp_path,
        """
        [garden]
        hub = "somebody/garden-model"
        revision = "v2"
        title = "Garden"
        purpose = "Answers questions about our garden."
        licence = "MIT"
        terms = "Free."
        parameters = 1000
        context = 2048
        download = 4000
        languages = ["en", "es"]
        family = "chat"
        training_data = "Notes."
        caution = "It knows roses only."

        [plain]
        folder = "weights/plain"
        """,
    )
    assert [entry.name for entry in entries(file)[len(ENTRIES) :]] == ["garden", "plain"]
    garden, plain = resolve("garden", file), resolve("plain", file)
    assert garden.source == Hub("somebody/garden-model", "v2")
    assert (garden.title, garden.family, garden.languages, garden.context) == ("Garden", "chat", ("en", "es"), 2048)
    assert plain.source == Folder((tmp_path / "weights" / "plain").resolve())
    assert (plain.title, plain.parameters, plain.licence) == ("plain", 0, "unknown")
    assert not plain.can_be_fetched


def test_without_the_file_there_are_no_own_models(tmp_path: Path) -> None:
    assert entries(tmp_path / "nothing.toml") == ENTRIES


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[broken", "it cannot be read"),
        ("title = 'x'", "'title' stands outside of the table of a model"),
        ("[gpt2]\nfolder = 'x'", r"\[gpt2\] is taken"),
        ("[auto]\nfolder = 'x'", r"\[auto\] is taken"),
        ("['Big Name']\nfolder = 'x'", "lower-case letters, digits, dots and hyphens"),
        ("['../up']\nfolder = 'x'", "is taken, or no name"),
        ("[x]\ntitle = 'x'", r"\[x\] needs either a folder or a hub repository"),
        ("[x]\nfolder = 'x'\nhub = 'a/b'", "needs either a folder or a hub"),
        ("[x]\nhub = 'no-repository'", 'must be a repository such as "owner/name"'),
        ("[x]\nfolder = 'x'\nsize = 3", "has the key 'size'; a model has caution, context"),
        ("[x]\nfolder = 3", "folder of .x. must be a text"),
        ("[x]\nfolder = 'x'\ncontext = -1", "context of .x. must be a whole number"),
        ("[x]\nfolder = 'x'\ncontext = true", "context of .x. must be a whole number"),
        ("[x]\nfolder = 'x'\nlanguages = 'en'", "languages of .x. must be a list of codes"),
        ("[x]\nfolder = 'x'\nfamily = 'poet'", "family of .x. must be one of chat, blenderbot"),
    ],
)
def test_a_file_that_means_nothing_is_refused_with_a_sentence(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ModelUnavailableError, match=f"models.toml is not what it should be: .*{reason}"):
        entries(toml(tmp_path, text))


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
    assert isinstance(build(resolve("scripted"), tmp_path, tokens_per_second=5.0), ScriptedEngine)
    local = build(resolve("smollm2-135m-instruct"), tmp_path)
    assert isinstance(local, LocalEngine)
    assert (local.model, local.capacity) == ("smollm2-135m-instruct", 1)


@pytest.mark.parametrize("module", ["chatsite.engine.catalogue", "chatsite.engine.local", "chatsite.engine.scripted"])
def test_the_module_comes_without_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit(bool({{'torch', 'transformers', 'tokenizers'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
