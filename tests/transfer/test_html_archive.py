"""The HTML archive: it looks like the site, holds the newest conversation first, and needs nothing but itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import pytest
from flask import Flask
from sqlalchemy import event

from chatsite.database import db
from chatsite.services.accounts import users
from chatsite.services.transfer.exports import export_queries
from tests.support import other_exports
from tests.support import transfer_fixtures as t
from tests.support.web_fixtures import WebClient, visible_text

Answer = Callable[..., None]


def get_archive(alice: WebClient, name: str = "") -> str:
    """Everything of Alice, or one conversation, as HTML."""
    path = f"/conversations/{name}/export" if name else "/export"
    return alice.get(f"{path}?format=html").text


def test_archive_loads_nothing_and_runs_no_scripts(alice: WebClient, finish_answers: Answer) -> None:
    alice.start_conversation("</title><script>alert(1)</script>")
    finish_answers(
        "<script>alert(2)</script> [x](javascript:alert(3)) ![y](https://example.org/y.png)\n\n```python\n1\n```\n\n$$x^2$$"
    )
    html = get_archive(alice)
    assert html.count("<script") == 1
    # A picture is a link; nothing is fetched when the file is opened.
    assert re.findall(r'(?:src|href)="(?!#)[^"]*"', html) == ['href="https://example.org/y.png"']
    assert set(re.findall(r'url\("(\w+:[\w/+-]+)', html)) == {"data:font/woff2", "data:image/svg+xml"}
    assert not re.findall(r'url\((?!"data:)', html)
    assert "default-src 'none'" in unescape(html)
    assert "light-dark(" in html
    # Formulas are set by the browser with a font of its own; the words have that of the site.
    assert "<msup><mi>x</mi><mn>2</mn></msup>" in html
    assert re.findall(r"@font-face ?{\s*font-family: ([^;]+)", html) == ["Figtree"]
    assert re.findall(r"font-display: (\w+)", html) == ["block"]
    [link] = re.findall(r'href="#(c[\w-]{16})"', html)
    assert html.count(f'id="{link}"') == 1


def test_questions_are_set_as_on_the_page(alice: WebClient, finish_answers: Answer) -> None:
    name = alice.start_conversation("Why is `a < b` **true**?\n\n```python\nx = 1\n```\n\n$x^2$")
    finish_answers("So.")
    [question] = re.findall(
        r'<div class="question" dir="auto">(.*?)</div></section>', get_archive(alice, name), re.DOTALL
    )
    assert '<code dir="auto">a &lt; b</code> **true**?' in question
    assert '<figure class="code"' in question
    assert "<msup>" in question
    assert "```" not in question


def test_answers_name_their_model_as_the_site_does(alice: WebClient, finish_answers: Answer) -> None:
    name = alice.start_conversation("Hello")
    finish_answers("So.")
    html = get_archive(alice, name)
    assert '<h3 class="visually-hidden">Answer by Demo script</h3>' in html
    assert re.search(r'<p class="by">Demo script · \w', html)
    assert "scripted" not in visible_text(html.partition("</style>")[2])


def test_archive_names_product_of_imported_answers(app: Flask, alice: WebClient) -> None:
    with app.app_context():
        token = users.new_token()
        t.import_file(users.get_or_create_by_token(token), [other_exports.make_claude_conversation()])
        db.session.remove()
    alice.client.set_cookie("chatsite_visitor", token)
    assert re.search(r'Lovely\..*<p class="by">Claude · ', get_archive(alice), re.DOTALL)


def test_newest_conversation_is_first(
    app: Flask, alice: WebClient, finish_answers: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # More of them than are read at a time, of which one was imported last and is the oldest.
    monkeypatch.setattr(export_queries, "CONVERSATION_BATCH_SIZE", 2)
    names = []
    for number in range(5):
        names.append(alice.start_conversation(f"Number {number}"))
        finish_answers()
    with app.app_context():
        db.session.execute(
            db.text("UPDATE conversation SET created_at = '2020-01-01 00:00:00' WHERE title = 'Number 4'")
        )
        db.session.commit()
        db.session.remove()
    html = get_archive(alice)
    expected = [names[number] for number in (3, 2, 1, 0, 4)]
    assert re.findall(r'href="#c([\w-]{16})"', html) == expected
    assert re.findall(r'<article class="conversation" id="c([\w-]{16})"', html) == expected


def test_deleted_while_it_is_sent_is_left_out(app: Flask, alice: WebClient) -> None:
    alice.start_conversation("Kept")
    gone = alice.start_conversation("Deleted meanwhile")
    with app.app_context():
        user_id = db.session.execute(db.text("SELECT id FROM user")).scalar_one()
        ids = export_queries.list_newest_first(user_id)
        alice.send_form("DELETE", f"/conversations/{gone}")
        assert [each.row.title for each in export_queries.iter_conversations_by_id(user_id, ids)] == ["Kept"]
        # Ids of somebody else's are nobody's here.
        assert list(export_queries.iter_conversations_by_id(user_id + 1, ids)) == []
        db.session.remove()


def test_titles_of_models_are_read_once(app: Flask, alice: WebClient, finish_answers: Answer) -> None:
    name = alice.start_conversation("One")
    finish_answers("So.")
    with app.app_context():
        engine = db.engine
    statements: list[str] = []

    def count_statements() -> int:
        statements.clear()
        get_archive(alice, name)
        return len(statements)

    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    first_count = count_statements()
    for _ in range(5):
        alice.post_question("More", name)
        finish_answers("So.")
    assert count_statements() == first_count > 3


def test_search_tells_how_much_was_found_in_the_language_of_the_reader(alice: WebClient) -> None:
    alice.start_conversation("One")
    for language, words in (("en", "{found} of {count} chats"), ("es", "{found} de {count} chats")):
        alice.client.set_cookie(alice.cookie_name("chatsite_language"), language)
        assert f'data-found="{words}"' in get_archive(alice)
