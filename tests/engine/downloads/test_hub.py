"""Models from the Hugging Face Hub: its cache first, then a server that speaks its protocol, and refusals in time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file

from chatsite.engine.catalog.catalog import HubSource, resolve_entry
from chatsite.engine.downloads import hub as hub_module
from chatsite.engine.downloads import weights
from chatsite.engine.downloads.weights import ensure_installed, find_local, has_files, remove_files
from chatsite.engine.inference.loading import checkpoint
from chatsite.engine.local import LocalEngine
from chatsite.engine.types import Progress, ProgressCallback
from chatsite.errors import ModelLoadError
from tests.support import trained_models
from tests.support.hub_server import COMMIT_HASH, FakeHub, running_hub
from tests.support.served_site import wait_until
from tests.support.trained_models import verify

BLENDERBOT = "facebook/blenderbot-400M-distill"


@pytest.fixture(autouse=True)
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a Hub that no one answers for."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def pickled_repository(blenderbot_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny BlenderBot as its repository holds the real one: a pickle, vocabulary, merges, and old settings."""
    folder = tmp_path_factory.mktemp("repositories") / "pickled"
    folder.mkdir()
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(blenderbot_folder / name, folder)
    config = json.loads((blenderbot_folder / "config.json").read_text("utf-8"))
    old = {"num_beams": 10, "length_penalty": 0.65, "extra_layer_norm": False, "_name_or_path": "x", "max_length": 60}
    (folder / "config.json").write_text(json.dumps({**config, **old}), "utf-8")
    settings = {"num_beams": 10, "min_length": 20, "eos_token_id": 2, "forced_eos_token_id": 2, "max_length": 60}
    (folder / "generation_config.json").write_text(json.dumps(settings), "utf-8")
    tensors = load_file(blenderbot_folder / "model.safetensors")
    torch.save({name: tensor.half() for name, tensor in tensors.items()}, folder / "pytorch_model.bin")
    return folder


def put(cache: Path, repo: str, folder: Path) -> None:
    """Lay a folder into the cache, as the Hub's client does."""
    home = cache / f"models--{repo.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(COMMIT_HASH, "utf-8")
    shutil.copytree(folder, home / "snapshots" / COMMIT_HASH)


def first_words(model: str, models: Path) -> str:
    """What an engine answers to a question whose answer was learnt."""
    engine = LocalEngine(model, models, thread_count=1)
    engine.load(lambda progress: None)
    engine.submit(trained_models.make_request("Tell me about foxes.", temperature=0.0, max_new_tokens=20))
    text = trained_models.text_of(trained_models.collect_events(engine, 1)[1])
    engine.close()
    return text


def test_cached_pickle_is_converted_once(hub_cache: Path, pickled_repository: Path, tmp_path: Path) -> None:
    put(hub_cache, BLENDERBOT, pickled_repository)
    models, stages = tmp_path / "models", list[Progress]()
    found = ensure_installed(resolve_entry("blenderbot-400m-distill"), models, stages.append)
    assert (found.folder, found.revision) == (models / "blenderbot-400m-distill", COMMIT_HASH)
    assert stages == [Progress("converting")]
    assert {tensor.dtype for tensor in load_file(found.folder / "model.safetensors").values()} == {torch.float16}
    shutil.rmtree(hub_cache)
    assert ensure_installed(resolve_entry("blenderbot-400m-distill"), models, stages.append) == found
    assert len(stages) == 1
    assert first_words("blenderbot-400m-distill", models).startswith("A fox is a small wild animal")


def test_cached_safetensors_are_used_in_place(hub_cache: Path, chat_folder: Path, tmp_path: Path) -> None:
    put(hub_cache, "somebody/tiny", chat_folder)
    found = ensure_installed(resolve_entry("somebody/tiny"), tmp_path / "models", lambda progress: None)
    assert hub_cache in found.folder.parents
    assert found.revision == COMMIT_HASH
    assert first_words("somebody/tiny", tmp_path / "models").startswith("A fox is a small wild animal")
    assert not (tmp_path / "models").exists()


def test_pickle_of_unknown_publisher_is_rejected(hub_cache: Path, pickled_repository: Path, tmp_path: Path) -> None:
    put(hub_cache, "somebody/pickled", pickled_repository)
    with pytest.raises(ModelLoadError):
        ensure_installed(resolve_entry("somebody/pickled"), tmp_path / "models", lambda progress: None)


def test_cached_hostile_config_is_rejected(hub_cache: Path, chat_folder: Path, tmp_path: Path) -> None:
    hostile = Path(shutil.copytree(chat_folder, tmp_path / "hostile"))
    config = json.loads((hostile / "config.json").read_text("utf-8"))
    (hostile / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoConfig": "evil.C"}}), "utf-8")
    put(hub_cache, "somebody/hostile", hostile)
    with pytest.raises(ModelLoadError, match="could run code"):
        ensure_installed(resolve_entry("somebody/hostile"), tmp_path / "models", lambda progress: None)


def test_unreachable_hub_fails_quickly_with_message(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(ModelLoadError, match="is not in the Hugging Face cache and cannot be downloaded"):
        ensure_installed(resolve_entry("blenderbot-3b"), tmp_path / "models", lambda progress: None)
    assert time.monotonic() - start < 10


def test_offline_mode_sends_no_request(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hub: FakeHub) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelLoadError, match="HF_HUB_OFFLINE does not allow"):
        ensure_installed(resolve_entry("somebody/tiny"), tmp_path / "models", lambda progress: None)
    assert hub.requests == []


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A running Hub without repositories."""
    with running_hub() as fake:
        monkeypatch.setattr(constants, "ENDPOINT", fake.url)
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.partition("/{repo_id}")
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", fake.url + "".join(template[1:]))
        yield fake


@pytest.fixture
def repository(hub: FakeHub, chat_folder: Path, tmp_path: Path) -> Path:
    """The tiny chat model as the repository somebody/tiny."""
    hub.repositories["somebody/tiny"] = Path(shutil.copytree(chat_folder, tmp_path / "repository"))
    return hub.repositories["somebody/tiny"]


def pull(tmp_path: Path, report: ProgressCallback = lambda progress: None) -> weights.Weights:
    """Pull somebody/tiny."""
    return ensure_installed(resolve_entry("somebody/tiny"), tmp_path / "models", report)


def left_in(models: Path) -> set[str]:
    """What lies in a folder of models, without the lock files."""
    return {path.name for path in models.iterdir() if not path.name.endswith(".lock")}


def test_download_gets_only_needed_files_and_reports_progress(
    hub: FakeHub, repository: Path, chat_folder: Path, tmp_path: Path
) -> None:
    for name in ("pytorch_model.bin", "README.md", "evil.py", "onnx/model.onnx", ".hidden.json"):
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text("not needed", "utf-8")
    stages: list[Progress] = []
    found = pull(tmp_path, stages.append)
    names = {path.name for path in chat_folder.iterdir()}
    assert {path.name for path in found.folder.iterdir()} == names | {weights.MANIFEST}
    assert (found.folder, found.revision) == (tmp_path / "models" / "somebody" / "tiny", COMMIT_HASH)
    done = [progress.done_bytes for progress in stages if progress.done_bytes is not None]
    assert done == sorted(done)
    assert len(done) > 3
    assert done[-1] == stages[-1].total_bytes == sum(path.stat().st_size for path in chat_folder.iterdir())
    assert verify(found.folder) == []
    assert left_in(tmp_path / "models" / "somebody") == {"tiny"}
    asked = len(hub.requests)
    assert pull(tmp_path) == found == find_local(resolve_entry("somebody/tiny"), tmp_path / "models")
    assert len(hub.requests) == asked, "the second time nothing is asked"
    assert first_words("somebody/tiny", tmp_path / "models").startswith("A fox is a small wild animal")


def test_catalog_pickle_is_downloaded_and_converted(hub: FakeHub, pickled_repository: Path, tmp_path: Path) -> None:
    hub.repositories[BLENDERBOT] = pickled_repository
    assert find_local(resolve_entry(BLENDERBOT), tmp_path / "models") is None
    found = ensure_installed(resolve_entry(BLENDERBOT), tmp_path / "models", lambda progress: None)
    assert checkpoint.detect_family(found.folder) == "blenderbot"
    assert not (found.folder / "pytorch_model.bin").exists()
    assert left_in(tmp_path / "models") == {"blenderbot-400m-distill"}
    assert first_words(BLENDERBOT, tmp_path / "models").startswith("A fox is a small wild animal")


def test_repository_without_readable_weights_is_rejected(
    hub: FakeHub, pickled_repository: Path, tmp_path: Path
) -> None:
    hub.repositories["somebody/pickled"] = pickled_repository
    with pytest.raises(ModelLoadError, match="no model files in a supported format"):
        ensure_installed(resolve_entry("somebody/pickled"), tmp_path / "models", lambda progress: None)
    assert not any("pytorch_model" in asked for asked in hub.requests)


def test_missing_repository_fails_with_message(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="cannot be downloaded: "):
        ensure_installed(resolve_entry("somebody/nothing"), tmp_path / "models", lambda progress: None)


def test_broken_connection_resumes_at_last_byte(
    hub: FakeHub, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    size = (repository / "model.safetensors").stat().st_size
    hub.break_after_bytes = size // 4
    found = pull(tmp_path)
    assert verify(found.folder) == []
    begins = [int(asked.rpartition(" from ")[2]) for asked in hub.requests if " from " in asked]
    assert begins == sorted(begins)
    assert len(begins) >= 3
    assert hub.bytes_sent == size, "no byte was sent twice"


def test_server_without_ranges_restarts_download(hub: FakeHub, repository: Path, tmp_path: Path) -> None:
    arriving = tmp_path / "models" / "somebody" / ".tiny.arriving"
    arriving.mkdir(parents=True)
    weights_file = next(
        file for file in hub_module.make_plan(HubSource("somebody/tiny")).files if file.name.endswith("tensors")
    )
    (arriving / f"model.safetensors.{weights_file.digest[:12]}.part").write_bytes(b"x" * 1000)
    hub.supports_ranges = False
    assert verify(pull(tmp_path).folder) == []


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_tampered_file_is_rejected_and_downloaded_again(
    hub: FakeHub, repository: Path, tmp_path: Path, name: str
) -> None:
    hub.tampered_names.add(name)
    with pytest.raises(ModelLoadError, match=f"{name} of somebody/tiny is not the published file"):
        pull(tmp_path)
    assert find_local(resolve_entry("somebody/tiny"), tmp_path / "models") is None
    hub.tampered_names.clear()
    assert verify(pull(tmp_path).folder) == []


def test_invalid_partial_file_is_discarded(hub: FakeHub, repository: Path, tmp_path: Path) -> None:
    arriving = tmp_path / "models" / "somebody" / ".tiny.arriving"
    arriving.mkdir(parents=True)
    published = next(
        file for file in hub_module.make_plan(HubSource("somebody/tiny")).files if file.name.endswith("tensors")
    )
    (arriving / f"model.safetensors.{published.digest[:12]}.part").write_bytes(b"x" * (published.size_bytes + 5))
    with pytest.raises(ModelLoadError, match="digest differs"):
        pull(tmp_path)
    assert verify(pull(tmp_path).folder) == []


def test_full_disk_is_reported_before_download(
    hub: FakeHub, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "RESERVED_DISK_BYTES", shutil.disk_usage(tmp_path).free + 10**12)
    with pytest.raises(ModelLoadError, match=r"not enough disk space for .*: 1 MB needed, 0 MB free\.$"):
        pull(tmp_path)
    assert hub.bytes_sent == 0


def test_killed_download_resumes(hub: FakeHub, repository: Path, tmp_path: Path) -> None:
    hub.bytes_per_second = 300_000
    size = (repository / "model.safetensors").stat().st_size
    command = [sys.executable, "-m", "chatsite.cli", "models", "pull", "somebody/tiny", "--json"]
    home = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "CHATSITE_INSTANCE": str(tmp_path)}
    part = tmp_path / "models" / "somebody" / ".tiny.arriving"

    def arrived() -> int:
        return sum(path.stat().st_size for path in part.glob("model.safetensors.*.part"))

    child = subprocess.Popen(command, env=os.environ | home, stdout=subprocess.PIPE)
    wait_until(lambda: arrived() > size // 3, what="A third of the file")
    child.kill()
    child.communicate()
    before = arrived()
    assert left_in(part.parent) == {".tiny.arriving"} | {path.name for path in part.parent.glob(".tiny~*")}
    hub.bytes_per_second = 0
    done = subprocess.run(command, env=os.environ | home, capture_output=True, text=True, timeout=60, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1] == {"revision": COMMIT_HASH}
    assert min(line["done_bytes"] for line in lines if line.get("done_bytes")) > 0
    assert f"GET somebody/tiny/resolve/{COMMIT_HASH}/model.safetensors from {before}" in hub.requests
    assert left_in(part.parent) == {"tiny"}
    assert verify(part.parent / "tiny") == []


def test_remove_deletes_weights_and_hub_cache(
    hub: FakeHub, repository: Path, hub_cache: Path, chat_folder: Path, tmp_path: Path
) -> None:
    entry, models = resolve_entry("somebody/tiny"), tmp_path / "models"
    assert not has_files(entry, models)
    pull(tmp_path)
    put(hub_cache, "somebody/tiny", chat_folder)
    put(hub_cache, "somebody/else", chat_folder)
    assert has_files(entry, models)
    remove_files(entry, models)
    assert not has_files(entry, models)
    assert find_local(entry, models) is None
    assert left_in(models / "somebody") == set()
    assert [path.name for path in hub_cache.iterdir()] == ["models--somebody--else"]


def test_running_download_cannot_be_removed(hub: FakeHub, repository: Path, tmp_path: Path) -> None:
    entry, models = resolve_entry("somebody/tiny"), tmp_path / "models"

    def refused(progress: Progress) -> None:
        if progress.done_bytes:
            with pytest.raises(ModelLoadError, match="is already being downloaded"):
                remove_files(entry, models)

    ensure_installed(entry, models, refused)
    assert find_local(entry, models)


def test_custom_folder_is_never_removed(chat_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="not managed by the site"):
        remove_files(resolve_entry(str(chat_folder)), tmp_path)
    assert chat_folder.exists()
