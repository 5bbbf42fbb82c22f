"""Tags: their names and colours, what they mark, and the order of their lists."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from chatsite.database import db, now, write
from chatsite.errors import (
    ChatsiteError,
    ColorUnknownError,
    EmptyTagError,
    NotFoundError,
    TagTakenError,
    TagTooLongError,
    TooManyTagsError,
)
from chatsite.models import Conversation, ConversationTag, Message
from chatsite.models.tag import TAG_CHARS
from chatsite.services import accounts, branches, conversations, generations, messages, tags
from tests.conftest import LIMITS, People


def start(people: People, text: str = "Hi") -> Conversation:
    """A conversation of Alice's that waits for nothing."""
    turn = messages.start(people.alice, text, text, text, LIMITS)
    generations.stop(turn.answer)
    return turn.conversation


def names(people: People, conversation: Conversation) -> list[str]:
    """The tags of a conversation."""
    return [tag.name for tag in tags.of([conversation]).get(conversation.id, [])]


@pytest.mark.parametrize(
    ("one", "other"), [("Café", "cafe"), ("AÑO", "ano"), ("Straße", "STRASSE"), ("ﬁn", "fin"), ("#Work", " work ")]
)
def test_accents_and_capitals_make_no_other_tag(people: People, one: str, other: str) -> None:
    first = tags.create(people.alice, one)
    assert tags.create(people.alice, other).id == first.id
    assert tags.create(people.bob, other).id != first.id


@given(st.text())
def test_a_key_is_stable_and_fits(name: str) -> None:
    found = tags.key(name)
    assert len(found) <= TAG_CHARS
    assert tags.key(found) == found


def test_what_is_no_tag_is_refused(people: People) -> None:
    conversation = start(people)
    for wrong in ("", "  ", "#", "\u0301"):
        with pytest.raises(EmptyTagError):
            tags.create(people.alice, wrong)
    with pytest.raises(TagTooLongError):
        tags.create(people.alice, "x" * (TAG_CHARS + 1))
    with pytest.raises(ColorUnknownError):
        tags.create(people.alice, "x", "beige")
    with pytest.raises(TagTooLongError):
        tags.choose(people.alice, conversation, [], "x" * (TAG_CHARS + 1))
    assert not tags.index(people.alice)


def test_new_tags_take_the_colours_in_turn_and_there_is_an_end_of_them(people: People) -> None:
    made = [tags.create(people.alice, f"Tag {number}") for number in range(tags.MOST_TAGS)]
    assert {tag.color for tag in made[:7]} == set(tags.COLORS[1:])
    with pytest.raises(TooManyTagsError):
        tags.create(people.alice, "One more")
    assert tags.create(people.alice, "tag 5").id == made[5].id


def test_a_conversation_has_just_the_tags_that_are_chosen(people: People) -> None:
    conversation = start(people)
    work, home = tags.create(people.alice, "Work"), tags.create(people.alice, "Home")
    tags.choose(people.alice, conversation, [work.public_id, home.public_id], "")
    assert names(people, conversation) == ["Home", "Work"]
    tags.choose(people.alice, conversation, [work.public_id], "Añil")
    assert names(people, conversation) == ["Añil", "Work"]
    tags.choose(people.alice, conversation, [])
    assert names(people, conversation) == []


def test_tags_of_others_cannot_be_used(people: People) -> None:
    conversation = start(people)
    theirs = tags.create(people.bob, "Bob's")
    with pytest.raises(NotFoundError):
        tags.choose(people.alice, conversation, [theirs.public_id])
    with pytest.raises(NotFoundError):
        tags.choose(people.bob, conversation, [theirs.public_id])
    for user in (people.alice, None):
        with pytest.raises(NotFoundError):
            tags.get(user, theirs.public_id)


def test_a_tag_that_is_changed_is_the_same_tag(people: People) -> None:
    conversation = start(people)
    tags.choose(people.alice, conversation, [], "Work")
    [tag] = tags.index(people.alice)
    tags.create(people.alice, "Home")
    with pytest.raises(TagTakenError):
        tags.edit(tag, "hóme", "red")
    tags.edit(tag, "WÖRK", "red")
    assert names(people, conversation) == ["WÖRK"]
    tags.destroy(tag)
    assert names(people, conversation) == []
    with pytest.raises(NotFoundError):
        tags.destroy(tag)


def test_the_list_of_a_tag_is_in_the_order_of_the_conversations(people: People) -> None:
    made = [start(people, f"Number {number}") for number in range(7)]
    tag = tags.create(people.alice, "Work")
    tags.mark(people.alice, [row.public_id for row in made[:6]], tag)
    conversations.archive(people.alice, [made[5].public_id])
    for row in (made[3], made[1]):
        turn = messages.post(people.alice, row, "More", f"more {row.id}", LIMITS)
        generations.stop(turn.answer)
    generations.stop(messages.answer_again(people.alice, answer(made[0]), LIMITS))
    seen, before = [], None
    while not seen or before:
        page = conversations.tagged(people.alice, tag, before, size=2)
        seen += [row.title for row in page.items]
        before = page.next
    assert seen == ["Number 0", "Number 1", "Number 3", "Number 4", "Number 2"]
    everywhere = select(ConversationTag.updated_at, Conversation.updated_at).join(
        Conversation, Conversation.id == ConversationTag.conversation_id
    )
    assert all(one == other for one, other in db.session.execute(everywhere))


def answer(conversation: Conversation) -> Message:
    """The last answer of a conversation."""
    return db.session.get_one(Message, branches.tip(conversation.leaf_id or 0))


def test_the_tags_of_two_identities_become_one(people: People) -> None:
    mine = start(people)
    tags.choose(people.alice, mine, [], "Work")
    both = messages.start(people.bob, "Both", "b", "Both", LIMITS).conversation
    tags.choose(people.bob, both, [], "wórk")
    tags.choose(people.bob, both, [tag.public_id for tag in tags.index(people.bob)], "Home")
    both_id, mine_id = both.id, mine.id
    with write() as session:
        for row_id in (both_id, mine_id):
            session.get_one(Conversation, row_id).origin = "chatgpt:1"
    accounts.join(people.bob, people.alice)
    assert [tag.name for tag in tags.index(people.alice)] == ["Home", "Work"]
    assert names(people, db.session.get_one(Conversation, both_id)) == ["Home", "Work"]
    assert names(people, db.session.get_one(Conversation, mine_id)) == ["Work"]
    assert db.session.get_one(Conversation, mine_id).origin == "chatgpt:1"
    assert db.session.get_one(Conversation, both_id).origin is None


def test_a_moment_of_the_past_moves_a_conversation_there(people: People) -> None:
    old, new = start(people, "Old"), start(people, "New")
    with write():
        conversations.touch(conversations.lock(new.id, people.alice.id), now() - timedelta(days=2))
    assert [row.title for row in conversations.page(people.alice).items] == ["Old", "New"]
    with pytest.raises(ChatsiteError):
        conversations.page(people.alice, old.public_id)
