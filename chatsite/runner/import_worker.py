"""Import worker: parses queued files one after another, and stores their conversations in small writes.

`ImportProcess` starts this module as a process of its own.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from typing import IO, Any

import structlog

from chatsite.app import create_bare_app
from chatsite.child_process import exit_with_parent
from chatsite.database import write_transaction
from chatsite.errors import ChatsiteError, ImportBrokenError, StorageError
from chatsite.runner.clock_watch import ClockWatch
from chatsite.runner.database_retries import retry_storage_errors
from chatsite.runner.import_job import LEASE_SECONDS, ImportJob
from chatsite.services.leases import LeaseLostError
from chatsite.services.transfer import import_leases, imports
from chatsite.services.transfer.files.archives import Upload
from chatsite.services.transfer.import_leases import ClaimedImport

log = structlog.get_logger()

# Text compresses well, but an archive that unpacks to more than this is an archive bomb.
MAX_UNPACK_RATIO = 20


def run_imports(config: Mapping[str, Any], stop: threading.Event, owner: str = "") -> None:
    """Import every queued file, until none is left or `stop` is set. Needs an app context.

    Raises StorageError if the database cannot be used when `stop` is set.
    """
    owner = owner or secrets.token_hex(8)
    clock_watch = ClockWatch(LEASE_SECONDS / 2, LEASE_SECONDS)

    def claim_next() -> ClaimedImport | None:
        return import_leases.claim(owner, LEASE_SECONDS, may_reap=clock_watch.may_judge)

    while not stop.is_set() and (claim := retry_storage_errors(claim_next, stop)):
        _import_file(claim, config, stop, clock_watch=clock_watch)
    if stop.is_set():
        import_leases.release(owner)
    import_leases.delete_finished_uploads()


def _import_file(
    claim: ClaimedImport, config: Mapping[str, Any], stop: threading.Event, *, clock_watch: ClockWatch
) -> None:
    """Import one file and store how it ended.

    What this worker does not hold any more is left alone, and so is what it could not store before `stop` was set: the
    next worker continues it.
    """
    error: ChatsiteError | None = None
    try:
        with tempfile.TemporaryFile(dir=config["INSTANCE"]) as file:
            retry_storage_errors(lambda: _copy_upload(claim, file, stop), stop)
            upload = Upload(
                file=file,
                name=claim.name,
                size_bytes=claim.size_bytes,
                max_unpacked_bytes=MAX_UNPACK_RATIO * 1_000_000 * config["MAX_IMPORT_MB"],
                scratch_dir=config["INSTANCE"],
            )
            ImportJob(claim, stop, clock_watch).import_records(upload)
    except LeaseLostError:
        log.info("import_lost", id=claim.id)
        retry_storage_errors(lambda: import_leases.finish_canceled(claim), stop)
        return
    except StorageError:
        log.info("import_left", id=claim.id)
        return
    except ChatsiteError as problem:
        error = problem
    except Exception as problem:
        # The text of an error may contain private text, so only its type is logged.
        log.error("import_broke", id=claim.id, error=type(problem).__name__)
        error = ImportBrokenError()
    retry_storage_errors(lambda: import_leases.finish(claim, error), stop)


def _copy_upload(claim: ClaimedImport, file: IO[bytes], stop: threading.Event) -> None:
    """Write the uploaded bytes into `file`. Raises LeaseLostError if they are not all there any more, or on `stop`."""
    file.seek(0)
    file.truncate()
    size_bytes, next_renewal_at = 0, 0.0
    for data in imports.iter_chunks(claim.id):
        size_bytes += file.write(data)
        if stop.is_set():
            raise LeaseLostError
        if time.monotonic() > next_renewal_at:
            next_renewal_at = time.monotonic() + LEASE_SECONDS / 4
            with write_transaction() as tx:
                import_leases.renew(tx, claim, LEASE_SECONDS)
    if size_bytes != claim.size_bytes:
        # Whoever ended the import meanwhile has deleted a part of them.
        raise LeaseLostError


def main(owner: str) -> None:
    """Import all queued files as the lease owner `owner`, until none is left or the parent process ends."""
    stop = threading.Event()
    exit_with_parent(stop.set, stop)
    # Web workers and the engine have priority.
    os.nice(10)
    app = create_bare_app({"SQLITE_SYNCHRONOUS": "NORMAL"})
    with app.app_context():
        run_imports(app.config, stop, owner)
    stop.set()


if __name__ == "__main__":
    main(sys.argv[1])
