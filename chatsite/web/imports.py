"""Imports: bring files of conversations, see how far they are, and what became of each conversation."""

from __future__ import annotations

from flask import Blueprint, Flask, current_app, redirect, render_template, request, url_for
from werkzeug.datastructures import FileStorage
from werkzeug.wrappers import Response

from chatsite.errors import ImportTooLargeError, NoFileError
from chatsite.models import Import
from chatsite.services import imports
from chatsite.web.access import visitor, visitor_who_writes
from chatsite.web.fragments import fragment, sidebar
from chatsite.web.htmx import headers, make_response
from chatsite.web.undoing import LISTED

bp = Blueprint("imports", __name__)

# What a form has around its files.
SLACK = 1_000_000
MOST_FILES = 200


def init_app(app: Flask) -> None:
    """Let this one form be larger than the others, which has to be known before anything reads it."""
    app.before_request_funcs.setdefault(None, []).insert(0, _admit)
    app.jinja_env.globals.update(moving_imports={state.value for state in imports.UNFINISHED})


@bp.get("/imports")
def index() -> str:
    """The form to bring files with, and the imports there were."""
    user = visitor()
    most = current_app.config["IMPORT_MB"]
    found = imports.newest(user) if user else []
    return render_template("imports/index.html", imports=found, most=most, sidebar=sidebar())


@bp.post("/imports")
def create() -> Response:
    """Take in the files of the form. Raises ImportTooLargeError, NoFileError and ImportsWaitingError."""
    files = [file for file in request.files.getlist("files") if file.filename][:MOST_FILES]
    if not files:
        raise NoFileError
    user, most = visitor_who_writes(), current_app.config["IMPORT_MB"] * 1_000_000
    made = [imports.receive(user, file.filename or "", _reader(file), most) for file in files]
    if len(made) > 1:
        return redirect(url_for("imports.index"), code=303)
    return redirect(url_for("imports.show", public_id=made[0].public_id), code=303)


@bp.get("/imports/<public_id>")
def show(public_id: str) -> Response | str:
    """How far an import is, and its report: `?after=` the next page, `?outcome=` one kind only.

    `?was=` is the state that a page knows which asks how it goes on.
    """
    found = imports.find(visitor(), public_id)
    was = request.args.get("was")
    if was and headers().wants_fragment:
        return _now(found, was)
    outcome = request.args.get("outcome") or None
    page = imports.notes(found, request.args.get("after"), outcome)
    values = {"found": found, "page": page, "outcome": outcome}
    if request.args.get("after") and headers().wants_fragment:
        return fragment("imports/_notes.html", **values)
    return render_template("imports/show.html", **values, sidebar=sidebar())


@bp.delete("/imports/<public_id>")
def destroy(public_id: str) -> Response:
    """Cancel an import; one that is over goes off the list with its report, and what came in stays."""
    found = imports.find(visitor(), public_id)
    if found.state in imports.UNFINISHED:
        imports.cancel(found)
        return redirect(url_for("imports.show", public_id=public_id), code=303)
    imports.destroy(found)
    return redirect(url_for("imports.index"), code=303)


def _now(found: Import, was: str) -> Response:
    over = found.state not in imports.UNFINISHED
    page = imports.notes(found) if over else None
    body = fragment("imports/_now.html", found=found, page=page, outcome=None, changed=found.state.value != was)
    # What came in stands in the sidebar.
    return make_response(body, trigger=LISTED) if over else make_response(body)


def _reader(file: FileStorage) -> imports.Read:
    return lambda most: file.stream.read(most)


def _admit() -> None:
    if request.endpoint != "imports.create":
        return
    most = current_app.config["IMPORT_MB"]
    request.max_content_length = most * 1_000_000 + SLACK
    if (request.content_length or 0) > request.max_content_length:
        raise ImportTooLargeError(most=most)
