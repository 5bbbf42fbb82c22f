"""What is decided of an upload before a byte of its body is read."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, text
from werkzeug.test import TestResponse

from chatsite.database import db
from chatsite.errors import ImportQuotaExceededError, TooManyUploadsError
from chatsite.models import Import, User
from chatsite.services.accounts import users
from chatsite.services.transfer import imports
from chatsite.web.transfer.upload_admission import MAX_UPLOADS
from tests.conftest import make_app, postgres_url
from tests.reliability.raw_connections import cookie_header, send_unread
from tests.reliability.test_slow_connections import read_to_end
from tests.support.served_site import HttpVisitor, ServedSite, running_site, wait_until
from tests.support.web_fixtures import WebClient

MULTIPART = "multipart/form-data; boundary=edge"
LARGE = 500_000_000


class UnreadBody(io.RawIOBase):
    """A body that must not be read."""

    was_read = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.was_read = True
        return 0


def send(client: WebClient, path: str = "/imports", length: int | None = LARGE, **headers: str) -> TestResponse:
    """Send the header of an upload; fail if the body is read."""
    body = UnreadBody()
    environ: dict[str, Any] = {"wsgi.input": body, "wsgi.input_terminated": True}
    if length is not None:
        environ["CONTENT_LENGTH"] = str(length)
    response = client.client.post(path, content_type=MULTIPART, headers=headers, environ_overrides=environ)
    assert not body.was_read
    return response


def open_form(client: WebClient) -> str:
    """Open the page with the form, and return the address that the form is sent to."""
    [action] = re.findall(r'action="(/imports\?[^"]+)"', client.get("/imports").text)
    return action


def count_users(app: Flask) -> int:
    with app.app_context():
        count = db.session.scalar(select(func.count()).select_from(User)) or 0
        db.session.remove()
        return count


def test_upload_without_session_or_token_is_not_read(
    app: Flask, alice: WebClient, bob: WebClient, new_client: Callable[[], WebClient]
) -> None:
    users_before = count_users(app)
    assert send(new_client(), "/messages", length=2000).status_code == 400
    refused = send(new_client())
    assert refused.status_code == 400
    assert "This page was open for too long" in refused.text
    foreign_action = open_form(bob)
    open_form(alice)
    for path in ("/imports", foreign_action, "/imports?upload_token=x", f"/imports?csrf_token={alice.csrf_token}"):
        assert send(alice, path).status_code == 400
    assert count_users(app) == users_before


def test_upload_that_is_too_large_is_not_read(app: Flask, alice: WebClient) -> None:
    alice.start_conversation("Hello")
    action = open_form(alice)
    too_large = send(alice, action, length=2_000_000_000)
    assert too_large.status_code == 413
    assert "up to 1,024 MB" in too_large.text
    with app.app_context():
        user = db.session.scalars(select(User)).one()
        imports.upload(user, "f", io.BytesIO(b"x" * 1_500_000).read, max_bytes=10**9)
        db.session.remove()
    app.config["MAX_IMPORT_MB"] = 3
    assert send(alice, action, length=2_600_000).status_code == 413
    assert "Your queued imports are too large together" in send(alice, action, length=2_600_000).text


def test_length_of_a_body_must_be_known(alice: WebClient) -> None:
    action = open_form(alice)
    for path in (action, "/messages", "/tags"):
        response = send(alice, path, length=None, **{"Transfer-Encoding": "chunked"})
        assert response.status_code == 411
        assert "The length of the request is missing." in response.text


def test_disk_must_have_twice_the_room(app: Flask, alice: WebClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The amount of free disk space is the one thing that a test cannot bring about."""
    action = open_form(alice)
    usage = type("Usage", (), {"free": 2 * LARGE - 1})
    monkeypatch.setattr("chatsite.web.transfer.upload_admission.shutil.disk_usage", lambda _folder: usage)
    response = send(alice, action)
    assert response.status_code == 507
    assert "disk is full" in response.text
    reservations = app.extensions["disk_reservations"]
    release = reservations.reserve(LARGE - 1)
    assert send(alice, action, length=1_000_000).status_code == 507
    release()
    reservations.reserve(LARGE - 1)()


def test_few_uploads_at_a_time(app: Flask, alice: WebClient, bob: WebClient) -> None:
    action = open_form(alice)
    assert send_part(alice, action).status_code == 422
    with app.app_context():
        user_id = db.session.scalars(select(User.id).order_by(User.id.desc())).first()
        db.session.remove()
    limiter = app.extensions["upload_limiter"]
    releases = [limiter.acquire_slot(user=user_id, network=None) for _ in range(2)]
    refused = send(alice, action)
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "10"
    assert "Too much is being uploaded" in refused.text
    assert send_part(bob, open_form(bob)).status_code == 422
    for release in releases:
        release()
    assert send_part(alice, action).status_code == 422
    assert limiter.open_count == 0


def test_one_network_takes_half_of_the_upload_slots(app: Flask) -> None:
    limiter = app.extensions["upload_limiter"]
    releases = [limiter.acquire_slot(user=number, network="one") for number in range(MAX_UPLOADS // 2)]
    with pytest.raises(TooManyUploadsError):
        limiter.acquire_slot(user=20, network="one")
    releases.append(limiter.acquire_slot(user=21, network="other"))
    for release in releases:
        release()


def send_part(client: WebClient, action: str) -> TestResponse:
    """Send an upload without a file, but with so many other bytes that it is not treated like other forms."""
    form = {"csrf_token": client.csrf_token, "other": "x" * 50_000, "more": "x" * 50_000, "last": "x" * 80_000}
    return client.client.post(action, data=form, content_type=MULTIPART)


def test_first_thing_that_a_visitor_does_may_be_an_upload(app: Flask, alice: WebClient) -> None:
    """The visitor becomes a user before the body is read, as far as their network may have new users."""
    action = open_form(alice)
    files = [(io.BytesIO(b"[" + b" " * 300_000 + b"]"), "a.json")]
    form = {"csrf_token": alice.csrf_token, "files": files}
    assert alice.client.post(action, data=form, content_type="multipart/form-data").status_code == 303
    assert count_users(app) == 1
    app.config["MAX_NEW_USERS_PER_ADDRESS"] = 1
    newcomer = WebClient(app.test_client())
    assert send(newcomer, open_form(newcomer)).status_code == 429


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_files_side_by_side_do_not_pass_the_limit(tmp_path: Path, database: str) -> None:
    """All of them wait until the last one has begun, so that none finds the others' bytes at its beginning."""
    app = make_app(tmp_path, DATABASE_URL="" if database == "sqlite" else postgres_url())
    began = threading.Barrier(6)
    refused: list[ImportQuotaExceededError] = []

    def upload_one() -> None:
        pieces: Iterator[bytes] = iter([b"x" * 400, b"x" * 100, b""])

        def read(_max_bytes: int) -> bytes:
            piece = next(pieces)
            if len(piece) == 400:
                began.wait(60)
            return piece

        with app.app_context():
            try:
                imports.upload(users.get_or_create_by_token("racer"), "f", read, max_bytes=1500)
            except ImportQuotaExceededError as error:
                refused.append(error)
            db.session.remove()

    with app.app_context():
        user = users.get_or_create_by_token("racer")
        for job in imports.list_recent(user):
            imports.cancel(job)
        user_id = user.id
        db.session.remove()
    threads = [threading.Thread(target=upload_one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with app.app_context():
        sizes = select(Import.size_bytes).where(Import.user_id == user_id, Import.state == "queued")
        stored = db.session.scalars(sizes).all()
        db.session.remove()
        db.engine.dispose()
    # Each refusal makes room for others, so how many come in depends on the order.
    assert len(stored) + len(refused) == 6
    assert stored == [500] * len(stored)
    assert 1 <= len(stored) <= 3


def test_bytes_of_a_user_are_stored_one_file_at_a_time(tmp_path: Path) -> None:
    """On PostgreSQL an upload waits while another one counts; on SQLite no two writes happen at once."""
    app = make_app(tmp_path, DATABASE_URL=postgres_url())
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    def upload_one() -> None:
        with app.app_context():
            imports.upload(users.get_or_create_by_token("one"), "f", io.BytesIO(b"x").read, max_bytes=10**9)
            db.session.remove()

    with app.app_context():
        user_id = users.get_or_create_by_token("one").id
        db.session.remove()
        thread = threading.Thread(target=upload_one)
        with db.engine.connect() as other:
            other.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
            thread.start()
            with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as observer:
                wait_until(lambda: observer.scalar(waiting) or not thread.is_alive(), what="The wait of the upload")
            assert thread.is_alive()
        thread.join()
        db.session.remove()
        db.engine.dispose()


def test_network_has_room_for_its_imports_only(app: Flask) -> None:
    clients = [WebClient(app.test_client()) for _ in range(3)]
    app.config["MAX_IMPORT_MB_PER_ADDRESS"] = 1

    def upload(client: WebClient) -> TestResponse:
        action = open_form(client)
        form = {"csrf_token": client.csrf_token, "files": [(io.BytesIO(b"x" * 450_000), "a.json")]}
        return client.client.post(action, data=form, content_type="multipart/form-data")

    assert [upload(client).status_code for client in clients[:2]] == [303, 303]
    refused = upload(clients[2])
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "60"
    assert "The queued imports of your network" in refused.text
    clients[2].client.environ_base["REMOTE_ADDR"] = "203.0.113.1"
    assert upload(clients[2]).status_code == 303


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedSite]:
    """A site with one web worker."""
    with running_site(tmp_path_factory.mktemp("site"), WORKERS="1", THREADS="8") as found:
        yield found


def test_refusal_comes_before_the_body_is_sent(site: ServedSite) -> None:
    """As gunicorn does it: the header is all that was sent, and more such uploads than threads hold none of them."""
    visitor = HttpVisitor(site.url)
    visitor.get("/imports")
    cookies = f"Cookie: {cookie_header(visitor)}\r\n"
    for extra, status in ((cookies, b"400"), ("", b"400"), ("Transfer-Encoding: chunked\r\n", b"411")):
        length = "" if "chunked" in extra else f"Content-Length: {LARGE}\r\n"
        head = f"POST /imports HTTP/1.1\r\nHost: localhost\r\n{extra}Content-Type: {MULTIPART}\r\n{length}\r\n"
        with send_unread(site, *[head.encode() + b"--edge"] * 12) as connections:
            answers = [read_to_end(connection) for connection in connections]
        assert {answer[9:12] for answer in answers} == {status}


def test_large_upload_arrives(site: ServedSite) -> None:
    """Through gunicorn with the address of the form, without JavaScript."""
    visitor = HttpVisitor(site.url)
    page = visitor.get("/imports")
    [action] = re.findall(r'action="(/imports\?[^"]+)"', page)
    body = (
        (
            f'--edge\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n{visitor.csrf_token}\r\n'
            '--edge\r\nContent-Disposition: form-data; name="files"; filename="a.json"\r\n\r\n['
        ).encode()
        + b" " * 3_000_000
        + b"]\r\n--edge--\r\n"
    )
    head = (
        f"POST {action} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: {cookie_header(visitor)}\r\n"
        f"Content-Type: {MULTIPART}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    with send_unread(site, head + body) as [connection]:
        answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 303"), answer
    assert b"Location: /imports/" in answer
