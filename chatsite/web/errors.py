"""Every error is a sentence with the right status; what was typed stays where it was typed."""

from __future__ import annotations

import structlog
from flask import Flask, Response, g, make_response, render_template, request
from flask_babel import gettext
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from chatsite.errors import ChatsiteError, DraftTooLongError, sentence
from chatsite.web.htmx import headers
from chatsite.web.htmx import make_response as make_htmx_response

log = structlog.get_logger()

SENTENCES = {
    400: sentence("This request could not be understood."),
    404: sentence("This does not exist, or it is not yours."),
    405: sentence("This cannot be done here."),
    413: sentence("This is too large to be sent."),
    422: sentence("This request could not be understood."),
    500: sentence("Something broke on our side. It was noted; try again in a moment."),
}
CSRF_SENTENCE = sentence(
    "This page was open for too long, or cookies are blocked. Your text is kept here: reload and send it again."
)
HOST_SENTENCE = sentence(
    "The site does not answer to this host name. Its owner can admit it with CHATSITE_TRUSTED_HOSTS."
)
NOTICES = {
    "conversations.update": "#title-notice",
    # What goes away as soon as the draft is kept.
    "drafts.create": "#unkept",
    "drafts.update": "#unkept",
    # There may be many of these on one page; each form has its own place.
    "versions.create": "find .notice-place",
    "ratings.update": "find .notice-place",
    "tags.update": "find .notice-place",
    "tags.choose": "find .notice-place",
}
# Forms with one line, which is offered again when there is something wrong with it, and what the line is.
LINES = {
    "conversations.update": sentence("Title"),
    "tags.create": sentence("Tag"),
    "tags.update": sentence("Tag"),
    "tags.choose": sentence("Tag"),
    "selections.create": sentence("Tag"),
}
FIELDS = ("text", "conversation", "after", "token", "model", "preset", "persona", "temporary")


def init_app(app: Flask) -> None:
    """Answer every error with a sentence."""
    app.register_error_handler(ChatsiteError, _domain)
    app.register_error_handler(CSRFError, _csrf)
    app.register_error_handler(HTTPException, _http)
    if not app.debug:
        # In debug mode an error that is a bug belongs to the debugger.
        app.register_error_handler(Exception, _broken)


def say(error: ChatsiteError) -> str:
    """The sentence of an error in the visitor's language."""
    params = error.params | {name: gettext(str(error.params[name])) for name in error.worded}
    return str(gettext(error.sentence, **params) if params else gettext(error.sentence))


def _domain(error: ChatsiteError) -> Response:
    return respond(say(error), error.status, error.retry_after)


def _csrf(_error: CSRFError) -> Response:
    return respond(gettext(CSRF_SENTENCE), 400)


def _http(error: HTTPException) -> Response:
    code = error.code or 500
    if code < 400:
        return error.get_response()  # type: ignore[return-value]
    if code == 413 and request.blueprint == "drafts":
        return _domain(DraftTooLongError())
    if type(error).__name__ == "SecurityError":
        return make_response(gettext(HOST_SENTENCE) + "\n", 400, {"Content-Type": "text/plain; charset=utf-8"})
    return respond(gettext(SENTENCES.get(code, SENTENCES[400])), code)


def _broken(error: Exception) -> Response:
    if type(error).__module__ == "gunicorn.http.errors":
        # The body was no HTTP, which shows only when it is read.
        return respond(gettext(SENTENCES[400]), 400)
    log.error("request_broke", error=type(error).__name__, exc_info=error)
    return respond(gettext(SENTENCES[500]), 500)


def respond(text: str, status: int, retry_after: int | None = None) -> Response:
    """The sentence as a notice for htmx, or as a page with what was typed in it."""
    # What was looked up before the error may belong to a session that is gone.
    g.pop("visitor", None)
    if headers().wants_fragment:
        body = render_template("errors/_notice.html", sentence=text, retry_after=retry_after)
        place = NOTICES.get(request.endpoint or "", "#notice")
        response = make_htmx_response(body, status, retarget=place, reswap="innerHTML")
    else:
        line = LINES.get(request.endpoint or "")
        values = {"typed": _typed(), "line": gettext(line) if line else ""}
        page = render_template("errors/show.html", sentence=text, status=status, retry_after=retry_after, **values)
        response = make_response(page, status)
    if retry_after:
        response.headers["Retry-After"] = str(retry_after)
    return response


def _typed() -> dict[str, str]:
    """What was typed into the form that failed, and what the form knew."""
    try:
        return {name: request.form.get(name, "") for name in FIELDS}
    except HTTPException:
        # A body that is too large cannot be read, and so cannot be shown again.
        return dict.fromkeys(FIELDS, "")
