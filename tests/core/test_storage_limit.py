"""The limit of the database's size: nothing new is stored beyond it, and deleting makes room."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import text

from chatsite.database import db
from chatsite.services import storage
from chatsite.services.organize import trash
from chatsite.web.core.storage_limit import GROWING_ENDPOINTS
from tests.support.web_fixtures import WebClient

# They change rows that there are, or delete some; a link of the terminal stores one user at most.
OTHER_ENDPOINTS = {
    *("archive.archive", "archive.pin", "archive.unarchive", "archive.unpin", "bulk_actions.create"),
    *("comparisons.create", "conversations.destroy", "conversations.update", "imports.destroy", "model_choice.update"),
    *("endpoints.check", "endpoints.create", "endpoints.destroy", "endpoints.discover"),
    *("first_run.destroy", "models.choose", "read_marks.update"),
    # A message that waits was let in when it was written; it is posted sooner, or not at all.
    *("waiting_messages.create", "waiting_messages.destroy"),
    *("models.create", "models.destroy", "personas.destroy", "personas.update", "preferences.create"),
    *("ratings.destroy", "ratings.update", "settings.update", "shares.destroy", "shares.update"),
    *("shares.update_snapshot", "streams.destroy", "tags.destroy", "tags.set_tags", "tags.update"),
    *("temporary.close", "temporary.keep", "temporary.mark_left", "temporary.mark_present", "terminal_links.create"),
    *("trash.destroy", "trash.empty", "trash.restore", "undo.create", "versions.update"),
    *("user_data.destroy", "user_data.forget", "user_settings.update_defaults", "user_settings.update_instructions"),
}


def test_each_endpoint_grows_or_does_not(app: Flask) -> None:
    """A new one has to be put into one of the two lists."""
    unsafe = {"POST", "PUT", "PATCH", "DELETE"}
    endpoints = {rule.endpoint for rule in app.url_map.iter_rules() if unsafe & (rule.methods or set())}
    assert endpoints == GROWING_ENDPOINTS | OTHER_ENDPOINTS
    assert not GROWING_ENDPOINTS & OTHER_ENDPOINTS


def used_megabytes(app: Flask) -> float:
    with app.app_context():
        used = storage.used_bytes() / 1_000_000
        db.session.remove()
    return used


def test_full_database_refuses_what_is_new(
    app: Flask, alice: WebClient, finish_answers: Callable[..., None], new_client: Callable[[], WebClient]
) -> None:
    conversation = alice.start_conversation("Long")
    # No words, which the search index would keep for a while.
    finish_answers("- " * 750_000)
    app.config["MAX_DATABASE_MB"] = 1
    assert used_megabytes(app) > 1
    refused = alice.post_question("What I typed")
    assert refused.status_code == 507
    assert "storage is full" in refused.text
    assert "What I typed" in refused.text
    assert alice.send_form("POST", "/tags", text="New").status_code == 507
    assert new_client().post_question("Hello").status_code == 507
    [action] = re.findall(r'action="(/imports\?[^"]+)"', alice.get("/imports").text)
    body = {"csrf_token": alice.csrf_token, "other": "x" * 200_000}
    assert alice.client.post(action, data=body, content_type="multipart/form-data").status_code == 507
    # Reading, changing and deleting go on, and make room.
    assert alice.get(f"/conversations/{conversation}").status_code == 200
    assert alice.send_form("PATCH", f"/conversations/{conversation}/title", text="Short").status_code == 303
    assert alice.send_form("DELETE", f"/conversations/{conversation}").status_code == 303
    assert alice.send_form("DELETE", "/trash").status_code == 303
    with app.app_context():
        while trash.purge_due():
            pass
        db.session.remove()
    assert used_megabytes(app) < 1
    assert alice.post_question("What I typed").status_code == 303


@pytest.mark.parametrize("max_bytes", [0, 10**15])
def test_size_is_known_on_both_databases(any_app: Flask, max_bytes: int) -> None:
    with any_app.app_context():
        before = storage.used_bytes()
        db.session.execute(text("CREATE TABLE filler (content TEXT)"))
        db.session.execute(
            text("INSERT INTO filler VALUES (:content)"), {"content": "".join(map(chr, range(200, 50_000)))}
        )
        db.session.commit()
        assert before < storage.used_bytes() < before + 10_000_000
        storage.require_room(max_bytes)
        db.session.execute(text("DROP TABLE filler"))
        db.session.commit()
        db.session.remove()
