"""What is not yours does not exist, on every route there is."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import func, select

from chatsite.database import db
from chatsite.models import Conversation, User
from tests.support import owned_urls
from tests.support.web_fixtures import WebClient

# What a stranger may ask for, because it shows or changes nothing of anybody.
PUBLIC = {
    "static",
    "conversations.new",
    "conversations.index",
    "shares.index",
    # What an owner shows to whoever knows the address: test_shares.py.
    "public_shares.show",
    "public_shares.confirm",
    "public_shares.create",
    # It is closed in one browser; whom it asks for a model is tested in test_models_routes.py.
    "first_run.show",
    "first_run.destroy",
    "model_choice.show",
    "archive.index",
    "trash.index",
    "trash.empty",
    "tags.index",
    "tags.create",
    "bulk_actions.create",
    "join.show",
    "overview.show",
    "personas.index",
    "personas.new",
    "personas.create",
    "drafts.create",
    "messages.create",
    # Whose words they find is tested in test_search.py.
    "search.index",
    # Whose conversations it finds is tested in test_palette.py.
    "palette.show",
    "shortcuts.show",
    "dropped_files.show",
    # Only who may manage models adds and removes servers: `test_endpoint_routes.py`.
    "endpoints.index",
    "endpoints.discover",
    "endpoints.create",
    "endpoints.check",
    "endpoints.destroy",
    "models.show_status",
    "models.index",
    "models.show",
    "models.show_weights",
    # Only who may manage models chooses the default: `test_models_routes.py`.
    "models.choose",
    "models.create",
    "models.confirm",
    "models.destroy",
    # What these show and make is the visitor's own: `test_transfer.py`.
    "exports.index",
    "imports.index",
    "imports.create",
    # How the site looks on one device: a cookie.
    "user_settings.show",
    "preferences.create",
    "preferences.show_question",
    # They show and change what is the visitor's own: `test_user_settings.py`.
    "user_settings.update_instructions",
    "user_settings.update_defaults",
    "user_data.confirm_deletion",
    "user_data.destroy",
    "user_data.confirm_forgetting",
    "user_data.forget",
    # The same for everybody of a language.
    "offline.show",
    "offline.service_worker",
    "pwa_install.show",
    # How the site is made, where it is developed: `test_styleguide.py`.
    "styleguide.show",
    "styleguide.token_classes",
    "health.healthz",
    "health.readyz",
    # They only say where a page is now, and that page asks who is there: `test_old_addresses.py`.
    "old_addresses.show",
}
VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def routes(app: Flask) -> list[tuple[str, str, str]]:
    """Every route with something of somebody in its address: endpoint, method, rule."""
    return [
        (rule.endpoint, method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) & set(VERBS))
        if rule.endpoint not in PUBLIC
    ]


def users(app: Flask) -> list[User]:
    """Everybody who is stored."""
    with app.app_context():
        found = list(db.session.scalars(select(User)))
        db.session.remove()
        return found


def snapshot(app: Flask) -> list[object]:
    """All that is stored, to compare before and after."""
    with app.app_context():
        found: list[object] = []
        for table in db.metadata.sorted_tables:
            rows = db.session.execute(select(*table.columns).order_by(*table.primary_key)).all()
            found.append([tuple(row) for row in rows])
        db.session.remove()
        return found


def test_non_public_routes_contain_public_id(app: Flask) -> None:
    assert len(routes(app)) >= 10
    for endpoint, _, rule in routes(app):
        assert "<public_id>" in rule or endpoint.startswith("terminal_links."), (
            f"{endpoint} is neither public nor somebody's"
        )


@pytest.mark.parametrize("finished", [True, False])
def test_outsider_gets_404_everywhere(
    app: Flask,
    alice: WebClient,
    bob: WebClient,
    new_client: Callable[[], WebClient],
    finish_answers: Callable[..., None],
    finished: bool,
) -> None:
    """Neither another user nor somebody who never wrote sees or changes anything, by any route."""
    # Some of what is made waits for an answer.
    app.config["MAX_QUEUED_PER_USER"] = 50
    charlie = new_client()
    charlie.get("/")
    checked = 0
    things: dict[str, str] = {}
    for endpoint, method, rule in routes(app):
        if "<public_id>" not in rule:
            continue
        kind = rule.split("/")[1]
        things[kind] = things.get(kind) or owned_urls.create_owned(rule, alice, finish_answers if finished else None)
        before = snapshot(app)
        for person in (bob, charlie):
            for htmx in (False, True):
                path = rule.replace("<public_id>", things[kind])
                response = person.send_form(method, path, htmx, text="Stolen", mode="retry")
                assert response.status_code == 404, f"{method} {endpoint}"
                assert owned_urls.SECRET_TEXT not in response.text
                checked += 1
        assert snapshot(app) == before, f"{method} {endpoint}"
    assert checked >= 40


def test_owner_never_gets_404(app: Flask, alice: WebClient, finish_answers: Callable[..., None]) -> None:
    """The guard of the test above: with the right cookie every one of these addresses exists."""
    for endpoint, method, rule in routes(app):
        if "<public_id>" not in rule:
            continue
        name = owned_urls.create_owned(rule, alice, finish_answers)
        response = alice.send_form(method, rule.replace("<public_id>", name), text="Title", mode="retry")
        assert response.status_code != 404, f"{method} {endpoint}"


def test_outsider_cannot_post_to_conversation(app: Flask, alice: WebClient, bob: WebClient) -> None:
    conversation = alice.start_conversation()
    before = snapshot(app)
    for htmx in (False, True):
        response = bob.post_question("Let me in", conversation=conversation, htmx=htmx)
        assert response.status_code == 404
        assert "Let me in" in response.text or htmx
    assert snapshot(app) == before


def test_missing_and_foreign_conversations_get_same_404(alice: WebClient, bob: WebClient) -> None:
    conversation, missing = alice.start_conversation(), "x" * 16
    theirs, nobodys = (bob.get(f"/conversations/{name}") for name in (conversation, missing))
    assert theirs.status_code == nobodys.status_code == 404
    # The page repeats the address that was asked for, and nothing else differs but the time in tokens.
    shown, nothing = (re.sub(r"[\w-]{40,}\.[\w-]+\.[\w-]+", "", page.text) for page in (theirs, nobodys))
    assert shown.replace(conversation, missing) == nothing
    assert len(nothing) < len(nobodys.text)


@pytest.mark.parametrize("name", ["../x", "%2e%2e", "a" * 5000, "\u0000", "'; DROP TABLE user; --", "ü"])
def test_invalid_public_id_gets_404(alice: WebClient, name: str) -> None:
    assert alice.get(f"/conversations/{name}").status_code in {404, 308}


def test_user_is_created_on_first_write(app: Flask, alice: WebClient) -> None:
    alice.get("/")
    alice.get("/conversations")
    alice.post_question("")
    assert not any(snapshot(app))
    alice.start_conversation()
    assert len(users(app)) == 1


def test_visitor_cookie_is_private_and_stored_hashed(app: Flask, alice: WebClient) -> None:
    response = alice.post_question()
    [cookie] = [value for value in response.headers.getlist("Set-Cookie") if value.startswith("chatsite_visitor_")]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    token = cookie.partition("=")[2].partition(";")[0]
    assert len(token) >= 43
    assert token not in repr(snapshot(app))


def test_duplicate_first_post_creates_single_user_and_conversation(app: Flask, alice: WebClient) -> None:
    """The second copy leaves before the answer to the first brings the cookie."""
    alice.get("/")
    first = alice.post_question(idempotency_key="t1")
    alice.client.delete_cookie(alice.cookie_name("chatsite_visitor"))
    second = alice.post_question(idempotency_key="t1")
    assert first.headers["Location"] == second.headers["Location"]
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(Conversation)) == 1
        assert db.session.scalar(select(func.count()).select_from(User)) == 1


def test_forged_cookie_gets_404(app: Flask, alice: WebClient) -> None:
    conversation = alice.start_conversation()
    stranger = app.test_client()
    for token in ("", "x", "a" * 3000, "\u00fc"):
        for name in ("chatsite_visitor", alice.cookie_name("chatsite_visitor"), "__Host-chatsite_visitor_x"):
            stranger.set_cookie(name, token)
            assert stranger.get(f"/conversations/{conversation}").status_code == 404
