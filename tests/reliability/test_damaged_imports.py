"""Files that are damaged at random: an import of them ends with a sentence, and what came in can be read."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatsite.database import db
from chatsite.errors import ImportBrokenError
from chatsite.models import Role, User
from chatsite.services.accounts import users
from tests.conftest import close_app, make_app
from tests.support import other_exports
from tests.support import transfer_fixtures as t
from tests.support.web_fixtures import WebClient

EVIL = "<img src=x onerror=alert(1)></title></script><script>\"'{{7*7}}"
junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from([EVIL, "\0", "\ud800", "a\r\n\x1b[2Jb", "x" * 5000, "9" * 400, "root", "importing:x", "../../etc"]),
    st.lists(st.none(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """An app that all examples share."""
    made = make_app(tmp_path_factory.mktemp("imports"))
    yield made
    close_app(made)


@pytest.fixture(scope="module")
def export_files(site: Flask) -> list[Any]:
    """A sound file of each format."""
    with site.app_context():
        owner = users.get_or_create_by_token("owner")
        t.create_history(owner)
        own = json.loads(t.export_native(owner))
        db.session.remove()
    return [
        own,
        [other_exports.make_chatgpt_conversation(), other_exports.make_chatgpt_conversation(2)],
        [other_exports.make_claude_conversation()],
        [other_exports.make_openwebui_conversation()],
    ]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where there is something in a file."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*path, key)
        yield from places(each, (*path, key))


def mutate(data: st.DataObject, value: Any) -> Any:
    """The value with a few of its parts gone, doubled, exchanged or replaced."""
    value = copy.deepcopy(value)
    for _ in range(data.draw(st.integers(1, 4))):
        path = data.draw(st.sampled_from(list(places(value)) or [()]))
        if not path:
            continue
        holder = value
        for key in path[:-1]:
            holder = holder[key]
        kind = data.draw(st.sampled_from(["junk", "gone", "moved"]))
        if kind == "gone":
            del holder[path[-1]]
        elif kind == "moved":
            other = data.draw(st.sampled_from(list(places(value))))
            found = value
            for key in other:
                found = found[key]
            holder[path[-1]] = copy.deepcopy(found)
        else:
            holder[path[-1]] = data.draw(junk)
    return value


def read_everything(site: Flask, user: User, token: str) -> None:
    """Whatever came in is sound: one version of each message is shown, pages open, and it can be exported again."""
    browser = WebClient(site.test_client())
    browser.client.set_cookie("chatsite_visitor", token)
    for talk in t.list_conversations(user):
        rows = t.list_messages(talk)
        for parent in {row.parent_id for row in rows}:
            assert sum(row.is_active for row in rows if row.parent_id == parent) == 1
        assert (talk.active_leaf_id is None) == (not rows)
        name = talk.public_id
        answers = [row.public_id for row in rows if row.role is Role.ASSISTANT]
        for path in (f"/conversations/{name}", *(f"/messages/{answer}/prompt-report" for answer in answers)):
            response = browser.client.get(path)
            assert response.status_code == 200, path
            assert "<script>" not in response.text
            assert "<img src=x" not in response.text
    once = t.export_native(user)
    json.loads(once)
    assert t.import_file(user, once).imported_count == 0
    assert browser.client.get("/conversations").status_code == 200
    assert "<img src=x" not in browser.client.get("/export?format=html").text


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mutated_files_are_imported_safely(site: Flask, export_files: list[Any], data: st.DataObject) -> None:
    value = mutate(data, data.draw(st.sampled_from(export_files)))
    text = json.dumps(value, ensure_ascii=data.draw(st.booleans()))
    token = f"visitor-{data.draw(st.uuids())}"
    with site.app_context():
        user = users.get_or_create_by_token(token)
        found = t.import_file(user, text, data.draw(st.text(max_size=10)))
        assert ImportBrokenError() not in {found.error, *(reason for _, _, reason in t.list_outcomes(found))}
        assert found.imported_count + found.duplicate_count + found.skipped_count <= 3
        read_everything(site, user, token)
        db.session.remove()


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_corrupted_bytes_are_imported_safely(site: Flask, export_files: list[Any], data: st.DataObject) -> None:
    raw = bytearray(json.dumps(data.draw(st.sampled_from(export_files))).encode())
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place : place + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=8))
    token = f"visitor-{data.draw(st.uuids())}"
    with site.app_context():
        user = users.get_or_create_by_token(token)
        found = t.import_file(user, bytes(raw))
        assert ImportBrokenError() not in {found.error, *(reason for _, _, reason in t.list_outcomes(found))}
        read_everything(site, user, token)
        db.session.remove()


def test_html_in_imported_fields_is_escaped(site: Flask, export_files: list[Any], tmp_path: Path) -> None:
    """Each text of each file is replaced by what would break out of every context there is."""

    def poisoned(value: Any, key: object = None) -> Any:
        if isinstance(value, dict):
            return {name: poisoned(each, name) for name, each in value.items()}
        if isinstance(value, list):
            return [poisoned(each, key) for each in value]
        kept = {
            "id",
            "uuid",
            "conversation_id",
            "role",
            "sender",
            "type",
            "format",
            "status",
            "parent",
            "parentId",
            "content_type",
        }
        return EVIL if isinstance(value, str) and key not in kept else value

    for number, value in enumerate(export_files):
        # A context remembers who asks, so each visitor has one.
        with site.app_context():
            token = f"poisoned-{number}"
            user = users.get_or_create_by_token(token)
            found = t.import_file(user, poisoned(value), EVIL)
            assert found.imported_count == len(value["conversations"] if isinstance(value, dict) else value)
            read_everything(site, user, token)
            browser = WebClient(site.test_client())
            browser.client.set_cookie("chatsite_visitor", token)
            for path in ("/imports", f"/imports/{found.public_id}"):
                response = browser.client.get(path)
                assert response.status_code == 200
                assert "<img src=x" not in response.text
            db.session.remove()
