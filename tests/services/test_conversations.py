"""Listing, renaming and deleting."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from chatsite.database import db, now, write
from chatsite.errors import ConversationGoneError, EmptyTitleError, NotFoundError, TitleTooLongError
from chatsite.models import Chunk, Conversation, Generation, Message
from chatsite.services import claims, conversations, messages
from chatsite.services.paging import cursor, parse_cursor
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


def test_a_page_shows_nothing_of_others(people: People) -> None:
    make(people, 3)
    assert not conversations.page(people.bob).items


@pytest.mark.parametrize("text", ["x", "1", "1.", ".1", "-1.2", "1.2.3", "9" * 400 + ".1", "1." + "9" * 40, "٣.٣"])
def test_a_text_that_is_no_cursor_is_not_found(people: People, text: str) -> None:
    with pytest.raises(NotFoundError):
        conversations.page(people.alice, text)


@given(st.datetimes(timezones=st.just(now().tzinfo)), st.integers(min_value=0, max_value=2**53))
def test_a_cursor_keeps_its_place(moment, row_id) -> None:  # type: ignore[no-untyped-def]
    if moment.year >= 1970:
        assert parse_cursor(cursor(moment, row_id)) == (moment, row_id)


def test_rename(people: People) -> None:
    turn = messages.start(people.alice, "Hi", "t1", "Hi", LIMITS)
    assert conversations.rename(turn.conversation, "  A\n better \x00 title ").title == "A better title"


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
