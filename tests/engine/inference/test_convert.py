"""Pickles become safetensors in a process of its own, and whatever happens there, this one gets a sentence."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from chatsite.engine.inference.loading import checkpoint
from chatsite.engine.inference.loading.convert import convert_in_child, convert_pickle
from chatsite.errors import ModelLoadError


@pytest.fixture
def snapshot(blenderbot_folder: Path, tmp_path: Path) -> Path:
    """A tiny BlenderBot in PyTorch's own format."""
    copied = Path(shutil.copytree(blenderbot_folder, tmp_path / "snapshot"))
    torch.save(load_file(copied / "model.safetensors"), copied / checkpoint.PICKLE_FILE)
    (copied / "model.safetensors").unlink()
    return copied


def split(snapshot: Path) -> None:
    """Divide the pickle into two, as the largest models have them."""
    weights = torch.load(snapshot / checkpoint.PICKLE_FILE, weights_only=True)
    names = sorted(weights)
    parts = {"pytorch_model-00001-of-00002.bin": names[::2], "pytorch_model-00002-of-00002.bin": names[1::2]}
    for name, mine in parts.items():
        torch.save({key: weights[key] for key in mine}, snapshot / name)
    index = {"metadata": {}, "weight_map": {key: name for name, mine in parts.items() for key in mine}}
    (snapshot / checkpoint.PICKLE_SHARD_INDEX).write_text(json.dumps(index), "utf-8")
    (snapshot / checkpoint.PICKLE_FILE).unlink()


@pytest.mark.parametrize("shards", [2, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_conversion_preserves_weights(snapshot: Path, blenderbot_folder: Path, tmp_path: Path, shards: int) -> None:
    if shards == 2:
        split(snapshot)
    assert len(checkpoint.find_pickles(snapshot)) == shards
    assert not checkpoint.is_complete(snapshot)
    made = convert_in_child(snapshot, tmp_path / "made")
    assert checkpoint.detect_family(made) == "blenderbot"
    found: Any = checkpoint.load_checkpoint(made, torch.float32)
    expected: Any = checkpoint.load_checkpoint(blenderbot_folder, torch.float32)
    for name, weight in expected.model.state_dict().items():
        assert torch.equal(found.model.state_dict()[name], weight)
    assert found.tokenizer("Hello world")["input_ids"] == expected.tokenizer("Hello world")["input_ids"]


def test_missing_shard_is_rejected(snapshot: Path) -> None:
    split(snapshot)
    (snapshot / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(ModelLoadError, match="has no configuration"):
        checkpoint.detect_family(snapshot, allow_pickle=True)


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.witness,))


@pytest.mark.parametrize("convert", [convert_in_child, convert_pickle])
def test_pickle_can_only_build_tensors(snapshot: Path, tmp_path: Path, convert: Callable[[Path, Path], Path]) -> None:
    witness = tmp_path / "witness"
    (snapshot / checkpoint.PICKLE_FILE).write_bytes(pickle.dumps(Evil(witness)))
    with pytest.raises(Exception, match=r"(?i)weights.only|unsupported"):
        convert(snapshot, tmp_path / "made")
    assert not witness.exists()
    assert not (tmp_path / "made").exists()


def test_damaged_pickle_is_rejected_with_message(snapshot: Path, tmp_path: Path) -> None:
    path = snapshot / checkpoint.PICKLE_FILE
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelLoadError) as caught:
        convert_in_child(snapshot, tmp_path / "made")
    assert "cannot convert it" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_hostile_config_is_rejected_during_conversion(snapshot: Path, tmp_path: Path) -> None:
    config = json.loads((snapshot / "config.json").read_text("utf-8"))
    (snapshot / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "evil.Model"}}), "utf-8")
    with pytest.raises(ModelLoadError, match="could run code"):
        convert_in_child(snapshot, tmp_path / "made")


def converter(parent: psutil.Process) -> psutil.Process:
    """The child that converts, once it is there."""
    while True:
        for child in parent.children():
            if "chatsite.engine.inference.loading.convert" in " ".join(child.cmdline()):
                return child
        time.sleep(0.01)


def test_killed_conversion_process_is_reported(snapshot: Path, tmp_path: Path) -> None:
    me = psutil.Process()
    threading.Thread(target=lambda: converter(me).kill(), daemon=True).start()
    with pytest.raises(ModelLoadError, match=r"signal 9; probably there is not enough memory"):
        convert_in_child(snapshot, tmp_path / "made")


def test_conversion_process_exits_with_parent(snapshot: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from chatsite.engine.inference.loading.convert import convert_in_child; "
    )
    program += "convert_in_child(Path(sys.argv[1]), Path(sys.argv[2]))"
    with subprocess.Popen([sys.executable, "-c", program, snapshot, tmp_path / "made"]) as parent:
        child = converter(psutil.Process(parent.pid))
        parent.kill()
    assert psutil.wait_procs([child], timeout=60)[1] == []
    assert not (tmp_path / "made").exists()
