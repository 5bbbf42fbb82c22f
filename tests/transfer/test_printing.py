"""The page for printing: the whole of a conversation, in its order, for its owner."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask

from benchmarks.support import seed_data
from chatsite.database import db
from chatsite.services.accounts import users
from chatsite.services.chat.message_pages import PAGE_SIZE
from chatsite.web.transfer import printing
from tests.support import other_exports
from tests.support import transfer_fixtures as t
from tests.support.web_fixtures import WebClient, message_ids, visible_text

EXCHANGES = 40


@pytest.fixture
def long_conversation(app: Flask, alice: WebClient) -> str:
    """A conversation of Alice with more messages than a page shows; returns its public id."""
    with app.app_context():
        stored = seed_data.create_visitor(1, EXCHANGES, "An answer.\n\n| a | b |\n|---|---|\n| 1 | 2 |")
        db.session.remove()
    alice.client.set_cookie("chatsite_visitor", stored.token)
    return stored.conversation_id


def printed_texts(html: str) -> list[str]:
    """The printed messages, in their order."""
    return [visible_text(article).strip() for article in re.findall(r"<article.*?</article>", html, re.DOTALL)]


def test_print_page_has_all_messages_in_order(alice: WebClient, finish_answers: Callable[..., None]) -> None:
    name = alice.start_conversation("First <question>")
    finish_answers("First **answer**.")
    alice.post_question("Second question", name)
    finish_answers("")
    response = alice.get(f"/conversations/{name}/print")
    texts = printed_texts(response.text)
    words = [
        "You First &lt;question&gt;",
        "Answer by Demo script First answer .",
        "You Second question",
        "Answer by Demo script No answer.",
    ]
    assert [text.startswith(word) for text, word in zip(texts, words, strict=True)] == [True] * 4, texts
    assert response.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in response.headers
    # Nothing in it is a form, and what runs is a file of ours.
    assert "<form" not in response.text
    assert re.search(r'src="/static/js/on_demand/print\.\w{8}\.js"', response.text)
    # The menu of the conversation leads to it through the page of exports.
    exports = f"/conversations/{name}/export"
    assert f'href="{exports}"' in alice.get(f"/conversations/{name}").text
    assert f'href="/conversations/{name}/print"' in alice.get(exports).text


def test_printed_questions_are_set_as_on_the_page(alice: WebClient, finish_answers: Callable[..., None]) -> None:
    name = alice.start_conversation("Why is `a < b` **true**?\n\n```python\nx = 1\n```")
    finish_answers("So.")
    html = alice.get(f"/conversations/{name}/print").text
    assert '<code dir="auto">a &lt; b</code> **true**?' in html
    assert "```" not in html
    assert html.count('<figure class="code"') == 1


def test_print_page_is_whole_where_the_conversation_page_is_not(alice: WebClient, long_conversation: str) -> None:
    shown = alice.get(f"/conversations/{long_conversation}").text
    assert len(message_ids(shown)) == PAGE_SIZE
    assert "This is not the whole chat" in shown
    url = re.findall(r'href="(/conversations/[^"]+/print[^"]*)">Print everything', shown)[0]
    assert len(printed_texts(alice.get(url).text)) == 2 * EXCHANGES


def test_very_long_conversation_is_printed_in_parts(
    alice: WebClient, long_conversation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printing, "MESSAGES_PER_PART", 50)
    url = f"/conversations/{long_conversation}/print"
    first, second = alice.get(url).text, alice.get(f"{url}?part=2").text
    assert [len(printed_texts(html)) for html in (first, second)] == [50, 30]
    assert "Part 1 of 2: messages 1 to 50 of 80" in visible_text(first)
    assert "Part 2 of 2: messages 51 to 80 of 80" in visible_text(second)
    assert f'href="{url}?part=2"' in first
    for part in ("0", "3", "-1", "x", "٢", "9" * 30):
        assert alice.get(f"{url}?part={part}").status_code == 404, part


def test_branch_of_message_is_printed(alice: WebClient, finish_answers: Callable[..., None]) -> None:
    name = alice.start_conversation("Old words")
    finish_answers()
    question, answer = message_ids(alice.get(f"/conversations/{name}").text)
    alice.send_form("POST", f"/messages/{question}/versions", text="New words")
    finish_answers()
    url = f"/conversations/{name}/print"
    assert "New words" in printed_texts(alice.get(url).text)[0]
    assert "Old words" in printed_texts(alice.get(f"{url}?message={question}").text)[0]
    assert len(printed_texts(alice.get(f"{url}?message={question}").text)) == 2
    other = alice.start_conversation("Elsewhere")
    assert alice.get(f"/conversations/{other}/print?message={answer}").status_code == 404


def test_temporary_chat_has_no_print_page(alice: WebClient) -> None:
    location = alice.send_form("POST", "/messages", text="Hush", temporary="1").headers["Location"]
    assert alice.get(f"{location}/print").status_code == alice.get(f"{location}/export").status_code != 200
    assert "/print" not in alice.get(location).text


def test_printed_answers_of_an_import_name_its_product(app: Flask, alice: WebClient) -> None:
    with app.app_context():
        token = users.new_token()
        user = users.get_or_create_by_token(token)
        t.import_file(user, [other_exports.make_claude_conversation()])
        [conversation] = t.list_conversations(user)
        name = conversation.public_id
        db.session.remove()
    alice.client.set_cookie("chatsite_visitor", token)
    question, answer, *_ = printed_texts(alice.get(f"/conversations/{name}/print").text)
    assert answer.startswith("Answer by Claude ")
    assert "Claude" not in question


def test_few_files_are_sent_at_a_time(app: Flask, alice: WebClient, long_conversation: str) -> None:
    pages = ("/export?format=json", f"/conversations/{long_conversation}/print")
    open_responses = [alice.client.get(page, buffered=False) for page in pages]
    limiter = app.extensions["export_limiter"]
    assert limiter.open_count == 2
    for page in (*pages, f"/conversations/{long_conversation}/export?format=html"):
        refused = alice.get(page)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
        assert "Other downloads are still in progress" in refused.text
    open_responses.pop().close()
    assert alice.get(pages[1]).status_code == 200
    open_responses.pop().close()
    assert limiter.open_count == 0
