"""`chatsite export` and `chatsite import`: files of the conversations of the terminal's user."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from flask import Flask
from flask_babel import force_locale, gettext, ngettext

from chatsite import create_app
from chatsite.cli.folder_archive import pack_folder
from chatsite.cli.language import detect_language
from chatsite.cli.migrations import migrate_database
from chatsite.cli.output import strip_control_chars
from chatsite.database import db
from chatsite.errors import (
    ChatsiteError,
    ImportQuotaExceededError,
    ImportTooLargeError,
    NothingFoundError,
    NothingToExportError,
    gettext_noop,
)
from chatsite.i18n import translate_error, translate_text
from chatsite.models import UNFINISHED_STATES, Import, ImportOutcome, ImportState, User
from chatsite.runner import import_worker
from chatsite.services.accounts import terminal_links, users
from chatsite.services.transfer import imports
from chatsite.services.transfer.exports import export_json, export_markdown
from chatsite.services.transfer.exports.export_markdown import AuthorLabels
from chatsite.web.transfer.omission_notes import describe_omitted

POLL_SECONDS = 0.2
MAX_LISTED_RESULTS = 20
EXPORT_SUFFIXES = {".json", ".zip"}
FILE_REASONS: dict[type[OSError], str] = {
    FileNotFoundError: gettext_noop("There is no such file or folder."),
    IsADirectoryError: gettext_noop("This is a folder, not a file."),
    PermissionError: gettext_noop("You do not have permission to use this file or folder."),
}
DISK_FULL = gettext_noop("The disk is full.")
UNKNOWN_REASON = gettext_noop("The file cannot be read or written.")


class FileError(ChatsiteError):
    """A file cannot be read or written; takes its `name` and the `reason`."""

    code = "transfer_file"
    translated_params = ("reason",)
    message_template = "%(name)s: %(reason)s"


class UnknownSuffixError(ChatsiteError):
    """The name of the file does not say what to export."""

    code = "export_suffix"
    message_template = gettext_noop("The name of the file has to end in .json or .zip.")


def export_to_file(target: Path) -> None:
    """Write everything to `target`, as Markdown in a zip archive or as JSON, whichever it is called.

    What is there is replaced once the file is complete. Raises UnknownSuffixError, FileError or NothingToExportError.
    """
    if target.suffix.lower() not in EXPORT_SUFFIXES:
        raise UnknownSuffixError
    with _open_app() as app:
        user = users.identify_by_token(terminal_links.terminal_token(app.config["INSTANCE"]))
        if not isinstance(user, User):
            raise NothingToExportError
        labels = AuthorLabels(user=gettext("You"), assistant=gettext("Assistant"))
        is_archive = target.suffix.lower() == ".zip"
        pieces = (
            export_markdown.export_archive(user.id, labels)
            if is_archive
            else (piece.encode("utf-8", "replace") for piece in export_json.export(user.id))
        )
        _write_file(target, pieces)


def import_files(paths: Sequence[Path]) -> int:
    """Import files and folders, one after the other, and print what came of each.

    Return the exit status: 1 if one failed.
    """
    failed = False
    with _open_app() as app:
        for path in paths:
            try:
                import_job = _import_file(app, path)
            except (FileError, ImportQuotaExceededError, ImportTooLargeError, NothingFoundError) as error:
                failed = True
                click.echo(_describe_failure(path, error), err=True)
                continue
            _print_report(import_job)
            failed = failed or import_job.state is not ImportState.DONE
            db.session.remove()
    return int(failed)


@contextmanager
def _open_app() -> Iterator[Flask]:
    """Open the configured database, in the language of the environment."""
    app = create_app({"LOG_LEVEL": "error"})
    migrate_database(app)
    with app.app_context(), force_locale(detect_language(app)):
        yield app


def _write_file(target: Path, pieces: Iterator[bytes]) -> None:
    partial_file = target.with_name(f".{target.name}-{os.getpid()}")
    try:
        with open(os.open(partial_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.writelines(pieces)
        partial_file.replace(target)
    except OSError as error:
        raise _file_error(target, error) from error
    finally:
        partial_file.unlink(missing_ok=True)


def _import_file(app: Flask, path: Path) -> Import:
    """Import a file or a folder of files here, or wait for the runner that was faster.

    Raises FileError, ImportQuotaExceededError, ImportTooLargeError or NothingFoundError.
    """
    user = users.get_or_create_by_token(terminal_links.terminal_token(app.config["INSTANCE"]))
    max_bytes = app.config["MAX_IMPORT_MB"] * 1_000_000
    try:
        with pack_folder(path, max_bytes) if path.is_dir() else path.open("rb") as file:
            job = imports.upload(user, path.resolve().name, file.read, max_bytes=max_bytes)
    except OSError as error:
        raise _file_error(path, error) from error
    public_id = job.public_id
    import_worker.run_imports(app.config, threading.Event())
    while (job := imports.get(user, public_id)).state in UNFINISHED_STATES:
        db.session.rollback()
        time.sleep(POLL_SECONDS)
    return job


def _file_error(path: Path, error: OSError) -> FileError:
    """Return why a file cannot be read or written, in words that can be translated."""
    reason = next((text for kind, text in FILE_REASONS.items() if isinstance(error, kind)), UNKNOWN_REASON)
    return FileError(name=strip_control_chars(str(path)), reason=DISK_FULL if error.errno == errno.ENOSPC else reason)


def _describe_failure(path: Path, error: ChatsiteError) -> str:
    text = translate_error(error)
    return text if isinstance(error, FileError) else f"{strip_control_chars(path.name)}: {text}"


def _print_report(job: Import) -> None:
    if job.error:
        click.echo(f"{strip_control_chars(job.name)}: {translate_error(job.error)}", err=True)
        return
    counts = [
        ngettext("%(num)s imported", "%(num)s imported", job.imported_count),
        ngettext("%(num)s with new messages", "%(num)s with new messages", job.updated_count),
        ngettext("%(num)s already there", "%(num)s already there", job.duplicate_count),
        ngettext("%(num)s skipped", "%(num)s skipped", job.skipped_count),
    ]
    click.echo(f"{strip_control_chars(job.name)}: {', '.join(counts)}")
    for note in describe_omitted(_count_omitted(job)):
        click.echo(f"  {note}")
    for result, _ in imports.list_results(job, outcome=ImportOutcome.SKIPPED.value, size=MAX_LISTED_RESULTS).items:
        reason = translate_error(result.reason) if result.reason else ""
        click.echo(f"  {strip_control_chars(translate_text(result.title))}: {reason}", err=True)


def _count_omitted(job: Import) -> Counter[str]:
    """Return how much was left out of all conversations of an import, by kind."""
    omitted: Counter[str] = Counter()
    page = imports.list_results(job)
    while True:
        for result, _ in page.items:
            omitted.update(result.omitted or {})
        if page.next is None:
            return omitted
        page = imports.list_results(job, page.next)
