"""What is being typed and was not sent: kept as it is, and not erased by who did not see it."""

from __future__ import annotations

import pytest

from chatsite.database import db
from chatsite.errors import (
    AnswerRunningError,
    ConversationGoneError,
    DraftTooLongError,
    EmptyMessageError,
    OwnQueueFullError,
)
from chatsite.models import Conversation, User
from chatsite.services import conversations, drafts, generations, messages
from chatsite.services.generations import Limits
from tests.conftest import LIMITS, People

ODD = "\n\n  two spaces, a tab\t, a bell \x07, \u202e backwards, \U0001f600  \n"


def talk(people: People) -> Conversation:
    return messages.start(people.alice, "Hi", "t0", "Hi", LIMITS).conversation


def kept(owner: Conversation | User) -> str:
    """What the database has."""
    db.session.expire_all()
    return drafts.of(owner)


def save(owner: Conversation | User, text: str, known: str = "", token: str = "") -> str:
    return drafts.save(owner, text, known, token, 8000)


def test_what_is_typed_is_kept_as_it_is(people: People) -> None:
    for owner in (talk(people), people.alice):
        known = ""
        for text in ("H", "Hello", ODD, "x" * 8001, "x" * 16_000, ""):
            known = save(owner, text, known)
            assert kept(owner) == text
            assert known == drafts.edition(text)
    assert drafts.of(None) == ""


def test_line_ends_are_one_character_and_what_no_database_holds_is_left_out(people: People) -> None:
    save(people.alice, "one\r\ntwo\rthree\x00")
    assert kept(people.alice) == "one\ntwo\nthree"


def test_there_is_an_end_to_it_and_what_was_kept_stays(people: People) -> None:
    known = save(people.alice, "before")
    with pytest.raises(DraftTooLongError):
        save(people.alice, "x" * 16_001, known)
    assert kept(people.alice) == "before"


def test_who_types_last_wins(people: People) -> None:
    conversation = talk(people)
    here = save(conversation, "typed here")
    save(conversation, "typed there", "")
    assert kept(conversation) == "typed there"
    save(conversation, "typed here again", here)
    assert kept(conversation) == "typed here again"


@pytest.mark.parametrize("nothing", ["", " ", "\r\n"])
def test_an_empty_box_erases_only_what_its_page_knew(people: People, nothing: str) -> None:
    conversation = talk(people)
    old = save(conversation, "old")
    new = save(conversation, "typed elsewhere", old)
    for stale in ("", old, "made up"):
        assert save(conversation, nothing, stale) == stale
        assert kept(conversation) == "typed elsewhere"
    save(conversation, nothing, new)
    assert kept(conversation).strip() == ""


def test_a_post_takes_it_away_and_one_that_fails_does_not(people: People) -> None:
    turn = messages.start(people.alice, "Hi", "t0", "Hi", LIMITS)
    conversation = turn.conversation
    save(conversation, "More")
    with pytest.raises(AnswerRunningError):
        messages.post(people.alice, conversation, "More", "t1", LIMITS)
    generations.stop(turn.answer)
    for error, text, limits in (
        (EmptyMessageError, " ", LIMITS),
        (OwnQueueFullError, "More", Limits(8000, 0, 0)),
    ):
        with pytest.raises(error):
            messages.post(people.alice, conversation, text, "t1", limits)
    assert kept(conversation) == "More"
    messages.post(people.alice, conversation, "More", "t1", LIMITS)
    assert kept(conversation) == ""


def test_a_post_leaves_what_was_typed_elsewhere(people: People) -> None:
    turn = messages.start(people.alice, "Hi", "t0", "Hi", LIMITS)
    conversation = turn.conversation
    generations.stop(turn.answer)
    known = save(conversation, "Hello wor")
    save(conversation, "A long text of another device", known)
    turn = messages.post(people.alice, conversation, "Short", "t1", LIMITS, known=known)
    assert kept(conversation) == "A long text of another device"
    generations.stop(turn.answer)
    # A question in other words is no draft either.
    turn = messages.edit(people.alice, turn.question, "Shorter", "t2", LIMITS)
    assert kept(conversation) == "A long text of another device"
    generations.stop(turn.answer)
    known = save(conversation, "Typed, and", "")
    messages.post(people.alice, conversation, "changed before it was sent", "t3", LIMITS, known=known)
    assert kept(conversation) == ""


def test_what_was_sent_does_not_come_back(people: People) -> None:
    """The save of the last key may arrive after the post that took the text away."""
    save(people.alice, "Hi")
    conversation = talk(people)
    assert kept(people.alice) == kept(conversation) == ""
    save(people.alice, "Hi", token="t0")
    save(conversation, "Hi", token="t0")
    assert kept(people.alice) == kept(conversation) == ""
    save(conversation, "The next one", token="t1")
    assert kept(conversation) == "The next one"


def test_drafts_of_conversations_have_nothing_to_do_with_each_other(people: People) -> None:
    conversation = talk(people)
    save(conversation, "in there")
    save(people.alice, "not begun")
    save(people.bob, "somebody else")
    assert (kept(conversation), kept(people.alice), kept(people.bob)) == ("in there", "not begun", "somebody else")
    gone = Conversation(id=conversation.id, user_id=people.bob.id)
    with pytest.raises(ConversationGoneError):
        save(gone, "stolen")
    page = conversations.page(people.alice)
    assert "draft" not in vars(page.items[0]), "a list has no use for it"
