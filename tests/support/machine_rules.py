"""Rules of the state machine for messages: ask, edit, regenerate, switch versions and fork.

The services work on a real database, `reference_model.py` works in memory; invariants compare both after each step.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from flask import Flask
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chatsite.database import db
from chatsite.errors import AnswerRunningError
from chatsite.models import Status
from chatsite.services.accounts import users
from chatsite.services.chat import (
    branch_copies,
    conversations,
    generation_leases,
    message_pages,
    message_tree,
    messages,
)
from chatsite.services.chat.generation_update import GenerationUpdate
from chatsite.services.chat.generations import QueueLimits
from tests.support.reference_model import ModelConversation, ModelNode, ModelSite

USER_NAMES = ("alice", "bob")
TEXT_EXAMPLES = ("rain", "sea", "lámpara", "Lampara", "código", "two words", "*bold*", "<b>", "100 %")
texts = st.sampled_from(TEXT_EXAMPLES)
small_numbers = st.integers(0, 1_000_000)
# Most answers finish before the next step, because a conversation takes no question while an answer is in progress.
mostly_true = st.sampled_from([True, True, True, False])
unique_numbers = itertools.count(1)
# Other tests check the queue limits, so they must not matter here.
LIMITS = QueueLimits(max_message_chars=8000, max_queued_per_user=1000, max_queued=10_000)


class ConversationRules(RuleBasedStateMachine):
    """Two users and their actions. The test sets `app`."""

    app: Flask

    def __init__(self) -> None:
        super().__init__()
        self.app_context = self.app.app_context()
        self.app_context.push()
        self.run_number = next(unique_numbers)
        self.expected = ModelSite()
        self.clock = itertools.count(1)

    def teardown(self) -> None:
        """Finish all answers and end the database session before the next example."""
        self.finish_all(done=True)
        db.session.remove()
        self.app_context.pop()

    # Helpers of the rules.

    def get_user(self, name: str) -> Any:
        """Return the user with this name. Each example has users of its own."""
        return users.get_or_create_by_token(f"{name}-{self.run_number}")

    def find_conversation(self, number: int, owner: str | None = None) -> ModelConversation | None:
        """Return some conversation of `owner`, or of any user, that is not in the trash; None if there is none."""
        candidates = [
            talk for talk in self.expected.conversations if not talk.is_trashed and owner in {None, talk.owner}
        ]
        return candidates[number % len(candidates)] if candidates else None

    def get_stored_conversation(self, talk: ModelConversation) -> Any:
        return conversations.get(self.get_user(talk.owner), talk.public_id)

    def get_stored_message(self, talk: ModelConversation, node: ModelNode) -> Any:
        return messages.get(self.get_user(talk.owner), node.public_id)

    # The rules.

    @initialize()
    def begin_with_conversation(self) -> None:
        self.start_conversation("alice", "Hello")

    @rule(owner=st.sampled_from(USER_NAMES), text=texts)
    def start_conversation(self, owner: str, text: str) -> None:
        exchange = messages.start_conversation(
            self.get_user(owner),
            messages.NewConversation(text),
            messages.NewMessage(text, f"f{next(unique_numbers)}"),
            limits=LIMITS,
        )
        talk = ModelConversation(exchange.conversation.public_id, owner, text, next(self.clock))
        talk.root.add_child(exchange.question.public_id, "user", text).add_child(
            exchange.answer.public_id, "assistant", "", pending=True
        )
        self.expected.conversations.append(talk)
        self.finish_all(done=True)

    @rule(number=small_numbers, text=texts, place=small_numbers, done=mostly_true)
    def ask_question(self, number: int, text: str, place: int, done: bool) -> None:
        """Ask a question on a page that shows some message of the active branch or of another one."""
        if not (talk := self.find_conversation(number)):
            return
        shown_node = talk.all_messages[place % len(talk.all_messages)]
        user, stored = self.get_user(talk.owner), self.get_stored_conversation(talk)
        token = f"f{next(unique_numbers)}"
        if talk.is_busy:
            with pytest.raises(AnswerRunningError):
                messages.post_message(
                    user, stored, messages.NewMessage(text, token, parent_id=shown_node.public_id), limits=LIMITS
                )
            return
        exchange = messages.post_message(
            user, stored, messages.NewMessage(text, token, parent_id=shown_node.public_id), limits=LIMITS
        )
        repeated = messages.post_message(
            user,
            self.get_stored_conversation(talk),
            messages.NewMessage(text, token, parent_id=shown_node.public_id),
            limits=LIMITS,
        )
        assert repeated.is_duplicate
        assert repeated.answer.public_id == exchange.answer.public_id
        talk.show_branch(shown_node)
        end = list(shown_node.iter_active_branch())[-1]
        end.add_child(exchange.question.public_id, "user", text).add_child(
            exchange.answer.public_id, "assistant", "", pending=True
        )
        talk.updated_order = next(self.clock)
        self.finish_all(done)

    @rule(number=small_numbers, text=texts, place=small_numbers, done=mostly_true)
    def edit_question(self, number: int, text: str, place: int, done: bool) -> None:
        talk = self.find_conversation(number)
        if not talk or talk.is_busy:
            return
        questions = [node for node in talk.all_messages if node.role == "user"]
        node = questions[place % len(questions)]
        exchange = messages.edit_question(
            self.get_user(talk.owner),
            self.get_stored_message(talk, node),
            messages.NewMessage(text, f"f{next(unique_numbers)}"),
            limits=LIMITS,
        )
        assert node.parent
        talk.show_branch(node)
        version = node.parent.add_child(exchange.question.public_id, "user", text)
        version.add_child(exchange.answer.public_id, "assistant", "", pending=True)
        talk.updated_order = next(self.clock)
        self.finish_all(done)

    @rule(number=small_numbers, place=small_numbers, done=mostly_true)
    def answer_again(self, number: int, place: int, done: bool) -> None:
        talk = self.find_conversation(number)
        if not talk or talk.is_busy:
            return
        answers = [node for node in talk.all_messages if node.role == "assistant"]
        if not answers:
            return
        node = answers[place % len(answers)]
        new_answer = messages.regenerate_answer(
            self.get_user(talk.owner), self.get_stored_message(talk, node), limits=LIMITS
        )
        assert node.parent
        talk.show_branch(node.parent)
        node.parent.add_child(new_answer.public_id, "assistant", "", pending=True)
        talk.updated_order = next(self.clock)
        self.finish_all(done)

    @rule(number=small_numbers, place=small_numbers)
    def switch_version(self, number: int, place: int) -> None:
        if talk := self.find_conversation(number):
            node = talk.all_messages[place % len(talk.all_messages)]
            message_tree.show_branch(self.get_stored_message(talk, node))
            talk.show_branch(node)

    @rule(number=small_numbers, place=small_numbers)
    def fork_conversation(self, number: int, place: int) -> None:
        talk = self.find_conversation(number)
        if not talk or talk.is_busy:
            return
        node = talk.all_messages[place % len(talk.all_messages)]
        fork = branch_copies.copy_branch(self.get_user(talk.owner), self.get_stored_message(talk, node), "A copy")
        copy = ModelConversation(fork.public_id, talk.owner, "A copy", next(self.clock))
        end = copy.root
        names = [each.public_id for each in message_pages.page_before(fork, size=1000).messages]
        for original, name in zip(list(node.iter_ancestors())[::-1], names, strict=True):
            end = end.add_child(name, original.role, original.text)
        self.expected.conversations.append(copy)

    @rule(done=st.booleans())
    def finish_all(self, done: bool) -> None:
        """Finish all queued answers, as a runner does."""
        pending = {
            node.public_id: node
            for talk in self.expected.conversations
            for node in talk.all_messages
            if node.is_pending
        }
        if not pending or not done:
            return
        for claim in generation_leases.claim("runner", 100, 60, max_attempts=2):
            node = next(each for each in pending.values() if self.get_generation_id(each) == claim.generation_id)
            seen = [(above.role, above.text) for above in list(node.iter_ancestors())[:0:-1] if above.text]
            assert [(turn.role, turn.text) for turn in claim.messages] == seen
            node.text, node.is_pending = f"Answer {next(unique_numbers)} to {seen[-1][1]}", False
            done_now = GenerationUpdate(
                claim.attempts, text=node.text, new_tokens=2, status=Status.DONE, finish_reason="end"
            )
            assert generation_leases.heartbeat("runner", {claim.generation_id: done_now}, 60) == set()

    def get_generation_id(self, node: ModelNode) -> int:
        owner = next(talk.owner for talk in self.expected.conversations if node in talk.all_messages)
        return int(messages.get(self.get_user(owner), node.public_id).generation.id)  # type: ignore[union-attr]

    # Invariants.

    @invariant()
    def branches_are_what_was_chosen(self) -> None:
        for talk in self.expected.conversations:
            if talk.is_trashed:
                continue
            found = message_pages.page_before(self.get_stored_conversation(talk), size=1000).messages
            assert [(each.public_id, each.role.value) for each in found] == [
                (node.public_id, node.role) for node in talk.active_branch
            ]
            assert [each.text for each in found] == [node.text for node in talk.active_branch]

    @invariant()
    def versions_are_counted(self) -> None:
        for talk in self.expected.conversations:
            if talk.is_trashed:
                continue
            found = message_pages.page_before(self.get_stored_conversation(talk), size=1000).messages
            places = message_tree.version_positions(found)
            for stored, node in zip(found, talk.active_branch, strict=True):
                assert node.parent
                count = len(node.parent.children)
                number = node.parent.children.index(node) + 1
                place = places.get(stored.id)
                assert (place.number, place.count) == (number, count) if place else count == 1

    @invariant()
    def lists_are_in_order(self) -> None:
        for owner in USER_NAMES:
            page = conversations.list_page(self.get_user(owner), size=1000)
            expected = [(talk.public_id, talk.title) for talk in self.expected.list_conversations(owner)]
            assert [(each.public_id, each.title) for each in page.items] == expected

    @precondition(lambda self: self.expected.conversations)
    @invariant()
    def nobody_sees_what_is_not_theirs(self) -> None:
        talk = self.expected.conversations[-1]
        other = next(name for name in USER_NAMES if name != talk.owner)
        assert conversations.find(self.get_user(other), talk.public_id) is None
