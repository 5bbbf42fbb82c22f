"""Repositories of the Hugging Face Hub: what is in its cache on this machine, and fetching what is not.

Files arrive in a folder of ours and not in the cache, since the Hub's client begins anew after each interruption: what
is there of a file is kept, its rest is asked for, and the whole is compared with the digest that the Hub publishes.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from chatsite.engine import reasons
from chatsite.engine.decoding import checkpoint
from chatsite.engine.entry import Hub
from chatsite.engine.reasons import because
from chatsite.errors import ModelUnavailableError

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo, RepoSibling

HUB_SECONDS = 5.0
DESCRIPTIONS = (".json", ".txt", ".jinja")
PICKLES = re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin")
# How often a broken connection is mended without a byte having come.
PATIENCE = 5

Arrived = Callable[[int], None]


@dataclass(frozen=True)
class Wanted:
    """A file to fetch: its size in bytes, and its digest: sha256 of what is large, git's sha1 of what is not."""

    name: str
    size: int
    digest: str


@dataclass(frozen=True)
class Plan:
    """The files of a repository to fetch, as they are in `commit`."""

    hub: Hub
    commit: str
    files: tuple[Wanted, ...]

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)

    def arrived(self, folder: Path) -> int:
        """How many of these bytes are in a folder, whole files and parts."""
        paths = [path for file in self.files for path in (folder / file.name, _part(folder, file)) if path.exists()]
        return sum(path.stat().st_size for path in paths)


def cached(hub: Hub) -> Path | None:
    """The snapshot in the Hub's own cache, when it has all that is needed."""
    home = _home(hub)
    reference = home / "refs" / hub.revision
    try:
        commit = reference.read_text("utf-8").strip() if reference.is_file() else hub.revision
        snapshot = home / "snapshots" / commit
        return snapshot if checkpoint.is_complete(snapshot, pickled=hub.pickled) else None
    except (OSError, ModelUnavailableError):
        return None


def is_cached(hub: Hub) -> bool:
    """Whether the Hub's own cache has anything of a repository."""
    return _home(hub).is_dir()


def forget(hub: Hub) -> None:
    """Delete what the Hub's own cache has of a repository."""
    if is_cached(hub):
        shutil.rmtree(_home(hub))


def _home(hub: Hub) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{hub.repo.replace('/', '--')}"


def plan(hub: Hub) -> Plan:
    """Ask the Hub what a repository holds. Raises ModelUnavailableError when it does not answer, or has no weights."""
    from huggingface_hub import HfApi, constants

    if constants.is_offline_mode():
        _refuse(because(reasons.OFFLINE, repo=hub.repo))
    try:
        info = HfApi().model_info(hub.repo, revision=hub.revision, files_metadata=True, timeout=HUB_SECONDS)
    except Exception as error:
        # The client raises errors of several libraries; whichever it was, the model cannot be had from there.
        _refuse(because(reasons.NO_ANSWER, repo=hub.repo, cause=_first_line(error)))
    return Plan(hub, info.sha or hub.revision, _wanted(info, hub.pickled))


def _wanted(info: ModelInfo, pickled: bool) -> tuple[Wanted, ...]:
    files = [file for file in info.siblings or [] if "/" not in file.rfilename and not file.rfilename.startswith(".")]
    weights = [file for file in files if file.rfilename.endswith(".safetensors")]
    weights = weights or [file for file in files if pickled and PICKLES.fullmatch(file.rfilename)]
    if not weights:
        _refuse(because(reasons.NO_FORMAT, repo=info.id))
    others = [file for file in files if file.rfilename.endswith(DESCRIPTIONS)]
    return tuple(_want(file) for file in [*others, *weights])


def _want(file: RepoSibling) -> Wanted:
    return Wanted(file.rfilename, file.size or 0, file.lfs.sha256 if file.lfs else file.blob_id or "")


def fetch(plan: Plan, folder: Path, arrived: Arrived) -> None:
    """Fetch the files of a plan into `folder`, going on with what is there of them.

    `arrived` is told how many bytes of the plan are there, again and again. Raises ModelUnavailableError when the Hub
    cannot be reached, or sends something else than it published; what differs is deleted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = 0
    for file in plan.files:
        if not (folder / file.name).exists():
            _fetch(plan, file, folder, lambda part, before=before: arrived(before + part))  # type: ignore[misc]
        before += file.size
        arrived(before)


def _fetch(plan: Plan, file: Wanted, folder: Path, arrived: Arrived) -> None:
    from huggingface_hub import hf_hub_url

    part, url = _part(folder, file), hf_hub_url(plan.hub.repo, file.name, revision=plan.commit)
    try:
        _fill(part, url, file.size, arrived)
    except Exception as error:
        _refuse(because(reasons.NOT_FETCHED, file=file.name, repo=plan.hub.repo, cause=_first_line(error)))
    if digest_like(file.digest, part) != file.digest:
        part.unlink()
        _refuse(because(reasons.OTHER_DIGEST, file=file.name, repo=plan.hub.repo))
    part.rename(folder / file.name)


def _part(folder: Path, file: Wanted) -> Path:
    """Where a file is until it is whole; the name tells parts of different editions apart."""
    return folder / f"{file.name}.{file.digest[:12]}.part"


def _fill(part: Path, url: str, size: int, arrived: Arrived) -> None:
    """Fetch what a part lacks, asking again when the connection breaks while something comes."""
    from huggingface_hub.errors import HfHubHTTPError

    tries = PATIENCE
    part.touch()
    while (have := part.stat().st_size) < size:
        broken: Exception = ConnectionError(reasons.CUT_OFF)
        try:
            _stream(part, url, have, arrived)
        except HfHubHTTPError:
            raise
        except Exception as error:
            broken = error
            time.sleep(1)
        tries = PATIENCE if part.stat().st_size > have else tries - 1
        if tries == 0:
            raise broken


def _stream(part: Path, url: str, have: int, arrived: Arrived) -> None:
    """Append what comes to the part; a server that knows no ranges sends all of it anew."""
    from huggingface_hub import constants
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        build_hf_headers,
        hf_raise_for_status,
        http_stream_backoff,
    )

    headers = {**build_hf_headers(), "Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    wait, again = constants.HF_HUB_DOWNLOAD_TIMEOUT, (408, 429)
    with http_stream_backoff(
        "GET", url, headers=headers, timeout=wait, retry_on_exceptions=(), retry_on_status_codes=again
    ) as response:
        hf_raise_for_status(response)
        have = have if response.status_code == 206 else 0
        with part.open("ab") as file:
            file.truncate(have)
            for chunk in response.iter_raw():
                file.write(chunk)
                have += len(chunk)
                arrived(have)


def digest_like(expected: str, path: Path) -> str:
    """The digest of a file, of the kind of `expected`: sha256 (64 digits), or else git's sha1 of a blob."""
    if len(expected) == 64:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    # Git names a file so; the Hub publishes nothing else for small ones.
    header = f"blob {path.stat().st_size}\0".encode()
    return hashlib.sha1(header + path.read_bytes(), usedforsecurity=False).hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _refuse(reason: str) -> NoReturn:
    raise ModelUnavailableError(reason=reason)
