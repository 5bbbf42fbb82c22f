"""Imports: upload files, and show their progress and the result for each conversation."""

from __future__ import annotations

from flask import Blueprint, current_app, redirect, render_template, request, url_for
from flask_babel import gettext
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from chatsite.errors import ImportFileRequiredError, TooManyImportFilesError
from chatsite.i18n import translate_error
from chatsite.models import UNFINISHED_STATES, Import
from chatsite.services.transfer import imports
from chatsite.web.core.errors import error_response
from chatsite.web.core.htmx import htmx_headers, htmx_response
from chatsite.web.core.identity import current_user, get_or_create_user
from chatsite.web.core.network import current_network
from chatsite.web.core.page_view import ParentLink
from chatsite.web.core.templating import render_macro
from chatsite.web.core.undo_responses import LIST_CHANGED
from chatsite.web.transfer.upload_admission import create_upload_token
from chatsite.web.transfer.views import ImportPage, ImportReport, ImportsPage, ProgressView, build_status

bp = Blueprint("imports", __name__)

MAX_FILES = 200


@bp.get("/imports")
def index() -> str:
    """Show the import form, and the recent imports."""
    user = current_user()
    recent = [build_status(job) for job in imports.list_recent(user)]
    max_bytes = current_app.config["MAX_IMPORT_MB"] * 1_000_000
    view = ImportsPage(imports=recent, max_bytes=max_bytes, upload_token=create_upload_token())
    return render_template("imports/index.html", view=view)


@bp.post("/imports")
def create() -> Response:
    """Upload the files of the form, which `upload_admission` has admitted.

    Raises ImportFileRequiredError, TooManyImportFilesError, ImportQuotaExceededError, NetworkImportQuotaExceededError.
    """
    files = [file for file in request.files.getlist("files") if file.filename]
    if not files:
        raise ImportFileRequiredError
    if len(files) > MAX_FILES:
        raise TooManyImportFilesError(most=MAX_FILES)
    user, max_bytes = get_or_create_user(), current_app.config["MAX_IMPORT_MB"] * 1_000_000
    network = current_network()
    import_jobs = [
        imports.upload(user, file.filename or "", _part_reader(file), max_bytes=max_bytes, network=network)
        for file in files
    ]
    if len(import_jobs) > 1:
        return redirect(url_for("imports.index"), code=303)
    return redirect(url_for("imports.show", public_id=import_jobs[0].public_id), code=303)


@bp.get("/imports/<public_id>")
def show(public_id: str) -> Response | str:
    """Show the progress of an import and its results: `?after=` is the next page, `?outcome=` one outcome only.

    `?known_state=` is the state that an open page shows when it asks for progress. Raises NotFoundError.
    """
    import_job = imports.get(current_user(), public_id)
    known_state = request.args.get("known_state")
    if known_state and htmx_headers().wants_fragment:
        return _render_progress(import_job, known_state)
    outcome = request.args.get("outcome") or None
    report = ImportReport(import_job, imports.list_results(import_job, request.args.get("after"), outcome), outcome)
    if request.args.get("after") and htmx_headers().wants_fragment:
        return render_macro("imports/_results.html", "import_results", report)
    parent = ParentLink(url_for("imports.index"), gettext("Import"))
    view = ImportPage(status=build_status(import_job), report=report, parent=parent)
    return render_template("imports/show.html", view=view)


@bp.delete("/imports/<public_id>")
def destroy(public_id: str) -> Response:
    """Cancel an import in progress, or remove a finished one from the list. Imported conversations stay.

    Raises NotFoundError.
    """
    import_job = imports.get(current_user(), public_id)
    if import_job.state in UNFINISHED_STATES:
        imports.cancel(import_job)
        return redirect(url_for("imports.show", public_id=public_id), code=303)
    imports.delete_import(import_job)
    return redirect(url_for("imports.index"), code=303)


@bp.errorhandler(413)
def refuse_too_many_parts(_error: HTTPException) -> Response:
    """Say how many files a form may have, if it has more parts than are read at all.

    One that is too large was refused before.
    """
    error = TooManyImportFilesError(most=MAX_FILES)
    return error_response(translate_error(error), error.status)


def _render_progress(import_job: Import, known_state: str) -> Response:
    is_over = import_job.state not in UNFINISHED_STATES
    report = ImportReport(import_job, imports.list_results(import_job), None) if is_over else None
    view = ProgressView(build_status(import_job), report, import_job.state.value != known_state)
    body = render_template("imports/progress.partials.html", view=view)
    # The sidebar has to show the imported conversations.
    return htmx_response(body, trigger=LIST_CHANGED) if is_over else htmx_response(body)


def _part_reader(file: FileStorage) -> imports.ReadBytes:
    return lambda max_bytes: file.stream.read(max_bytes)
