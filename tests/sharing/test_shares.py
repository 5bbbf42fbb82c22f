"""Shares: what a visitor reads, and what they never get, whatever the owner does afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import event, func, insert, select, update

from chatsite.database import db, utcnow, write_transaction
from chatsite.errors import (
    ConversationFullError,
    ConversationNotFoundError,
    InvalidLifetimeError,
    NotFoundError,
    NothingToShareError,
    ShareAnswerRunningError,
    ShareTooLongToCopyError,
    TemporaryChatError,
    TooManyCopiesError,
    TooManySharesError,
)
from chatsite.models import AnonymousUser, Conversation, Generation, Message, Role, Share, Status, User
from chatsite.services.chat import (
    branch_copies,
    conversations,
    generation_leases,
    generations,
    message_pages,
    message_tree,
    messages,
    reruns,
)
from chatsite.services.chat.generation_update import GenerationUpdate
from chatsite.services.organize import trash
from chatsite.services.sharing import shares
from chatsite.services.throttles import Rate
from tests.conftest import LIMITS, People


def answer(text: str, status: Status = Status.DONE) -> None:
    """Have the oldest waiting question answered."""
    [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
    report = {"turns": [[0, "user", 1, True, False]], "budget": 9, "used": 1}
    done = GenerationUpdate(
        claim.attempts, text=text, new_tokens=2, prompt_report=report, status=status, finish_reason="end"
    )
    generation_leases.heartbeat("runner", {claim.generation_id: done}, 5)


def talk(user: User, *texts: str) -> Conversation:
    """A conversation of these questions, each answered with "Answer to …"."""
    turn = messages.start_conversation(
        user, messages.NewConversation(texts[0]), messages.NewMessage(texts[0]), limits=LIMITS
    )
    answer(f"Answer to {texts[0]}")
    for text in texts[1:]:
        messages.post_message(user, turn.conversation, messages.NewMessage(text), limits=LIMITS)
        answer(f"Answer to {text}")
    return turn.conversation


@contextmanager
def asked() -> Iterator[list[str]]:
    """Collects the statements that the database gets."""
    found: list[str] = []

    def receive(connection, cursor, statement, parameters, context, many) -> None:
        found.extend([statement] if statement != "BEGIN" else [])

    event.listen(db.engine, "before_cursor_execute", receive)
    try:
        yield found
    finally:
        event.remove(db.engine, "before_cursor_execute", receive)


def long_talk(user: User, length: int) -> Conversation:
    """A conversation of so many messages, stored at once."""
    with write_transaction() as session:
        made = Conversation(user_id=user.id, title="Long")
        session.add(made)
        session.flush()
        first = (session.scalar(select(func.max(Message.id))) or 0) + 1
        rows = [
            {
                "id": first + place,
                "public_id": f"long{first + place}",
                "conversation_id": made.id,
                "parent_id": first + place - 1 if place else None,
                "role": Role.ASSISTANT if place % 2 else Role.USER,
                "text": f"Message {place}",
                "is_active": True,
            }
            for place in range(length)
        ]
        for start in range(0, length, 1000):
            session.execute(insert(Message), rows[start : start + 1000])
        made.active_leaf_id = first + length - 1 if length else None
        return made


def texts(share: Share, number: int = 1) -> list[str]:
    """What a visitor reads."""
    return [line.text for line in shares.read_page(share.public_id, number).messages]


def test_shared_page_has_shown_branch(people: People) -> None:
    conversation = talk(people.alice, "One", "Two")
    share = shares.create(conversation)
    reading = shares.read_page(share.public_id)
    assert [line.role.value for line in reading.messages] == ["user", "assistant"] * 2
    assert [line.text for line in reading.messages] == ["One", "Answer to One", "Two", "Answer to Two"]
    assert (reading.title, reading.page_number, reading.page_count) == ("One", 1, 1)
    assert len(share.public_id) == 32


def test_share_is_snapshot_until_renewed(people: People) -> None:
    """Neither new messages, nor other branches, nor what became of the last answer, nor another title."""
    conversation = talk(people.alice, "One")
    turn = messages.post_message(people.alice, conversation, messages.NewMessage("Two"), limits=LIMITS)
    answer("Half", Status.STOPPED)
    share = shares.create(conversation)
    before = texts(share)
    assert before == ["One", "Answer to One", "Two", "Half"]
    reruns.queue(messages.get(people.alice, turn.answer.public_id), keep_text=True, limits=LIMITS)
    assert texts(share) == before
    answer(" and whole")
    question = messages.get(people.alice, turn.question.public_id)
    messages.edit_question(people.alice, question, messages.NewMessage("Two, otherwise"), limits=LIMITS)
    answer("Another branch")
    conversations.rename(conversation, "Renamed")
    assert texts(share) == before
    assert shares.read_page(share.public_id).title == "One"
    share = shares.refresh_snapshot(share)
    assert texts(share) == ["One", "Answer to One", "Two, otherwise", "Another branch"]
    assert shares.read_page(share.public_id).title == "Renamed"
    message_tree.show_branch(question)
    assert texts(shares.refresh_snapshot(share))[-1] == "Half and whole"


def test_share_can_end_at_message(people: People) -> None:
    conversation = talk(people.alice, "One", "Two")
    second = message_pages.page_before(conversation).messages[1]
    assert texts(shares.create(conversation, leaf=second)) == ["One", "Answer to One"]


def test_share_keeps_model_name_of_last_answer(people: People) -> None:
    conversation = talk(people.alice, "One")
    with write_transaction() as session:
        session.execute(update(Generation).values(model="gpt2"))
    share = shares.create(conversation)
    with write_transaction() as session:
        session.execute(update(Generation).values(model="other"))
    assert [line.model for line in shares.read_page(share.public_id).messages] == [None, "gpt2"]


def test_page_of_share_has_bounded_number_of_characters(people: People) -> None:
    conversation = long_talk(people.alice, 70)
    with write_transaction() as session:
        long = Message.id.in_(message_tree.ancestors(conversation.active_leaf_id, 5))
        session.execute(update(Message).where(long).values(text="'" * 400_000))
    share = shares.create(conversation)
    pages = [texts(share, number + 1) for number in range(len(share.page_end_ids))]
    assert [len(page) for page in pages] == [60, 7, 2, 1]
    assert [text for page in pages for text in page][:65] == [f"Message {place}" for place in range(65)]


def test_running_answer_cannot_be_shared(people: People) -> None:
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("One"), messages.NewMessage("One"), limits=LIMITS
    )
    with pytest.raises(ShareAnswerRunningError):
        shares.create(turn.conversation)
    question = messages.get(people.alice, turn.question.public_id)
    assert texts(shares.create(turn.conversation, leaf=question)) == ["One"]
    answer("", Status.FAILED)
    assert texts(shares.create(turn.conversation)) == ["One"]
    with pytest.raises(NothingToShareError):
        shares.create(long_talk(people.alice, 0))


def test_share_ends_on_expiry_revocation_or_trash(people: People) -> None:
    conversation = talk(people.alice, "One")
    share = shares.create(conversation, "day")
    name = share.public_id
    assert share.expires_at
    assert timedelta(hours=23) < share.expires_at - utcnow() <= timedelta(days=1)
    with write_transaction():
        share.expires_at = utcnow()
    with pytest.raises(NotFoundError):
        shares.read_page(share.public_id)
    with pytest.raises(InvalidLifetimeError):
        shares.set_lifetime(share, "forever")
    assert texts(shares.set_lifetime(share, "never"))
    undo = trash.move_to_trash(people.alice, [conversation.public_id])
    assert undo.public_id
    for gone in (lambda: shares.read_page(share.public_id), lambda: shares.get(people.alice, share.public_id)):
        with pytest.raises(NotFoundError):
            gone()
    assert not shares.list_page(people.alice).items
    trash.restore(people.alice, [conversation.public_id])
    assert texts(share)
    shares.revoke(share)
    with pytest.raises(NotFoundError):
        shares.read_page(name)
    assert db.session.scalar(select(func.count()).select_from(Share)) == 0


def test_outsider_cannot_create_or_change_share(people: People) -> None:
    conversation = talk(people.alice, "One")
    share = shares.create(conversation)
    for user in (people.bob, AnonymousUser()):
        with pytest.raises(NotFoundError):
            shares.get(user, share.public_id)
    assert not shares.list_page(people.bob).items
    stolen = Conversation(id=conversation.id, user_id=people.bob.id, public_id="x")
    with pytest.raises(ConversationNotFoundError):
        shares.create(stolen)
    with pytest.raises(NotFoundError):
        shares.create(talk(people.bob, "Mine"), leaf=message_pages.page_before(conversation).messages[1])


def test_temporary_conversation_cannot_be_shared(people: People) -> None:
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("One", is_temporary=True), messages.NewMessage("One"), limits=LIMITS
    )
    answer("Answer")
    with pytest.raises(TemporaryChatError):
        shares.create(turn.conversation)


@pytest.mark.parametrize("length", [1, 59, 60, 61, 120, 150])
def test_share_pages_contain_every_message_once(people: People, length: int) -> None:
    share = shares.create(long_talk(people.alice, length))
    count = shares.read_page(share.public_id).page_count
    found = [text for number in range(1, count + 1) for text in texts(share, number)]
    assert found == [f"Message {place}" for place in range(length)]
    for number in (0, count + 1, -1):
        with pytest.raises(NotFoundError):
            shares.read_page(share.public_id, number)


def test_share_page_cost_is_independent_of_length(people: People) -> None:
    """Counted in messages and statements."""
    costs, alice = [], people.alice
    for length in (130, 10_000):
        name = shares.create(long_talk(db.session.merge(alice), length)).public_id
        db.session.remove()
        with asked() as found:
            page = shares.read_page(name, 2)
        costs.append((len(page.messages), len(found)))
    assert costs[0] == costs[1] == (60, 3)


def test_share_list_is_paged(people: People) -> None:
    one, other = talk(people.alice, "One"), talk(people.alice, "Other")
    made = [shares.create(conversation).public_id for conversation in (one, other, one)]
    first = shares.list_page(people.alice, size=2)
    rest = shares.list_page(people.alice, before=first.next, size=2)
    assert [share.public_id for share in [*first.items, *rest.items]] == made[::-1]
    assert rest.next is None
    assert [share.public_id for share in shares.list_page(people.alice, conversation=other).items] == [made[1]]


def test_share_copy_is_independent_and_has_no_private_data(people: People) -> None:
    conversation = talk(people.alice, "One")
    turn = messages.post_message(people.alice, conversation, messages.NewMessage("Two"), limits=LIMITS)
    answer("Half", Status.STOPPED)
    with write_transaction():
        conversation.draft_text, conversation.instructions, conversation.persona = "SECRET", "SECRET", "SECRET"
        conversation.preset = "creative"
    share = shares.create(conversation)
    # An answer that is being gone on with is no work for the copy's owner.
    reruns.queue(messages.get(people.alice, turn.answer.public_id), keep_text=True, limits=LIMITS)
    made = shares.copy_for_visitor(people.bob, share.public_id, "form")
    assert shares.copy_for_visitor(people.bob, share.public_id, "form").id == made.id
    copied = message_pages.page_before(made).messages
    assert [message.text for message in copied] == ["One", "Answer to One", "Two", "Half"]
    assert [message.status for message in copied] == [Status.DONE] * 4
    assert not generations.has_answer_in_progress(made.id)
    assert (made.user_id, made.title, made.draft_text) == (people.bob.id, "One", None)
    assert (made.instructions, made.persona, made.generation_options, made.preset) == (None, None, None, None)
    for message in copied:
        if message.generation:
            assert message.generation.user_id == people.bob.id
            assert (message.generation.prompt_report, message.generation.rating, message.generation.error) == (
                None,
            ) * 3
    assert not {message.public_id for message in copied} & set(
        db.session.scalars(select(Message.public_id).where(Message.conversation_id == conversation.id))
    )
    messages.post_message(people.bob, made, messages.NewMessage("Mine"), limits=LIMITS)
    shares.revoke(share)
    assert conversations.get(people.bob, made.public_id).title == "One"
    assert texts(shares.create(made, leaf=copied[-1]))[-1] == "Half"


def test_copy_of_too_long_share_is_rejected(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    share = shares.create(long_talk(people.alice, 61))
    monkeypatch.setattr(shares, "MAX_COPIED_PAGES", 1)
    with pytest.raises(ShareTooLongToCopyError):
        shares.copy_for_visitor(people.bob, share.public_id)
    with pytest.raises(NotFoundError):
        shares.copy_for_visitor(people.bob, "x" * 32)


def test_shares_of_a_conversation_are_bounded(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "MAX_SHARES_PER_CONVERSATION", 3)
    first, second = talk(people.alice, "One"), talk(people.alice, "Two")
    made = [shares.create(first) for _ in range(3)]
    with pytest.raises(TooManySharesError, match="up to 3"):
        shares.create(first)
    assert shares.create(second)
    shares.revoke(made[0])
    assert shares.create(first)


def test_copies_of_a_user_are_bounded(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(branch_copies, "COPY_RATE", Rate(3, 3600.0))
    conversation = talk(people.alice, "One")
    share = shares.create(conversation)
    leaf = message_tree.ancestors(conversation.active_leaf_id)[0]
    for _ in range(2):
        branch_copies.fork_conversation(people.alice, messages.get_by_id(leaf))
    shares.copy_for_visitor(people.alice, share.public_id, "first")
    with pytest.raises(TooManyCopiesError):
        shares.copy_for_visitor(people.alice, share.public_id, "second")
    with pytest.raises(TooManyCopiesError):
        branch_copies.fork_conversation(people.alice, messages.get_by_id(leaf))
    # The same form again makes no copy, so it is answered as before.
    assert shares.copy_for_visitor(people.alice, share.public_id, "first")
    assert shares.copy_for_visitor(people.bob, share.public_id, "first")


def test_messages_of_a_conversation_are_bounded(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_tree, "MAX_MESSAGES", 5)
    conversation = talk(people.alice, "One", "Two")
    with pytest.raises(ConversationFullError, match="5 messages"):
        messages.post_message(people.alice, conversation, messages.NewMessage("Three"), limits=LIMITS)
    leaf = messages.get_by_id(message_tree.ancestors(conversation.active_leaf_id)[0])
    messages.regenerate_answer(people.alice, leaf, limits=LIMITS)
    answer("Another")
    with pytest.raises(ConversationFullError):
        messages.regenerate_answer(people.alice, leaf, limits=LIMITS)
