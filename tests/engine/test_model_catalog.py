"""The catalog: names and honest facts, without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from chatsite.engine.catalog import catalog, custom_models
from chatsite.engine.catalog.catalog import (
    AUTO_MODEL,
    BUILTIN_ENTRIES,
    EMBEDDED_MODEL,
    PREFERRED_MODEL,
    FolderSource,
    HubSource,
    list_entries,
    resolve_entry,
)
from chatsite.engine.local import LocalEngine, create_engine
from chatsite.engine.scripted import ScriptedEngine
from chatsite.errors import ModelLoadError


def test_names_are_unique_and_resolve_to_themselves() -> None:
    assert len({entry.name for entry in BUILTIN_ENTRIES}) == len(BUILTIN_ENTRIES)
    assert all(resolve_entry(entry.name) is entry for entry in BUILTIN_ENTRIES)


@pytest.mark.parametrize("entry", BUILTIN_ENTRIES, ids=lambda entry: entry.name)
def test_every_entry_is_complete(entry: catalog.CatalogEntry) -> None:
    assert entry.purpose.endswith(".")
    assert entry.limitations.endswith(".")
    assert entry.license_name
    assert entry.license_notes.endswith(".")
    assert entry.training_data.endswith(".")
    assert all(len(code) == 2 for code in entry.languages)
    assert entry.languages
    assert entry.context_tokens > 0
    assert entry.family in {*custom_models.FAMILIES, "scripted"}
    assert all(score.metric and score.value and score.source for score in entry.scores)


@pytest.mark.parametrize("entry", [entry for entry in BUILTIN_ENTRIES if entry.source], ids=lambda entry: entry.name)
def test_entry_sizes_are_plausible(entry: catalog.CatalogEntry) -> None:
    assert entry.is_downloadable
    assert 0.6 < entry.download_bytes / entry.parameter_count < 5
    assert entry.parameter_count < entry.memory_bytes_int8 <= entry.memory_bytes_fp32


def test_auto_and_preferred_model_resolve() -> None:
    assert resolve_entry(AUTO_MODEL) is resolve_entry(EMBEDDED_MODEL)
    assert resolve_entry(PREFERRED_MODEL).family == "blenderbot"
    assert list_entries() == BUILTIN_ENTRIES


def toml(tmp_path: Path, text: str) -> Path:
    """A file of own models."""
    file = tmp_path / "models.toml"
    file.write_text(text, "utf-8")
    return file


def test_custom_models_follow_builtin_models(tmp_path: Path) -> None:
    file = toml(
        tmp_path,
        """
        [garden]
        hub = "somebody/garden-model"
        revision = "v2"
        title = "Garden"
        purpose = "Answers questions about our garden."
        license = "MIT"
        terms = "Free."
        parameters = 1000
        context = 2048
        download = 4000
        languages = ["en", "es"]
        family = "chat"
        training_data = "Notes."
        limitations = "It knows roses only."

        [plain]
        folder = "weights/plain"
        """,
    )
    assert [entry.name for entry in list_entries(file)[len(BUILTIN_ENTRIES) :]] == ["garden", "plain"]
    garden, plain = resolve_entry("garden", file), resolve_entry("plain", file)
    assert garden.source == HubSource("somebody/garden-model", "v2")
    assert (garden.title, garden.family, garden.languages, garden.context_tokens) == (
        "Garden",
        "chat",
        ("en", "es"),
        2048,
    )
    assert plain.source == FolderSource((tmp_path / "weights" / "plain").resolve())
    assert (plain.title, plain.parameter_count, plain.license_name) == ("plain", 0, "unknown")
    assert not plain.is_downloadable


def test_former_keys_are_read_and_named(tmp_path: Path) -> None:
    former = "[x]\nfolder = 'x'\nlicence = 'MIT'\ncaution = 'Roses only.'"
    file = toml(tmp_path, f"{former}\n[y]\nfolder = 'y'\nlicense = 'BSD'")
    with structlog.testing.capture_logs() as logged:
        old, new = list_entries(file)[len(BUILTIN_ENTRIES) :]
    assert (old.license_name, old.limitations, new.license_name) == ("MIT", "Roses only.", "BSD")
    assert [(each["model"], each["key"], each["write"]) for each in logged] == [
        ("x", "licence", "license"),
        ("x", "caution", "limitations"),
    ]


def test_missing_models_file_means_no_custom_models(tmp_path: Path) -> None:
    assert list_entries(tmp_path / "nothing.toml") == BUILTIN_ENTRIES


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[broken", "it cannot be read"),
        ("title = 'x'", "'title' is outside of a model's table"),
        ("[gpt2]\nfolder = 'x'", r"\[gpt2\] is already taken"),
        ("[auto]\nfolder = 'x'", r"\[auto\] is already taken"),
        ("['Big Name']\nfolder = 'x'", "lower-case letters, digits, dots and hyphens"),
        ("['../up']\nfolder = 'x'", "not a valid name"),
        ("[x]\ntitle = 'x'", r"\[x\] needs either a folder or a Hub repository"),
        ("[x]\nfolder = 'x'\nhub = 'a/b'", "needs either a folder or a Hub"),
        ("[x]\nhub = 'no-repository'", 'must be a repository such as "owner/name"'),
        ("[x]\nfolder = 'x'\nsize = 3", "has the unknown key 'size'; the keys are context, download"),
        ("[x]\nfolder = 3", "folder of .x. must be a text"),
        ("[x]\nfolder = 'x'\ncontext = -1", "context of .x. must be a whole number"),
        ("[x]\nfolder = 'x'\ncontext = true", "context of .x. must be a whole number"),
        ("[x]\nfolder = 'x'\nlanguages = 'en'", "languages of .x. must be a list of codes"),
        ("[x]\nfolder = 'x'\nfamily = 'poet'", "family of .x. must be one of chat, blenderbot"),
    ],
)
def test_invalid_models_file_is_rejected_with_message(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ModelLoadError, match=f"models.toml has a mistake: .*{reason}"):
        list_entries(toml(tmp_path, text))


def test_hub_repository_resolves_to_catalog_entry() -> None:
    assert resolve_entry("facebook/blenderbot-400M-distill").name == "blenderbot-400m-distill"


def test_other_repositories_and_folders_disallow_pickle(tmp_path: Path) -> None:
    assert resolve_entry("somebody/some-model").source == HubSource("somebody/some-model", has_pickled_weights=False)
    assert resolve_entry(str(tmp_path)).source == FolderSource(tmp_path)
    assert resolve_entry(str(tmp_path)).name == tmp_path.name


@pytest.mark.parametrize("name", ["", "gpt-9", "/no/such/folder", "../up", "a/b/c"])
def test_unknown_model_name_is_rejected(name: str) -> None:
    with pytest.raises(ModelLoadError, match="neither a folder nor one of smollm2"):
        resolve_entry(name)


def test_build_returns_engine_for_entry(tmp_path: Path) -> None:
    assert isinstance(create_engine(resolve_entry("scripted"), tmp_path, tokens_per_second=5.0), ScriptedEngine)
    local = create_engine(resolve_entry("smollm2-135m-instruct"), tmp_path)
    assert isinstance(local, LocalEngine)
    assert (local.model, local.capacity) == ("smollm2-135m-instruct", 1)


@pytest.mark.parametrize(
    "module", ["chatsite.engine.catalog.catalog", "chatsite.engine.local", "chatsite.engine.scripted"]
)
def test_module_does_not_import_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit(bool({{'torch', 'transformers', 'tokenizers'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
