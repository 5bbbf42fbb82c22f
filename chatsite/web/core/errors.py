"""Error responses: every error is a localized sentence with the right status, and submitted text is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from flask import Flask, Response, g, make_response, render_template, request
from flask_babel import gettext
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException

from chatsite.errors import ChatsiteError, DatabaseBusyError, DraftTooLongError, StorageError, gettext_noop
from chatsite.i18n import translate_error
from chatsite.web.core.frame import Frame, requested_frame
from chatsite.web.core.htmx import htmx_headers, htmx_response
from chatsite.web.core.page_view import EMPTY_SIDEBAR, PageView, Sidebar, load_sidebar
from chatsite.web.core.templating import render_macro
from chatsite.web.core.untrusted_hosts import untrusted_host_response

log = structlog.get_logger()

STATUS_MESSAGES = {
    400: gettext_noop("Invalid request."),
    404: gettext_noop("Page not found."),
    405: gettext_noop("Not allowed here."),
    411: gettext_noop("The length of the request is missing."),
    413: gettext_noop("This is too large to send."),
    422: gettext_noop("Invalid request."),
    500: gettext_noop("Something went wrong on the server. Try again in a moment."),
}
CSRF_MESSAGE = gettext_noop(
    "This page was open for too long, or cookies are blocked. Your text is kept; reload and send it again."
)
NOTICE_TARGETS = {
    # A title is changed in its row or in the top bar.
    "conversations.update": "find .notice-region",
    # A notice here disappears when the draft is stored.
    "drafts.create": "#draft-error",
    "drafts.update": "#draft-error",
    # A page may have many of these forms; each has its own place for a notice.
    "versions.create": "find .notice-region",
    "ratings.update": "find .notice-region",
    "tags.update": "find .notice-region",
    "tags.set_tags": "find .notice-region",
}
# Forms with one line, and its label. The error page repeats the line, so that it can be corrected there.
SINGLE_FIELD_FORMS = {
    "conversations.update": gettext_noop("Title"),
    "tags.create": gettext_noop("Tag"),
    "tags.update": gettext_noop("Tag"),
    "tags.set_tags": gettext_noop("Tag"),
    "bulk_actions.create": gettext_noop("Tag"),
}
RESENT_FIELDS = ("text", "conversation", "parent", "idempotency_key", "model", "preset", "persona", "temporary")


@dataclass(frozen=True, kw_only=True)
class ErrorPage(PageView):
    """An error as a page with the submitted values; `field_label` names the field of a form with one line.

    It has the frame of other pages where the visitor is to blame. Any other error may come from the database, so its
    page queries none: it has no sidebar, and is not framed.
    """

    error_message: str
    status: int
    retry_after: int | None
    submitted: Mapping[str, str]
    field_label: str

    @property
    def is_framed(self) -> bool:
        """Whether the page was given a list to show beside it."""
        return self.sidebar is not EMPTY_SIDEBAR


def init_app(app: Flask) -> None:
    """Register handlers that answer every error with a localized sentence."""
    app.register_error_handler(ChatsiteError, _handle_domain_error)
    app.register_error_handler(StorageError, _handle_storage_error)
    app.register_error_handler(PoolTimeoutError, _handle_full_pool)
    app.register_error_handler(CSRFError, _handle_csrf_error)
    app.register_error_handler(HTTPException, _handle_http_error)
    if not app.debug:
        # In debug mode the debugger shows unexpected errors.
        app.register_error_handler(Exception, _handle_unexpected_error)


def _handle_domain_error(error: ChatsiteError) -> Response:
    return error_response(translate_error(error), error.status, error.retry_after)


def _handle_storage_error(error: StorageError) -> Response:
    # One line: where it was met says nothing, and there may be one for each request.
    log.warning("database_failed", reason=error.code, cause=str(error.__cause__ or ""))
    return _handle_domain_error(error)


def _handle_full_pool(_error: PoolTimeoutError) -> Response:
    return _handle_storage_error(DatabaseBusyError())


def _handle_csrf_error(_error: CSRFError) -> Response:
    return error_response(gettext(CSRF_MESSAGE), 400)


def _handle_http_error(error: HTTPException) -> Response:
    code = error.code or 500
    if code < 400:
        return error.get_response()  # type: ignore[return-value]
    if code == 413 and request.blueprint == "drafts":
        return _handle_domain_error(DraftTooLongError())
    if type(error).__name__ == "SecurityError":
        return untrusted_host_response()
    return error_response(gettext(STATUS_MESSAGES.get(code, STATUS_MESSAGES[400])), code)


def _handle_unexpected_error(error: Exception) -> Response:
    if type(error).__module__ == "gunicorn.http.errors":
        # gunicorn reads the body when the app asks for it, so a malformed body raises its error here.
        return error_response(gettext(STATUS_MESSAGES[400]), 400)
    log.error("request_broke", error=type(error).__name__, exc_info=error)
    return error_response(gettext(STATUS_MESSAGES[500]), 500)


def error_response(text: str, status: int, retry_after: int | None = None) -> Response:
    """Return the sentence `text` as a notice for htmx, or as a page that keeps the submitted values.

    `retry_after` is in seconds.
    """
    # The user may belong to a database session that the error has ended.
    g.pop("current_user", None)
    if htmx_headers().wants_fragment:
        # A stream asks again by itself, and removes what was said of it when it is connected (`composer.js`).
        is_stream = request.endpoint == "streams.show"
        element_id, wait_seconds = ("connection-lost", None) if is_stream else ("", retry_after)
        body = render_macro("errors/_notice.html", "error_notice", text, wait_seconds, element_id)
        target = NOTICE_TARGETS.get(request.endpoint or "", "#notice")
        response = htmx_response(body, status, retarget=target, reswap="innerHTML")
    else:
        field_label = SINGLE_FIELD_FORMS.get(request.endpoint or "")
        response = make_response(_render_page(text, status, retry_after, field_label=field_label), status)
    if retry_after:
        response.headers["Retry-After"] = str(retry_after)
    return response


def _render_page(text: str, status: int, retry_after: int | None, *, field_label: str | None) -> str:
    needs_sidebar = status < 500 and not retry_after and requested_frame() is Frame.FULL
    sidebar = _load_sidebar() if needs_sidebar else None
    view = ErrorPage(
        sidebar=sidebar or EMPTY_SIDEBAR,
        toast=None,
        has_palette=sidebar is not None,
        error_message=text,
        status=status,
        retry_after=retry_after,
        submitted=_submitted_values(),
        field_label=gettext(field_label) if field_label else "",
    )
    return render_template("errors/show.html", view=view)


def _load_sidebar() -> Sidebar | None:
    """Load the sidebar, or return None if the database does not answer just now, or the request cannot be read."""
    try:
        return load_sidebar()
    except (ChatsiteError, SQLAlchemyError, HTTPException):
        return None


def _submitted_values() -> dict[str, str]:
    """Return the values that were typed into the failed form, and its hidden fields."""
    try:
        return {name: request.form.get(name, "") for name in RESENT_FIELDS}
    except HTTPException:
        # A body that is too large cannot be parsed, so its values cannot be shown again.
        return dict.fromkeys(RESENT_FIELDS, "")
