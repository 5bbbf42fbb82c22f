"""What is being typed and was not sent: kept as it is, and not erased by who did not see it."""

from __future__ import annotations

import pytest

from chatsite.database import db
from chatsite.errors import (
    AnswerRunningError,
    ConversationNotFoundError,
    DraftTooLongError,
    EmptyMessageError,
    UserQueueFullError,
)
from chatsite.models import AnonymousUser, Conversation, User
from chatsite.services.chat import conversations, drafts, generations, messages
from chatsite.services.chat.generations import QueueLimits
from tests.conftest import LIMITS, People

ODD = "\n\n  two spaces, a tab\t, a bell \x07, \u202e backwards, \U0001f600  \n"


def talk(people: People) -> Conversation:
    return messages.start_conversation(
        people.alice, messages.NewConversation("Hi"), messages.NewMessage("Hi", "t0"), limits=LIMITS
    ).conversation


def kept(owner: Conversation | User) -> str:
    """What the database has."""
    db.session.expire_all()
    return drafts.get_text(owner)


def save(owner: Conversation | User, text: str, known: str = "", token: str = "") -> str:
    return drafts.save(owner, text, known, idempotency_key=token, max_message_chars=8000)


def test_draft_is_stored_verbatim(people: People) -> None:
    for owner in (talk(people), people.alice):
        known = ""
        for text in ("H", "Hello", ODD, "x" * 8001, "x" * 16_000, ""):
            known = save(owner, text, known)
            assert kept(owner) == text
            assert known == drafts.fingerprint(text)
    assert drafts.get_text(AnonymousUser()) == ""


def test_draft_normalizes_newlines_and_drops_null_characters(people: People) -> None:
    save(people.alice, "one\r\ntwo\rthree\x00")
    assert kept(people.alice) == "one\ntwo\nthree"


def test_too_long_draft_is_rejected_and_previous_kept(people: People) -> None:
    known = save(people.alice, "before")
    with pytest.raises(DraftTooLongError):
        save(people.alice, "x" * 16_001, known)
    assert kept(people.alice) == "before"


def test_last_saved_draft_wins(people: People) -> None:
    conversation = talk(people)
    here = save(conversation, "typed here")
    save(conversation, "typed there", "")
    assert kept(conversation) == "typed there"
    save(conversation, "typed here again", here)
    assert kept(conversation) == "typed here again"


@pytest.mark.parametrize("nothing", ["", " ", "\r\n"])
def test_empty_draft_erases_only_the_known_version(people: People, nothing: str) -> None:
    conversation = talk(people)
    old = save(conversation, "old")
    new = save(conversation, "typed elsewhere", old)
    for stale in ("", old, "made up"):
        assert save(conversation, nothing, stale) == stale
        assert kept(conversation) == "typed elsewhere"
    save(conversation, nothing, new)
    assert kept(conversation).strip() == ""


def test_draft_cleared_only_after_successful_post(people: People) -> None:
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("Hi"), messages.NewMessage("Hi", "t0"), limits=LIMITS
    )
    conversation = turn.conversation
    save(conversation, "More")
    with pytest.raises(AnswerRunningError):
        messages.post_message(people.alice, conversation, messages.NewMessage("More", "t1"), limits=LIMITS)
    generations.stop(turn.answer)
    for error, text, limits in (
        (EmptyMessageError, " ", LIMITS),
        (UserQueueFullError, "More", QueueLimits(8000, 0, 0)),
    ):
        with pytest.raises(error):
            messages.post_message(people.alice, conversation, messages.NewMessage(text, "t1"), limits=limits)
    assert kept(conversation) == "More"
    messages.post_message(people.alice, conversation, messages.NewMessage("More", "t1"), limits=LIMITS)
    assert kept(conversation) == ""


def test_post_keeps_draft_from_other_device(people: People) -> None:
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("Hi"), messages.NewMessage("Hi", "t0"), limits=LIMITS
    )
    conversation = turn.conversation
    generations.stop(turn.answer)
    known = save(conversation, "Hello wor")
    save(conversation, "A long text of another device", known)
    turn = messages.post_message(
        people.alice, conversation, messages.NewMessage("Short", "t1", draft_version=known), limits=LIMITS
    )
    assert kept(conversation) == "A long text of another device"
    generations.stop(turn.answer)
    # A question in other words is no draft either.
    turn = messages.edit_question(people.alice, turn.question, messages.NewMessage("Shorter", "t2"), limits=LIMITS)
    assert kept(conversation) == "A long text of another device"
    generations.stop(turn.answer)
    known = save(conversation, "Typed, and", "")
    messages.post_message(
        people.alice,
        conversation,
        messages.NewMessage("changed before it was sent", "t3", draft_version=known),
        limits=LIMITS,
    )
    assert kept(conversation) == ""


def test_late_save_does_not_restore_sent_draft(people: People) -> None:
    """The save of the last key may arrive after the post that took the text away."""
    save(people.alice, "Hi")
    conversation = talk(people)
    assert kept(people.alice) == kept(conversation) == ""
    save(people.alice, "Hi", token="t0")
    save(conversation, "Hi", token="t0")
    assert kept(people.alice) == kept(conversation) == ""
    save(conversation, "The next one", token="t1")
    assert kept(conversation) == "The next one"


def test_drafts_of_conversations_and_users_are_separate(people: People) -> None:
    conversation = talk(people)
    save(conversation, "in there")
    save(people.alice, "not begun")
    save(people.bob, "somebody else")
    assert (kept(conversation), kept(people.alice), kept(people.bob)) == ("in there", "not begun", "somebody else")
    gone = Conversation(id=conversation.id, user_id=people.bob.id)
    with pytest.raises(ConversationNotFoundError):
        save(gone, "stolen")
    page = conversations.list_page(people.alice)
    assert "draft" not in vars(page.items[0]), "a list has no use for it"
