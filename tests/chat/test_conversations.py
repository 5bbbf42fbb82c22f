"""Listing, pinning, archiving, renaming and deleting."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from chatsite.database import db, utcnow, write_transaction
from chatsite.errors import (
    ConversationNotFoundError,
    EmptyTitleError,
    NotFoundError,
    NothingSelectedError,
    TemporaryChatError,
    TitleTooLongError,
    TooManySelectedError,
)
from chatsite.models import AnonymousUser, Chunk, Conversation, Generation, Message
from chatsite.services.chat import conversations, generation_leases, messages
from chatsite.services.chat.generation_update import GenerationUpdate
from chatsite.services.organize import trash
from chatsite.services.pagination import Page, decode_cursor, encode_cursor
from tests.conftest import LIMITS, People
from tests.support.deleting import destroy


def make(people: People, number: int) -> None:
    """Some conversations of Alice, two of them of the same moment."""
    start = utcnow()
    with write_transaction() as session:
        for index in range(number):
            moment = start - timedelta(hours=index // 2)
            session.add(Conversation(user_id=people.alice.id, title=f"Number {index}", updated_at=moment))


def test_pages_list_every_conversation_once(people: People) -> None:
    make(people, 25)
    page = conversations.list_page(people.alice, size=10)
    seen = list(page.items)
    while page.next:
        page = conversations.list_page(people.alice, page.next, size=10)
        seen += page.items
    assert sorted(found.title for found in seen) == sorted(f"Number {index}" for index in range(25))
    assert [found.updated_at for found in seen] == sorted((found.updated_at for found in seen), reverse=True)


def names(page: Page[Conversation]) -> list[str]:
    """The titles on a page."""
    return [row.title for row in page.items]


def test_pinned_conversations_come_first_across_pages(people: People) -> None:
    make(people, 12)
    pinned = [row.public_id for row in conversations.list_page(people.alice, size=12).items if int(row.title[7:]) % 2]
    conversations.set_pinned(people.alice, pinned)
    seen: list[Conversation] = []
    cursor_ = None
    while not seen or cursor_:
        page = conversations.list_page(people.alice, cursor_, size=5)
        seen += page.items
        cursor_ = page.next
    assert len(seen) == 12
    assert [row.pinned for row in seen] == [True] * 6 + [False] * 6
    for part in (seen[:6], seen[6:]):
        assert [row.updated_at for row in part] == sorted((row.updated_at for row in part), reverse=True)


def test_archived_conversation_leaves_list_and_can_be_restored(people: People) -> None:
    make(people, 3)
    found = [row.public_id for row in conversations.list_page(people.alice).items]
    conversations.set_archived(people.alice, found[:1])
    conversations.set_archived(people.alice, found[1:2])
    assert names(conversations.list_page(people.alice)) == ["Number 2"]
    first = conversations.list_archived(people.alice, size=1)
    assert names(first) == ["Number 0"]
    assert names(conversations.list_archived(people.alice, first.next, size=1)) == ["Number 1"]
    assert conversations.get(people.alice, found[0])
    conversations.set_archived(people.alice, found, archived=False)
    assert len(conversations.list_page(people.alice).items) == 3
    assert not conversations.list_archived(people.alice).items


def test_bulk_actions_change_only_own_conversations(people: People) -> None:
    make(people, 2)
    found = [row.public_id for row in conversations.list_page(people.alice).items]
    for act in (conversations.set_pinned, conversations.set_archived, trash.move_to_trash):
        with pytest.raises(ConversationNotFoundError):
            act(people.bob, found)
        with pytest.raises(NothingSelectedError):
            act(people.alice, [])
        with pytest.raises(TooManySelectedError):
            act(people.alice, ["x"] * 501)
    assert names(conversations.list_page(people.alice)) == ["Number 1", "Number 0"]


def test_temporary_chat_cannot_be_pinned_archived_trashed_or_renamed(people: People) -> None:
    make(people, 1)
    [row] = conversations.list_page(people.alice).items
    with write_transaction() as tx:
        conversations.lock(tx, row.id, people.alice.id).expires_at = utcnow() + timedelta(hours=1)
    for act in (conversations.set_pinned, conversations.set_archived, trash.move_to_trash):
        with pytest.raises(TemporaryChatError):
            act(people.alice, [row.public_id])
    with pytest.raises(TemporaryChatError):
        conversations.rename(row, "Named")


def test_page_excludes_other_users_conversations(people: People) -> None:
    make(people, 3)
    assert not conversations.list_page(people.bob).items


@pytest.mark.parametrize(
    "text",
    ["x", "1", "1.", "p", "pp1.1", "p1.", "1.1p", ".1", "-1.2", "1.2.3", "9" * 400 + ".1", "1." + "9" * 40, "٣.٣"],
)
def test_invalid_cursor_raises_not_found(people: People, text: str) -> None:
    with pytest.raises(NotFoundError):
        conversations.list_page(people.alice, text)


@given(st.datetimes(timezones=st.just(utcnow().tzinfo)), st.integers(min_value=0, max_value=2**53))
def test_cursor_round_trips(moment, row_id) -> None:
    if moment.year >= 1970:
        assert decode_cursor(encode_cursor(moment, row_id)) == (moment, row_id)


def test_rename_normalizes_title(people: People) -> None:
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("Hi"), messages.NewMessage("Hi", "t1"), limits=LIMITS
    )
    conversations.rename(turn.conversation, "  A\n better \x00 title ")
    assert conversations.get(people.alice, turn.conversation.public_id).title == "A better title"


def test_rename_rejects_empty_or_long_titles(people: People) -> None:
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("Hi"), messages.NewMessage("Hi", "t1"), limits=LIMITS
    )
    with pytest.raises(EmptyTitleError):
        conversations.rename(turn.conversation, " \u200b ")
    with pytest.raises(TitleTooLongError):
        conversations.rename(turn.conversation, "x" * 121)
    assert conversations.get(people.alice, turn.conversation.public_id).title == "Hi"


def test_destroy_deletes_all_related_rows(people: People) -> None:
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("Hi"), messages.NewMessage("Hi", "t1"), limits=LIMITS
    )
    [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
    generation_leases.heartbeat("runner", {claim.generation_id: GenerationUpdate(1, text="Hello", new_tokens=1)}, 5)
    destroy(turn.conversation)
    for model in (Conversation, Message, Generation, Chunk):
        assert db.session.scalar(select(func.count()).select_from(model)) == 0


def test_runner_loses_lease_of_deleted_conversation(people: People) -> None:
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("Hi"), messages.NewMessage("Hi", "t1"), limits=LIMITS
    )
    [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
    destroy(turn.conversation)
    assert generation_leases.list_held("runner") == {}
    lost = generation_leases.heartbeat(
        "runner", {claim.generation_id: GenerationUpdate(1, text="Hello", new_tokens=1)}, 5
    )
    assert lost == {claim.generation_id}


def test_outsider_cannot_get_conversation(people: People) -> None:
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("Hi"), messages.NewMessage("Hi", "t1"), limits=LIMITS
    )
    name = turn.conversation.public_id
    assert conversations.get(people.alice, name).title == "Hi"
    for outsider in (people.bob, AnonymousUser()):
        with pytest.raises(ConversationNotFoundError):
            conversations.get(outsider, name)
