"""What is not yours does not exist, on every route there is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import func, select

from chatsite.database import db
from chatsite.models import Conversation, User
from tests.web import owned
from tests.web.conftest import Browser

# What a stranger may ask for, because it shows or changes nothing of anybody.
PUBLIC = {
    "static",
    "conversations.new",
    "conversations.index",
    "shares.index",
    # What an owner shows to whoever knows the address: test_shares.py.
    "shared.show",
    "shared.confirm",
    "shared.create",
    "answerers.show",
    "shelves.index",
    "trash.index",
    "trash.empty",
    "tags.index",
    "tags.create",
    "selections.create",
    "library.show",
    "personas.index",
    "personas.new",
    "personas.create",
    "drafts.create",
    "messages.create",
    # Whose words they find is tested in test_search.py.
    "search.index",
    "search.quick",
    # Whose conversations it finds is tested in test_palette.py.
    "palette.show",
    "shortcuts.show",
    "models.status",
    "models.index",
    "models.show",
    "models.weights",
    "models.create",
    "models.confirm",
    "models.destroy",
    # What these show and make is the visitor's own: `test_transfer.py`.
    "exports.index",
    "imports.index",
    "imports.create",
    # How the site looks on one device: a cookie.
    "preferences.show",
    "preferences.create",
    # The same for everybody of a language.
    "offline.show",
    "offline.worker",
    "installing.show",
    # How the site is made, where it is developed: `test_styleguide.py`.
    "styleguide.show",
    "styleguide.style",
    "health.healthz",
    "health.readyz",
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


def test_every_route_that_is_not_public_has_an_owner_in_its_address(app: Flask) -> None:
    assert len(routes(app)) >= 10
    for endpoint, _, rule in routes(app):
        assert "<public_id>" in rule or endpoint.startswith("links."), f"{endpoint} is neither public nor somebody's"


@pytest.mark.parametrize("finished", [True, False])
def test_outsider_gets_404_everywhere(
    app: Flask,
    alice: Browser,
    bob: Browser,
    browser: Callable[[], Browser],
    answer: Callable[..., None],
    finished: bool,
) -> None:
    """Neither another user nor somebody who never wrote sees or changes anything, by any route."""
    # Some of what is made waits for an answer.
    app.config["QUEUE_PER_USER"] = 50
    charlie = browser()
    charlie.get("/")
    checked = 0
    things: dict[str, str] = {}
    for endpoint, method, rule in routes(app):
        if "<public_id>" not in rule:
            continue
        kind = rule.split("/")[1]
        things[kind] = things.get(kind) or owned.make(rule, alice, answer if finished else None)
        before = snapshot(app)
        for person in (bob, charlie):
            for htmx in (False, True):
                path = rule.replace("<public_id>", things[kind])
                response = person.send(method, path, htmx, text="Stolen", mode="retry")
                assert response.status_code == 404, f"{method} {endpoint}"
                assert owned.SECRET not in response.text
                checked += 1
        assert snapshot(app) == before, f"{method} {endpoint}"
    assert checked >= 40


def test_the_owner_gets_something_else_than_404(app: Flask, alice: Browser, answer: Callable[..., None]) -> None:
    """The guard of the test above: with the right cookie every one of these addresses exists."""
    for endpoint, method, rule in routes(app):
        if "<public_id>" not in rule:
            continue
        name = owned.make(rule, alice, answer)
        response = alice.send(method, rule.replace("<public_id>", name), text="Title", mode="retry")
        assert response.status_code != 404, f"{method} {endpoint}"


def test_a_conversation_in_the_form_must_be_ones_own(app: Flask, alice: Browser, bob: Browser) -> None:
    conversation = alice.start()
    before = snapshot(app)
    for htmx in (False, True):
        response = bob.ask("Let me in", conversation=conversation, htmx=htmx)
        assert response.status_code == 404
        assert "Let me in" in response.text or htmx
    assert snapshot(app) == before


def test_what_does_not_exist_looks_like_what_is_not_yours(alice: Browser, bob: Browser) -> None:
    conversation = alice.start()
    theirs, nobodys = (bob.get(f"/conversations/{name}") for name in (conversation, "x" * 16))
    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.text == nobodys.text


@pytest.mark.parametrize("name", ["../x", "%2e%2e", "a" * 5000, "\u0000", "'; DROP TABLE user; --", "ü"])
def test_a_strange_name_is_not_found(alice: Browser, name: str) -> None:
    assert alice.get(f"/conversations/{name}").status_code in {404, 308}


def test_a_visitor_is_stored_with_the_first_write_only(app: Flask, alice: Browser) -> None:
    alice.get("/")
    alice.get("/conversations")
    alice.ask("")
    assert not any(snapshot(app))
    alice.start()
    assert len(users(app)) == 1


def test_the_identity_is_a_private_cookie_and_only_its_hash_is_stored(app: Flask, alice: Browser) -> None:
    response = alice.ask()
    [cookie] = [value for value in response.headers.getlist("Set-Cookie") if value.startswith("chatsite_visitor=")]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    token = cookie.partition("=")[2].partition(";")[0]
    assert len(token) >= 43
    assert token not in repr(snapshot(app))


def test_a_first_post_that_is_sent_twice_makes_one_visitor_and_one_turn(app: Flask, alice: Browser) -> None:
    """The second copy leaves before the answer to the first brings the cookie."""
    alice.get("/")
    first = alice.ask(token="t1")
    alice.client.delete_cookie("chatsite_visitor")
    second = alice.ask(token="t1")
    assert first.headers["Location"] == second.headers["Location"]
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(Conversation)) == 1
        assert db.session.scalar(select(func.count()).select_from(User)) == 1


def test_a_forged_cookie_is_nobody(app: Flask, alice: Browser) -> None:
    conversation = alice.start()
    stranger = app.test_client()
    for token in ("", "x", "a" * 3000, "\u00fc"):
        stranger.set_cookie("chatsite_visitor", token)
        assert stranger.get(f"/conversations/{conversation}").status_code == 404
