"""What is checked of an upload before its body is read: reading it means writing it to the disk."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from flask import Flask, current_app, g, request, session
from flask_wtf.csrf import CSRFError, ValidationError, generate_csrf, validate_csrf
from itsdangerous import BadData, URLSafeTimedSerializer

from chatsite.database import db
from chatsite.errors import ImportTooLargeError, StorageFullError, TooManyUploadsError
from chatsite.services.transfer import imports
from chatsite.web.core import storage_limit
from chatsite.web.core.identity import get_or_create_user
from chatsite.web.core.network import current_network
from chatsite.web.core.slots import SlotLimiter

# Room for the multipart headers and the other fields of the form.
FORM_OVERHEAD_BYTES = 1_000_000
# In each web worker. An upload takes a thread for as long as the network of its user does, which must not be slower
# than the minimum rate of `chatsite.web.core.timed_unreader`.
MAX_UPLOADS = 8
MAX_UPLOADS_PER_USER = 2
MAX_UPLOADS_PER_NETWORK = 4
TOKEN_PURPOSE = "upload"  # noqa: S105 The salt of the signature, no secret.
TOKEN_SECONDS = 24 * 3600


class DiskReservations:
    """The bytes of the uploads in progress in this worker, for which the disk must have room twice.

    An upload is in a temporary file first, and then in the database.
    """

    def __init__(self, *folders: Path) -> None:
        self._folders = folders
        self._reserved_bytes = 0
        self._lock = threading.Lock()

    def reserve(self, size_bytes: int) -> Callable[[], None]:
        """Reserve room for an upload, and return the function that gives it back. Raises StorageFullError."""
        with self._lock:
            needed_bytes = 2 * (self._reserved_bytes + size_bytes)
            if any(shutil.disk_usage(folder).free < needed_bytes for folder in self._folders):
                raise StorageFullError
            self._reserved_bytes += size_bytes
        return partial(self._release, size_bytes)

    def _release(self, size_bytes: int) -> None:
        with self._lock:
            self._reserved_bytes -= size_bytes


def init_app(app: Flask) -> None:
    """Check uploads in a hook that runs before anything reads the body."""
    app.extensions["upload_limiter"] = SlotLimiter(
        MAX_UPLOADS, {"user": MAX_UPLOADS_PER_USER, "network": MAX_UPLOADS_PER_NETWORK}, TooManyUploadsError
    )
    app.extensions["disk_reservations"] = DiskReservations(Path(tempfile.gettempdir()), app.config["INSTANCE"])
    # After the request has an id for the log.
    app.before_request_funcs.setdefault(None, []).insert(1, _admit_upload)
    app.teardown_request(_release_upload)


def create_upload_token() -> str:
    """Return what the address of the upload form carries: proof of this session, valid for a day and for nothing else.

    The CSRF token itself is in the body, which is not read before this one was checked. An address may get into the log
    of a proxy, so it must not carry more than this.
    """
    # The first page of a session makes what the proof is of.
    generate_csrf()
    return _serializer().dumps(_session_digest())


def _admit_upload() -> None:
    """Decide whether the body of an upload is read at all, and how much of it.

    Raises CSRFError without a token of this session, ImportTooLargeError, ImportQuotaExceededError,
    NetworkImportQuotaExceededError, TooManyNewUsersError, StorageFullError, DatabaseFullError or TooManyUploadsError.
    """
    size_bytes = request.content_length or 0
    # An upload that is no larger than other forms is treated like them.
    if request.endpoint != "imports.create" or size_bytes <= current_app.config["MAX_CONTENT_LENGTH"]:
        return
    # As long as the limit of other forms holds, no body of this size is read, not even for an error page.
    _check_token()
    storage_limit.require_room()
    max_megabytes = current_app.config["MAX_IMPORT_MB"]
    if size_bytes > max_megabytes * 1_000_000 + FORM_OVERHEAD_BYTES:
        raise ImportTooLargeError(most=max_megabytes)
    user, network = get_or_create_user(), current_network()
    imports.check_quota(user, size_bytes - FORM_OVERHEAD_BYTES, max_bytes=max_megabytes * 1_000_000, network=network)
    limiter: SlotLimiter = current_app.extensions["upload_limiter"]
    g.upload_releases = [limiter.acquire_slot(user=user.id, network=network.key if network else None)]
    g.upload_releases.append(current_app.extensions["disk_reservations"].reserve(size_bytes))
    # No transaction of the database stays open while the upload arrives.
    g.pop("current_user")
    db.session.remove()
    # A body of exactly the maximum would count as too large at its end.
    request.max_content_length = size_bytes + 1


def _release_upload(_error: BaseException | None) -> None:
    for release in g.pop("upload_releases", ()):
        release()


def _check_token() -> None:
    """Check the token in the header or in the address. Raises CSRFError."""
    try:
        validate_csrf(request.headers.get("X-CSRFToken"))
    except ValidationError:
        try:
            digest = _serializer().loads(request.args.get("upload_token", ""), max_age=TOKEN_SECONDS)
        except BadData:
            digest = None
        if "csrf_token" not in session or digest != _session_digest():
            raise CSRFError from None


def _session_digest() -> str:
    return hashlib.sha256(str(session.get("csrf_token")).encode()).hexdigest()[:32]


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.config["SECRET_KEY"], salt=TOKEN_PURPOSE)
