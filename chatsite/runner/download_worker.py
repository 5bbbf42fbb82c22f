"""The child process that downloads a model and reports progress as lines of JSON. `DownloadProcess` starts it."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import asdict

from chatsite.child_process import exit_with_parent, send_json
from chatsite.config import flask_config, read_settings
from chatsite.engine.catalog.catalog import resolve_entry
from chatsite.engine.downloads.weights import ensure_installed
from chatsite.engine.types import Progress
from chatsite.errors import ChatsiteError, as_error, reason_of

SECONDS_BETWEEN_LINES = 0.2
FAILED = 1
ENDED = 143


def main(name: str) -> int:
    """Download a model, and exit early when the parent process ends. Return the exit status."""
    exit_with_parent(lambda: os._exit(ENDED))
    return download(name)


def download(name: str) -> int:
    """Download a model and print its progress as lines of JSON. Return the exit status.

    The last line contains the `revision` of the weights, or the `error` with its code and parameters.
    """
    config = flask_config(read_settings())
    try:
        found = ensure_installed(
            resolve_entry(name, config["CUSTOM_MODELS_FILE"]), config["MODELS"], ProgressJson().report_progress
        )
    except ChatsiteError as error:
        send_json({"error": reason_of(error).to_dict()})
        return FAILED
    except Exception as error:
        # The parent process waits for a last line with the reason, whatever the error is.
        send_json({"error": as_error(f"{type(error).__name__}: {error}").to_dict()})
        return FAILED
    send_json({"revision": found.revision})
    return 0


class ProgressJson:
    """Progress as lines of JSON on stdout: a few each second, and one for every change of stage."""

    def __init__(self) -> None:
        self._stage = ""
        self._next_line_at = 0.0

    def report_progress(self, progress: Progress) -> None:
        """Print the progress, unless a line was printed less than SECONDS_BETWEEN_LINES ago."""
        now, is_complete = (
            time.monotonic(),
            progress.done_bytes is not None and progress.done_bytes == progress.total_bytes,
        )
        if progress.stage == self._stage and now < self._next_line_at and not is_complete:
            return
        self._stage, self._next_line_at = progress.stage, now + SECONDS_BETWEEN_LINES
        send_json(asdict(progress))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
