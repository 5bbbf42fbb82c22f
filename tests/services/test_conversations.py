"""Listing, pinning, archiving, renaming and deleting."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from chatsite.database import db, now, write
from chatsite.errors import (
    ConversationGoneError,
    EmptyTitleError,
    NotFoundError,
    NothingChosenError,
    TemporaryChatError,
    TitleTooLongError,
    TooManyChosenError,
)
from chatsite.models import Chunk, Conversation, Generation, Message
from chatsite.services import claims, conversations, messages, trash
from chatsite.services.paging import Page, cursor, parse_cursor
from tests.conftest import LIMITS, People


def make(people: People, number: int) -> None:
    """Some conversations of Alice, two of them of the same moment."""
    start = now()
    with write() as session:
        for index in range(number):
            moment = start - timedelta(hours=index // 2)
            session.add(Conversation(user_id=people.alice.id, title=f"Number {index}", updated_at=moment))


def test_pages_list_every_conversation_once(people: People) -> None:
    make(people, 25)
    page = conversations.page(people.alice, size=10)
    seen = list(page.items)
    while page.next:
        page = conversations.page(people.alice, page.next, size=10)
        seen += page.items
    assert sorted(found.title for found in seen) == sorted(f"Number {index}" for index in range(25))
    assert [found.updated_at for found in seen] == sorted((found.updated_at for found in seen), reverse=True)


def names(page: Page[Conversation]) -> list[str]:
    """The titles on a page."""
    return [row.title for row in page.items]


def test_those_that_are_pinned_come_first_on_whatever_page(people: People) -> None:
    make(people, 12)
    pinned = [row.public_id for row in conversations.page(people.alice, size=12).items if int(row.title[7:]) % 2]
    conversations.pin(people.alice, pinned)
    seen, cursor_ = [], None
    while not seen or cursor_:
        page = conversations.page(people.alice, cursor_, size=5)
        seen += page.items
        cursor_ = page.next
    assert len(seen) == 12
    assert [row.pinned for row in seen] == [True] * 6 + [False] * 6
    for part in (seen[:6], seen[6:]):
        assert [row.updated_at for row in part] == sorted((row.updated_at for row in part), reverse=True)


def test_an_archived_conversation_leaves_the_list_and_can_come_back(people: People) -> None:
    make(people, 3)
    found = [row.public_id for row in conversations.page(people.alice).items]
    conversations.archive(people.alice, found[:1])
    conversations.archive(people.alice, found[1:2])
    assert names(conversations.page(people.alice)) == ["Number 2"]
    first = conversations.archived(people.alice, size=1)
    assert names(first) == ["Number 0"]
    assert names(conversations.archived(people.alice, first.next, size=1)) == ["Number 1"]
    assert conversations.get(people.alice, found[0])
    conversations.archive(people.alice, found, archived=False)
    assert len(conversations.page(people.alice).items) == 3
    assert not conversations.archived(people.alice).items


def test_only_ones_own_conversations_change(people: People) -> None:
    make(people, 2)
    found = [row.public_id for row in conversations.page(people.alice).items]
    for act in (conversations.pin, conversations.archive, trash.throw):
        with pytest.raises(ConversationGoneError):
            act(people.bob, found)
        with pytest.raises(NothingChosenError):
            act(people.alice, [])
        with pytest.raises(TooManyChosenError):
            act(people.alice, ["x"] * 501)
    assert names(conversations.page(people.alice)) == ["Number 1", "Number 0"]


def test_a_temporary_chat_is_not_kept_anywhere(people: People) -> None:
    make(people, 1)
    [row] = conversations.page(people.alice).items
    with write():
        conversations.lock(row.id, people.alice.id).expires_at = now() + timedelta(hours=1)
    for act in (conversations.pin, conversations.archive, trash.throw):
        with pytest.raises(TemporaryChatError):
            act(people.alice, [row.public_id])
    with pytest.raises(TemporaryChatError):
        conversations.rename(row, "Named")


def test_a_page_shows_nothing_of_others(people: People) -> None:
    make(people, 3)
    assert not conversations.page(people.bob).items


@pytest.mark.parametrize(
    "text",
    ["x", "1", "1.", "p", "pp1.1", "p1.", "1.1p", ".1", "-1.2", "1.2.3", "9" * 400 + ".1", "1." + "9" * 40, "٣.٣"],
)
def test_a_text_that_is_no_cursor_is_not_found(people: People, text: str) -> None:
    with pytest.raises(NotFoundError):
        conversations.page(people.alice, text)


@given(st.datetimes(timezones=st.just(now().tzinfo)), st.integers(min_value=0, max_value=2**53))
def test_a_cursor_keeps_its_place(moment, row_id) -> None:  # type: ignore[no-untyped-def]
    if moment.year >= 1970:
        assert parse_cursor(cursor(moment, row_id)) == (moment, row_id)


def test_rename(people: People) -> None:
    turn = messages.start(people.alice, "Hi", "t1", "Hi", LIMITS)
    conversations.rename(turn.conversation, "  A\n better \x00 title ")
    assert conversations.get(people.alice, turn.conversation.public_id).title == "A better title"


def test_rename_refuses_what_is_no_title(people: People) -> None:
    turn = messages.start(people.alice, "Hi", "t1", "Hi", LIMITS)
    with pytest.raises(EmptyTitleError):
        conversations.rename(turn.conversation, " \u200b ")
    with pytest.raises(TitleTooLongError):
        conversations.rename(turn.conversation, "x" * 121)
    assert conversations.get(people.alice, turn.conversation.public_id).title == "Hi"


def test_destroy_takes_everything_with_it(people: People) -> None:
    turn = messages.start(people.alice, "Hi", "t1", "Hi", LIMITS)
    [claim] = claims.claim("runner", 1, 5, 2)
    claims.record("runner", {claim.generation_id: claims.Written(1, text="Hello", tokens=1)}, 5)
    conversations.destroy(turn.conversation)
    for model in (Conversation, Message, Generation, Chunk):
        assert db.session.scalar(select(func.count()).select_from(model)) == 0


def test_a_runner_notices_that_its_work_was_deleted(people: People) -> None:
    turn = messages.start(people.alice, "Hi", "t1", "Hi", LIMITS)
    [claim] = claims.claim("runner", 1, 5, 2)
    conversations.destroy(turn.conversation)
    assert claims.standing("runner") == {}
    lost = claims.record("runner", {claim.generation_id: claims.Written(1, text="Hello", tokens=1)}, 5)
    assert lost == {claim.generation_id}


def test_get_is_for_the_owner_alone(people: People) -> None:
    turn = messages.start(people.alice, "Hi", "t1", "Hi", LIMITS)
    name = turn.conversation.public_id
    assert conversations.get(people.alice, name).title == "Hi"
    for outsider in (people.bob, None):
        with pytest.raises(ConversationGoneError):
            conversations.get(outsider, name)
