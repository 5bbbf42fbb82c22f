"""Files that appear whole and only once, and locks, on disks that lack what Unix takes for granted.

exFAT, FAT, some network drives and folders that are shared with a container know no hard links, and a few of them no
locks.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import IO

UNSUPPORTED = {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV}
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def publish_file(finished: Path, target: Path) -> None:
    """Give a finished file the name `target` in the same folder; `finished` may be gone afterwards.

    Raises FileExistsError if there is something with that name, and OSError.
    """
    try:
        # A link, unlike a renaming, fails where something is already.
        os.link(finished, target)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        # The name is taken first, by an empty file, which is replaced at once.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        finished.replace(target)


def acquire_lock(file: IO[str], blocking: bool = True) -> None:
    """Lock a file until it is closed; where the disk has no locks, go on without. Raises BlockingIOError, OSError."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX if blocking else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
