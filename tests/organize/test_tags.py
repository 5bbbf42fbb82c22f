"""Tags: their names and colours, what they mark, and the order of their lists."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from chatsite.database import db, utcnow, write_transaction
from chatsite.errors import (
    ChatsiteError,
    EmptyTagError,
    InvalidColorError,
    NotFoundError,
    TagAlreadyExistsError,
    TagTooLongError,
    TooManyTagsError,
)
from chatsite.models import AnonymousUser, Conversation, ConversationTag, Message
from chatsite.models.tag import MAX_TAG_CHARS
from chatsite.services.chat import conversations, generations, message_tree, messages
from chatsite.services.organize import tags
from chatsite.services.transfer import user_merge
from tests.conftest import LIMITS, People


def start(people: People, text: str = "Hi") -> Conversation:
    """A conversation of Alice's that waits for nothing."""
    turn = messages.start_conversation(
        people.alice, messages.NewConversation(text), messages.NewMessage(text, text), limits=LIMITS
    )
    generations.stop(turn.answer)
    return turn.conversation


def names(people: People, conversation: Conversation) -> list[str]:
    """The tags of a conversation."""
    return [tag.name for tag in tags.group_by_conversation([conversation]).get(conversation.id, [])]


@pytest.mark.parametrize(
    ("one", "other"), [("Café", "cafe"), ("AÑO", "ano"), ("Straße", "STRASSE"), ("ﬁn", "fin"), ("#Work", " work ")]
)
def test_tag_names_ignore_case_and_accents(people: People, one: str, other: str) -> None:
    first = tags.create(people.alice, one)
    assert tags.create(people.alice, other).id == first.id
    assert tags.create(people.bob, other).id != first.id


@given(st.text())
def test_tag_key_is_stable_and_bounded(name: str) -> None:
    found = tags.normalize_name(name)
    assert len(found) <= MAX_TAG_CHARS
    assert tags.normalize_name(found) == found


def test_invalid_tag_is_rejected(people: People) -> None:
    conversation = start(people)
    for wrong in ("", "  ", "#", "\u0301"):
        with pytest.raises(EmptyTagError):
            tags.create(people.alice, wrong)
    with pytest.raises(TagTooLongError):
        tags.create(people.alice, "x" * (MAX_TAG_CHARS + 1))
    with pytest.raises(InvalidColorError):
        tags.create(people.alice, "x", "beige")
    with pytest.raises(TagTooLongError):
        tags.set_tags(people.alice, conversation, [], new_name="x" * (MAX_TAG_CHARS + 1))
    assert not tags.list_for(people.alice)


def test_new_tags_rotate_colors_and_count_is_limited(people: People) -> None:
    made = [tags.create(people.alice, f"Tag {number}") for number in range(tags.MAX_TAGS)]
    assert {tag.color for tag in made[:7]} == set(tags.COLORS[1:])
    with pytest.raises(TooManyTagsError):
        tags.create(people.alice, "One more")
    assert tags.create(people.alice, "tag 5").id == made[5].id


def test_setting_tags_replaces_previous_tags(people: People) -> None:
    conversation = start(people)
    work, home = tags.create(people.alice, "Work"), tags.create(people.alice, "Home")
    tags.set_tags(people.alice, conversation, [work.public_id, home.public_id], new_name="")
    assert names(people, conversation) == ["Home", "Work"]
    tags.set_tags(people.alice, conversation, [work.public_id], new_name="Añil")
    assert names(people, conversation) == ["Añil", "Work"]
    tags.set_tags(people.alice, conversation, [])
    assert names(people, conversation) == []


def test_other_users_tags_cannot_be_used(people: People) -> None:
    conversation = start(people)
    theirs = tags.create(people.bob, "Bob's")
    with pytest.raises(NotFoundError):
        tags.set_tags(people.alice, conversation, [theirs.public_id])
    with pytest.raises(NotFoundError):
        tags.set_tags(people.bob, conversation, [theirs.public_id])
    for user in (people.alice, AnonymousUser()):
        with pytest.raises(NotFoundError):
            tags.get(user, theirs.public_id)


def test_tag_can_be_renamed_and_deleted(people: People) -> None:
    conversation = start(people)
    tags.set_tags(people.alice, conversation, [], new_name="Work")
    [tag] = tags.list_for(people.alice)
    tags.create(people.alice, "Home")
    with pytest.raises(TagAlreadyExistsError):
        tags.update(tag, "hóme", "red")
    tags.update(tag, "WÖRK", "red")
    assert names(people, conversation) == ["WÖRK"]
    tags.delete_tag(tag)
    assert names(people, conversation) == []
    with pytest.raises(NotFoundError):
        tags.delete_tag(tag)


def test_tagged_list_is_ordered_by_last_update(people: People) -> None:
    made = [start(people, f"Number {number}") for number in range(7)]
    tag = tags.create(people.alice, "Work")
    tags.set_tag(people.alice, [row.public_id for row in made[:6]], tag)
    conversations.set_archived(people.alice, [made[5].public_id])
    for row in (made[3], made[1]):
        turn = messages.post_message(people.alice, row, messages.NewMessage("More", f"more {row.id}"), limits=LIMITS)
        generations.stop(turn.answer)
    generations.stop(messages.regenerate_answer(people.alice, answer(made[0]), limits=LIMITS))
    seen: list[str] = []
    before = None
    while not seen or before:
        page = conversations.list_tagged(people.alice, tag, before, size=2)
        seen += [row.title for row in page.items]
        before = page.next
    assert seen == ["Number 0", "Number 1", "Number 3", "Number 4", "Number 2"]
    everywhere = select(ConversationTag.updated_at, Conversation.updated_at).join(
        Conversation, Conversation.id == ConversationTag.conversation_id
    )
    assert all(one == other for one, other in db.session.execute(everywhere))


def answer(conversation: Conversation) -> Message:
    """The last answer of a conversation."""
    return db.session.get_one(Message, message_tree.get_leaf_id(conversation.active_leaf_id or 0))


def test_merge_combines_tags_of_both_users(people: People) -> None:
    mine = start(people)
    tags.set_tags(people.alice, mine, [], new_name="Work")
    both = messages.start_conversation(
        people.bob, messages.NewConversation("Both"), messages.NewMessage("Both", "b"), limits=LIMITS
    ).conversation
    tags.set_tags(people.bob, both, [], new_name="wórk")
    tags.set_tags(people.bob, both, [tag.public_id for tag in tags.list_for(people.bob)], new_name="Home")
    both_id, mine_id = both.id, mine.id
    with write_transaction() as session:
        for row_id in (both_id, mine_id):
            session.get_one(Conversation, row_id).import_source_id = "chatgpt:1"
    user_merge.merge_users(people.bob, people.alice)
    assert [tag.name for tag in tags.list_for(people.alice)] == ["Home", "Work"]
    assert names(people, db.session.get_one(Conversation, both_id)) == ["Home", "Work"]
    assert names(people, db.session.get_one(Conversation, mine_id)) == ["Work"]
    assert db.session.get_one(Conversation, mine_id).import_source_id == "chatgpt:1"
    assert db.session.get_one(Conversation, both_id).import_source_id is None


def test_touch_with_past_date_reorders_conversation(people: People) -> None:
    old, new = start(people, "Old"), start(people, "New")
    with write_transaction() as tx:
        conversations.touch(tx, conversations.lock(tx, new.id, people.alice.id), utcnow() - timedelta(days=2))
    assert [row.title for row in conversations.list_page(people.alice).items] == ["Old", "New"]
    with pytest.raises(ChatsiteError):
        conversations.list_page(people.alice, old.public_id)
