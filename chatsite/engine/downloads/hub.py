"""Repositories of the Hugging Face Hub: what its cache on this machine holds, and fetching what is missing.

Files arrive in a folder of ours and not in the cache, since the Hub's client begins anew after each interruption: a
part of a file is kept, the rest of it is asked for, and the whole is compared with the digest that the Hub publishes.
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

from chatsite.engine.catalog.entry import HubSource
from chatsite.engine.inference.loading import checkpoint
from chatsite.errors import ChatsiteError, ModelLoadError, download_reasons

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo, RepoSibling

HUB_TIMEOUT_SECONDS = 5.0
DESCRIPTION_SUFFIXES = (".json", ".txt", ".jinja")
PICKLE_NAME = re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin")
# How often a broken connection is mended without a byte having come.
MAX_FRUITLESS_RETRIES = 5

BytesCallback = Callable[[int], None]


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch, with its size and its digest: sha256 of a large file, git's sha1 of a small one."""

    name: str
    size_bytes: int
    digest: str


@dataclass(frozen=True)
class DownloadPlan:
    """The files of a repository that have to be fetched, as they are in `commit`."""

    source: HubSource
    commit: str
    files: tuple[RemoteFile, ...]

    @property
    def size_bytes(self) -> int:
        """The size of all files in bytes."""
        return sum(file.size_bytes for file in self.files)

    def downloaded_bytes(self, folder: Path) -> int:
        """Return how many of these bytes are in a folder, whole files and parts."""
        paths = [
            path for file in self.files for path in (folder / file.name, _partial_path(folder, file)) if path.exists()
        ]
        return sum(path.stat().st_size for path in paths)


def find_cached(source: HubSource) -> Path | None:
    """Return the snapshot of a repository in the Hub's own cache, or None if it lacks a file."""
    cache_dir = _cache_dir(source)
    reference = cache_dir / "refs" / source.revision
    try:
        commit = reference.read_text("utf-8").strip() if reference.is_file() else source.revision
        snapshot = cache_dir / "snapshots" / commit
        return snapshot if checkpoint.is_complete(snapshot, allow_pickle=source.has_pickled_weights) else None
    except (OSError, ModelLoadError):
        return None


def is_cached(source: HubSource) -> bool:
    """Say whether the Hub's own cache has anything of a repository."""
    return _cache_dir(source).is_dir()


def delete_cached(source: HubSource) -> None:
    """Delete everything that the Hub's own cache has of a repository."""
    if is_cached(source):
        shutil.rmtree(_cache_dir(source))


def _cache_dir(source: HubSource) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{source.repo.replace('/', '--')}"


def make_plan(source: HubSource) -> DownloadPlan:
    """Ask the Hub which files a repository holds.

    Raises ModelLoadError if the Hub does not answer, or if the repository has no weights that can be read.
    """
    from huggingface_hub import HfApi, constants

    if constants.is_offline_mode():
        _raise_unavailable(download_reasons.HubOfflineError(repo=source.repo))
    try:
        info = HfApi().model_info(
            source.repo, revision=source.revision, files_metadata=True, timeout=HUB_TIMEOUT_SECONDS
        )
    except Exception as error:
        # The client raises errors of several libraries; whichever it was, the model cannot be had from there.
        _raise_unavailable(download_reasons.HubUnreachableError(repo=source.repo, cause=_cause(error)))
    return DownloadPlan(source, info.sha or source.revision, _select_files(info, source.has_pickled_weights))


def _select_files(info: ModelInfo, allow_pickle: bool) -> tuple[RemoteFile, ...]:
    files = [file for file in info.siblings or [] if "/" not in file.rfilename and not file.rfilename.startswith(".")]
    weights = [file for file in files if file.rfilename.endswith(".safetensors")]
    weights = weights or [file for file in files if allow_pickle and PICKLE_NAME.fullmatch(file.rfilename)]
    if not weights:
        _raise_unavailable(download_reasons.NoReadableFormatError(repo=info.id))
    others = [file for file in files if file.rfilename.endswith(DESCRIPTION_SUFFIXES)]
    return tuple(_to_remote_file(file) for file in [*others, *weights])


def _to_remote_file(file: RepoSibling) -> RemoteFile:
    return RemoteFile(file.rfilename, file.size or 0, file.lfs.sha256 if file.lfs else file.blob_id or "")


def download(plan: DownloadPlan, folder: Path, on_bytes: BytesCallback) -> None:
    """Fetch the files of a plan into `folder`, going on with the parts that are there.

    `on_bytes` is called often with the number of bytes of the plan that have arrived. Raises ModelLoadError if the Hub
    cannot be reached, or sends something else than it published; what differs is deleted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    previous_bytes = 0

    def report_part(part_bytes: int) -> None:
        on_bytes(previous_bytes + part_bytes)

    for file in plan.files:
        if not (folder / file.name).exists():
            _download_file(plan, file, folder, on_bytes=report_part)
        previous_bytes += file.size_bytes
        on_bytes(previous_bytes)


def _download_file(plan: DownloadPlan, file: RemoteFile, folder: Path, *, on_bytes: BytesCallback) -> None:
    from huggingface_hub import hf_hub_url

    partial_path, url = _partial_path(folder, file), hf_hub_url(plan.source.repo, file.name, revision=plan.commit)
    try:
        _resume_download(partial_path, url, file.size_bytes, on_bytes=on_bytes)
    except Exception as error:
        _raise_unavailable(
            download_reasons.FileDownloadError(file=file.name, repo=plan.source.repo, cause=_cause(error))
        )
    if digest_as(file.digest, partial_path) != file.digest:
        partial_path.unlink()
        _raise_unavailable(download_reasons.DigestMismatchError(file=file.name, repo=plan.source.repo))
    partial_path.rename(folder / file.name)


def _partial_path(folder: Path, file: RemoteFile) -> Path:
    """Return where a file is until it is whole; the name tells parts of different editions apart."""
    return folder / f"{file.name}.{file.digest[:12]}.part"


def _resume_download(partial_path: Path, url: str, size_bytes: int, *, on_bytes: BytesCallback) -> None:
    """Fetch the rest of a file, asking again if the connection breaks, as long as bytes come."""
    from huggingface_hub.errors import HfHubHTTPError

    retries_left = MAX_FRUITLESS_RETRIES
    partial_path.touch()
    while (received_bytes := partial_path.stat().st_size) < size_bytes:
        last_error: Exception = download_reasons.ConnectionClosedError()
        try:
            _append_response(partial_path, url, received_bytes, on_bytes=on_bytes)
        except HfHubHTTPError:
            raise
        except Exception as error:
            last_error = error
            time.sleep(1)
        retries_left = MAX_FRUITLESS_RETRIES if partial_path.stat().st_size > received_bytes else retries_left - 1
        if retries_left == 0:
            raise last_error


def _append_response(partial_path: Path, url: str, received_bytes: int, *, on_bytes: BytesCallback) -> None:
    """Append a response to a part; a server that knows no ranges sends the whole file anew."""
    from huggingface_hub import constants
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        build_hf_headers,
        hf_raise_for_status,
        http_stream_backoff,
    )

    headers = {
        **build_hf_headers(),
        "Accept-Encoding": "identity",
        **({"Range": f"bytes={received_bytes}-"} if received_bytes else {}),
    }
    timeout_seconds, retry_statuses = constants.HF_HUB_DOWNLOAD_TIMEOUT, (408, 429)
    with http_stream_backoff(
        "GET",
        url,
        headers=headers,
        timeout=timeout_seconds,
        retry_on_exceptions=(),
        retry_on_status_codes=retry_statuses,
    ) as response:
        hf_raise_for_status(response)
        received_bytes = received_bytes if response.status_code == 206 else 0
        with partial_path.open("ab") as file:
            file.truncate(received_bytes)
            for chunk in response.iter_raw():
                file.write(chunk)
                received_bytes += len(chunk)
                on_bytes(received_bytes)


def digest_as(expected_digest: str, path: Path) -> str:
    """Return the digest of a file, of the kind of `expected_digest`: sha256 (64 digits), or git's sha1 of a blob."""
    if len(expected_digest) == 64:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    # Git names a file so; the Hub publishes nothing else for small ones.
    header = f"blob {path.stat().st_size}\0".encode()
    return hashlib.sha1(header + path.read_bytes(), usedforsecurity=False).hexdigest()


def _cause(error: Exception) -> ChatsiteError | str:
    """Return an error of ours as it is, so that it can be translated; of any other its first line."""
    if isinstance(error, ChatsiteError):
        return error
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _raise_unavailable(reason: ChatsiteError) -> NoReturn:
    raise ModelLoadError(reason=reason)
