"""A folder as one file to import: a zip archive of the files in it that may have conversations."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from chatsite.errors import ImportTooLargeError, NothingFoundError
from chatsite.services.transfer.files import archives


@contextmanager
def pack_folder(folder: Path, max_bytes: int) -> Iterator[IO[bytes]]:
    """Pack the readable files of `folder` and of the folders in it, at most `max_bytes` bytes; links are not followed.

    Yields the archive, which is gone afterwards. Raises ImportTooLargeError, NothingFoundError or OSError.
    """
    paths = _list_files(folder)
    if len(paths) > archives.MAX_MEMBERS or sum(path.stat().st_size for path in paths) > max_bytes:
        raise ImportTooLargeError(most=max_bytes // 1_000_000)
    with tempfile.TemporaryFile() as file:
        # Files from before 1980, which zip cannot say, are no reason to refuse a folder.
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
            for path in paths:
                archive.write(path, path.relative_to(folder).as_posix())
        file.seek(0)
        yield file


def _list_files(folder: Path) -> list[Path]:
    """List the files that an import would read of an archive with these names. Raises NothingFoundError."""
    # Unlike rglob, this follows no links to folders in any version of Python.
    paths = [Path(parent) / name for parent, _, names in os.walk(folder) for name in names]
    readable = sorted(
        path
        for path in paths
        if path.is_file() and not path.is_symlink() and archives.is_readable(path.relative_to(folder).as_posix())
    )
    if not readable:
        raise NothingFoundError
    return readable
