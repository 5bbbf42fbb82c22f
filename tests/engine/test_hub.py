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

from chatsite.engine import Progress, Report, weights
from chatsite.engine import hub as hub_module
from chatsite.engine.catalogue import Hub, resolve
from chatsite.engine.decoding import checkpoint
from chatsite.engine.local import LocalEngine
from chatsite.engine.weights import ensure, has_anything, present, remove, verify
from chatsite.errors import ModelUnavailableError
from tests.engine import support
from tests.hub import COMMIT, FakeHub, running_hub
from tests.site import until

BLENDERBOT = "facebook/blenderbot-400M-distill"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a Hub that no one answers for."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def pickled(blenderbot_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
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
    (home / "refs" / "main").write_text(COMMIT, "utf-8")
    shutil.copytree(folder, home / "snapshots" / COMMIT)


def first_words(model: str, models: Path) -> str:
    """What an engine answers to a question whose answer was learnt."""
    engine = LocalEngine(model, models, threads=1)
    engine.load(lambda progress: None)
    engine.submit(support.ask("Tell me about foxes.", temperature=0.0, max_new_tokens=20))
    text = support.text_of(support.gather(engine, 1)[1])
    engine.close()
    return text


def test_a_pickle_in_the_cache_is_converted_once_and_answers(cache: Path, pickled: Path, tmp_path: Path) -> None:
    put(cache, BLENDERBOT, pickled)
    models, stages = tmp_path / "models", list[Progress]()
    found = ensure(resolve("blenderbot-400m-distill"), models, stages.append)
    assert (found.folder, found.revision) == (models / "blenderbot-400m-distill", COMMIT)
    assert stages == [Progress("converting")]
    assert {tensor.dtype for tensor in load_file(found.folder / "model.safetensors").values()} == {torch.float16}
    shutil.rmtree(cache)
    assert ensure(resolve("blenderbot-400m-distill"), models, stages.append) == found
    assert len(stages) == 1
    assert first_words("blenderbot-400m-distill", models).startswith("A fox is a small wild animal")


def test_safetensors_in_the_cache_are_used_where_they_are(cache: Path, chat_folder: Path, tmp_path: Path) -> None:
    put(cache, "somebody/tiny", chat_folder)
    found = ensure(resolve("somebody/tiny"), tmp_path / "models", lambda progress: None)
    assert cache in found.folder.parents
    assert found.revision == COMMIT
    assert first_words("somebody/tiny", tmp_path / "models").startswith("A fox is a small wild animal")
    assert not (tmp_path / "models").exists()


def test_a_pickle_of_somebody_else_is_refused(cache: Path, pickled: Path, tmp_path: Path) -> None:
    put(cache, "somebody/pickled", pickled)
    with pytest.raises(ModelUnavailableError):
        ensure(resolve("somebody/pickled"), tmp_path / "models", lambda progress: None)


def test_a_hostile_configuration_in_the_cache_is_refused(cache: Path, chat_folder: Path, tmp_path: Path) -> None:
    hostile = Path(shutil.copytree(chat_folder, tmp_path / "hostile"))
    config = json.loads((hostile / "config.json").read_text("utf-8"))
    (hostile / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoConfig": "evil.C"}}), "utf-8")
    put(cache, "somebody/hostile", hostile)
    with pytest.raises(ModelUnavailableError, match="may run code"):
        ensure(resolve("somebody/hostile"), tmp_path / "models", lambda progress: None)


def test_a_hub_out_of_reach_is_a_clear_refusal_in_time(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(ModelUnavailableError, match="is not in the Hugging Face cache and cannot be fetched"):
        ensure(resolve("blenderbot-3b"), tmp_path / "models", lambda progress: None)
    assert time.monotonic() - start < 10


def test_offline_nothing_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hub: FakeHub) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelUnavailableError, match="HF_HUB_OFFLINE forbids"):
        ensure(resolve("somebody/tiny"), tmp_path / "models", lambda progress: None)
    assert hub.asked == []


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


def pull(tmp_path: Path, report: Report = lambda progress: None) -> weights.Weights:
    """Pull somebody/tiny."""
    return ensure(resolve("somebody/tiny"), tmp_path / "models", report)


def left_in(models: Path) -> set[str]:
    """What lies in a folder of models, without the lock files."""
    return {path.name for path in models.iterdir() if not path.name.endswith(".lock")}


def test_only_what_is_needed_is_fetched_and_progress_is_reported(
    hub: FakeHub, repository: Path, chat_folder: Path, tmp_path: Path
) -> None:
    for name in ("pytorch_model.bin", "README.md", "evil.py", "onnx/model.onnx", ".hidden.json"):
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text("not needed", "utf-8")
    stages: list[Progress] = []
    found = pull(tmp_path, stages.append)
    names = {path.name for path in chat_folder.iterdir()}
    assert {path.name for path in found.folder.iterdir()} == names | {weights.MANIFEST}
    assert (found.folder, found.revision) == (tmp_path / "models" / "somebody" / "tiny", COMMIT)
    done = [progress.done for progress in stages if progress.done is not None]
    assert done == sorted(done)
    assert len(done) > 3
    assert done[-1] == stages[-1].total == sum(path.stat().st_size for path in chat_folder.iterdir())
    assert verify(found.folder) == []
    assert left_in(tmp_path / "models" / "somebody") == {"tiny"}
    asked = len(hub.asked)
    assert pull(tmp_path) == found == present(resolve("somebody/tiny"), tmp_path / "models")
    assert len(hub.asked) == asked, "the second time nothing is asked"
    assert first_words("somebody/tiny", tmp_path / "models").startswith("A fox is a small wild animal")


def test_the_pickle_of_the_catalogue_is_fetched_and_converted(hub: FakeHub, pickled: Path, tmp_path: Path) -> None:
    hub.repositories[BLENDERBOT] = pickled
    assert present(resolve(BLENDERBOT), tmp_path / "models") is None
    found = ensure(resolve(BLENDERBOT), tmp_path / "models", lambda progress: None)
    assert checkpoint.check(found.folder) == "blenderbot"
    assert not (found.folder / "pytorch_model.bin").exists()
    assert left_in(tmp_path / "models") == {"blenderbot-400m-distill"}
    assert first_words(BLENDERBOT, tmp_path / "models").startswith("A fox is a small wild animal")


def test_a_repository_without_readable_weights_is_refused(hub: FakeHub, pickled: Path, tmp_path: Path) -> None:
    hub.repositories["somebody/pickled"] = pickled
    with pytest.raises(ModelUnavailableError, match="no weights in a format that is read here"):
        ensure(resolve("somebody/pickled"), tmp_path / "models", lambda progress: None)
    assert not any("pytorch_model" in asked for asked in hub.asked)


def test_a_repository_that_is_not_there_is_a_clear_refusal(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="cannot be fetched: "):
        ensure(resolve("somebody/nothing"), tmp_path / "models", lambda progress: None)


def test_a_connection_that_breaks_is_mended_where_it_broke(
    hub: FakeHub, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module.time, "sleep", lambda seconds: None)
    size = (repository / "model.safetensors").stat().st_size
    hub.breaks_after = size // 4
    found = pull(tmp_path)
    assert verify(found.folder) == []
    begins = [int(asked.rpartition(" from ")[2]) for asked in hub.asked if " from " in asked]
    assert begins == sorted(begins)
    assert len(begins) >= 3
    assert hub.sent == size, "no byte was sent twice"


def test_a_server_without_ranges_sends_it_all_anew(hub: FakeHub, repository: Path, tmp_path: Path) -> None:
    arriving = tmp_path / "models" / "somebody" / ".tiny.arriving"
    arriving.mkdir(parents=True)
    weights_file = next(file for file in hub_module.plan(Hub("somebody/tiny")).files if file.name.endswith("tensors"))
    (arriving / f"model.safetensors.{weights_file.digest[:12]}.part").write_bytes(b"x" * 1000)
    hub.ranges = False
    assert verify(pull(tmp_path).folder) == []


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_what_is_not_what_was_published_is_refused_and_fetched_again(
    hub: FakeHub, repository: Path, tmp_path: Path, name: str
) -> None:
    hub.tampered.add(name)
    with pytest.raises(ModelUnavailableError, match=f"{name} of somebody/tiny is not the file that was published"):
        pull(tmp_path)
    assert present(resolve("somebody/tiny"), tmp_path / "models") is None
    hub.tampered.clear()
    assert verify(pull(tmp_path).folder) == []


def test_a_part_that_is_wrong_is_not_kept(hub: FakeHub, repository: Path, tmp_path: Path) -> None:
    arriving = tmp_path / "models" / "somebody" / ".tiny.arriving"
    arriving.mkdir(parents=True)
    published = next(file for file in hub_module.plan(Hub("somebody/tiny")).files if file.name.endswith("tensors"))
    (arriving / f"model.safetensors.{published.digest[:12]}.part").write_bytes(b"x" * (published.size + 5))
    with pytest.raises(ModelUnavailableError, match="digest differs"):
        pull(tmp_path)
    assert verify(pull(tmp_path).folder) == []


def test_a_disk_without_room_is_said_before_anything_is_fetched(
    hub: FakeHub, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "SPARE_BYTES", shutil.disk_usage(tmp_path).free + 10**12)
    with pytest.raises(ModelUnavailableError, match=r"needs 1 MB on the disk, where 0 MB are free\.$"):
        pull(tmp_path)
    assert hub.sent == 0


def test_a_pull_that_is_killed_goes_on_where_it_was(hub: FakeHub, repository: Path, tmp_path: Path) -> None:
    hub.bytes_per_second = 300_000
    size = (repository / "model.safetensors").stat().st_size
    command = [sys.executable, "-m", "chatsite.cli", "models", "pull", "somebody/tiny", "--json"]
    home = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "CHATSITE_INSTANCE": str(tmp_path)}
    part = tmp_path / "models" / "somebody" / ".tiny.arriving"

    def arrived() -> int:
        return sum(path.stat().st_size for path in part.glob("model.safetensors.*.part"))

    child = subprocess.Popen(command, env=os.environ | home, stdout=subprocess.PIPE)
    until(lambda: arrived() > size // 3, what="A third of the file")
    child.kill()
    child.communicate()
    before = arrived()
    assert left_in(part.parent) == {".tiny.arriving"} | {path.name for path in part.parent.glob(".tiny~*")}
    hub.bytes_per_second = 0
    done = subprocess.run(command, env=os.environ | home, capture_output=True, text=True, timeout=60, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1] == {"revision": COMMIT}
    assert min(line["done"] for line in lines if line.get("done")) > 0
    assert f"GET somebody/tiny/resolve/{COMMIT}/model.safetensors from {before}" in hub.asked
    assert left_in(part.parent) == {"tiny"}
    assert verify(part.parent / "tiny") == []


def test_what_is_removed_is_gone_also_from_the_cache(
    hub: FakeHub, repository: Path, cache: Path, chat_folder: Path, tmp_path: Path
) -> None:
    entry, models = resolve("somebody/tiny"), tmp_path / "models"
    assert not has_anything(entry, models)
    pull(tmp_path)
    put(cache, "somebody/tiny", chat_folder)
    put(cache, "somebody/else", chat_folder)
    assert has_anything(entry, models)
    remove(entry, models)
    assert not has_anything(entry, models)
    assert present(entry, models) is None
    assert left_in(models / "somebody") == set()
    assert [path.name for path in cache.iterdir()] == ["models--somebody--else"]


def test_what_is_being_fetched_is_not_removed(hub: FakeHub, repository: Path, tmp_path: Path) -> None:
    entry, models = resolve("somebody/tiny"), tmp_path / "models"

    def refused(progress: Progress) -> None:
        if progress.done:
            with pytest.raises(ModelUnavailableError, match="is being fetched by another process"):
                remove(entry, models)

    ensure(entry, models, refused)
    assert present(entry, models)


def test_a_folder_of_ones_own_is_never_removed(chat_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="not ours to delete"):
        remove(resolve(str(chat_folder)), tmp_path)
    assert chat_folder.exists()
