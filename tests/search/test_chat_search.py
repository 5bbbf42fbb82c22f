"""Search in one conversation: all of its messages and nothing else, on both databases."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from sqlalchemy import insert

from chatsite.database import db
from chatsite.models import Conversation, Message, Role, User
from chatsite.services.chat import message_tree
from chatsite.services.search import search
from tests.chat.routes.test_versions import talk as talk_by_forms
from tests.conftest import People
from tests.search.test_search import MAY, found, talk
from tests.support.web_fixtures import HTMX_HEADERS, WebClient, message_ids, visible_text

Answer = Callable[..., None]
LENGTH = 10_000


def lengthen(conversation: Conversation, count: int) -> None:
    """Add messages to the end of a conversation: every hundredth has the word `rare`."""
    first = (conversation.active_leaf_id or 0) + 1
    rows = [
        {
            "id": first + number,
            "conversation_id": conversation.id,
            "parent_id": first + number - 1,
            "role": list(Role)[number % 2],
            "text": "rare word" if number % 100 == 0 else "common word",
            "is_active": True,
        }
        for number in range(count)
    ]
    db.session.execute(insert(Message), rows)
    if db.engine.dialect.name == "postgresql":
        db.session.execute(db.text("SELECT setval(pg_get_serial_sequence('message', 'id'), max(id)) FROM message"))
    conversation.active_leaf_id = first + count - 1
    db.session.commit()


def count_all(user: User, typed: str, conversation: Conversation) -> int:
    """How many messages all pages have together."""
    total, after = 0, None
    while True:
        page = search.search(user, typed, search.SearchOptions(conversation=conversation, after=after))
        total += len(page.messages)
        if page.next is None:
            return total
        after = page.next


def test_only_messages_of_the_conversation_are_found(people: People) -> None:
    here = talk(people.alice, "apple pie", "apple tart", title="apple")
    talk(people.alice, "apple juice")
    assert found(people.alice, "apple", conversation=here) == ["apple tart", "apple pie"]
    assert found(people.alice, "apple by:me", conversation=here) == ["apple pie"]
    assert found(people.alice, "juice", conversation=here) == []
    # A title is no message, and the order is always that of time.
    results = search.search(people.alice, "apple", search.SearchOptions(conversation=here, sort=search.Sort.RELEVANCE))
    assert not results.titles
    assert [message.text for message in results.messages] == ["apple tart", "apple pie"]


def test_conversation_of_others_is_not_searched(people: People) -> None:
    theirs = talk(people.bob, "apple of Bob")
    assert found(people.alice, "apple", conversation=theirs) == []


def test_every_message_of_a_long_conversation_is_found(people: People) -> None:
    long = talk(people.alice, "First question", "First answer", at=MAY)
    lengthen(long, LENGTH)
    talk(people.alice, *["rare word elsewhere"] * 30)
    assert count_all(people.alice, "rare", long) == LENGTH // 100
    assert found(people.alice, "first", conversation=long) == ["First answer", "First question"]


def test_matches_of_other_conversations_are_skipped_within_limits(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "CONVERSATION_SCAN_LIMITS", search.ScanLimits(50, 100))
    here = talk(people.alice, "word of long ago", at=MAY)
    lengthen(talk(people.alice, "Elsewhere", "Here"), 1_000)
    page = search.search(people.alice, "word", search.SearchOptions(conversation=here))
    assert page.messages == []
    assert page.next
    assert count_all(people.alice, "word", here) == 1


def test_search_page_and_bar(alice: WebClient, bob: WebClient, finish_answers: Answer) -> None:
    conversation = talk_by_forms(alice, finish_answers, "One apple", "Two pears")
    alice.start_conversation("Another apple")
    address = f"/conversations/{conversation}/search"
    page = alice.get(f"{address}?q=apple").text
    assert "All 4 messages, in all versions." in visible_text(page)
    assert page.count('class="result-message"') == 2
    assert "Another apple" not in re.findall(r"<ol>.*?</ol>", page, re.DOTALL)[-1]
    bar = alice.get(f"{address}?bar=open", headers=HTMX_HEADERS).text
    assert "<html" not in bar
    assert "Search this chat (all 4 messages)" in bar
    assert 'data-keys="Control+F"' not in bar
    closed = alice.get(f"{address}?bar=closed", headers=HTMX_HEADERS).text
    assert 'data-keys="Control+F"' in closed
    for query in ("", "?q=apple", "?bar=open"):
        assert bob.get(f"{address}{query}", headers=HTMX_HEADERS).status_code == 404
    assert alice.get(f"{address}?q=apple&after=x").status_code == 404


def test_results_lead_around_the_one_that_is_shown(alice: WebClient, finish_answers: Answer) -> None:
    conversation = talk_by_forms(alice, finish_answers, "apple one", "apple two", "apple three")
    names = message_ids(alice.get(f"/conversations/{conversation}").text)
    bar = alice.get(
        f"/conversations/{conversation}/search?bar=open&q=apple+by:me&at={names[2]}", headers=HTMX_HEADERS
    ).text
    assert "Result 2 of 3" in visible_text(bar)
    links = dict(re.findall(r'message=([\w-]{16})[^"]*" aria-label="(Earlier|Later) result"', bar))
    assert links == {names[0]: "Earlier", names[4]: "Later"}
    page = alice.get(f"/conversations/{conversation}?message={names[2]}&find=apple").text
    assert f"at={names[2]}" in page


def test_result_in_another_version_says_so(alice: WebClient, finish_answers: Answer) -> None:
    conversation = talk_by_forms(alice, finish_answers, "apple one")
    question, _ = message_ids(alice.get(f"/conversations/{conversation}").text)
    alice.send_form("POST", f"/messages/{question}/versions", text="apple again")
    finish_answers("Nothing.")
    page = alice.get(f"/conversations/{conversation}/search?q=apple").text
    first, *others = re.findall(r'<li class="result-message">.*?</li>', page, re.DOTALL)
    assert "again" in first
    assert "in another version" not in first
    assert len(others) == 2
    assert all("in another version" in result for result in others)


def test_temporary_chat_has_no_search(alice: WebClient) -> None:
    response = alice.send_form("POST", "/messages", text="Hush", temporary="1")
    address = response.headers["Location"]
    assert alice.get(f"{address}/search").status_code == 404
    page = alice.get(address).text
    assert "/search" not in re.findall(r'<ul id="conversation-actions".*?</ul>', page, re.DOTALL)[0]
    assert 'id="rename"' not in page


def test_message_count(people: People) -> None:
    assert message_tree.count_messages(talk(people.alice, "a", "b", "c")) == 3
