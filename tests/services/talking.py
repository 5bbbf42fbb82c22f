"""What people say: the part of the state machine that asks, edits, answers again, switches and forks.

The services work on a real database and `plain.py` in memory; what is always true of both is compared after each step.
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
from chatsite.services import accounts, branches, claims, conversations, messages, windows
from chatsite.services.generations import Limits
from tests.services.plain import Node, Talk, World

PEOPLE = ("alice", "bob")
WORDS = ("rain", "sea", "lámpara", "Lampara", "código", "two words", "*bold*", "<b>", "100 %")
texts = st.sampled_from(WORDS)
some = st.integers(0, 1_000_000)
# Most questions are answered before anything else happens; while one is not, nothing can be asked.
mostly = st.sampled_from([True, True, True, False])
counter = itertools.count(1)
# Nobody waits for anything here: how many may wait is tested elsewhere.
LIMITS = Limits(message_chars=8000, per_user=1000, total=10_000)


class Talking(RuleBasedStateMachine):
    """Two people and what they do. `app` is set by the test."""

    app: Flask

    def __init__(self) -> None:
        super().__init__()
        self.context = self.app.app_context()
        self.context.push()
        self.run = next(counter)
        self.world = World()
        self.clock = itertools.count(1)

    def teardown(self) -> None:
        """Leave no answer waiting for the next example, nor a session open."""
        self.finish_all(done=True)
        db.session.remove()
        self.context.pop()

    # What the rules need.

    def user(self, name: str) -> Any:
        """The user of that name in this example: each example has people of its own."""
        return accounts.find_or_create(f"{name}-{self.run}")

    def pick(self, number: int, owner: str | None = None) -> Talk | None:
        """Some conversation that is neither trashed nor another's."""
        found = [talk for talk in self.world.talks if not talk.trashed and owner in {None, talk.owner}]
        return found[number % len(found)] if found else None

    def stored(self, talk: Talk) -> Any:
        return conversations.get(self.user(talk.owner), talk.name)

    def message(self, talk: Talk, node: Node) -> Any:
        return messages.get(self.user(talk.owner), node.name)

    # The rules.

    @initialize()
    def begin(self) -> None:
        self.start("alice", "Hello")

    @rule(owner=st.sampled_from(PEOPLE), text=texts)
    def start(self, owner: str, text: str) -> None:
        turn = messages.start(self.user(owner), text, f"f{next(counter)}", text, LIMITS)
        talk = Talk(turn.conversation.public_id, owner, text, next(self.clock))
        talk.root.add(turn.question.public_id, "user", text).add(turn.answer.public_id, "assistant", "", pending=True)
        self.world.talks.append(talk)
        self.finish_all(done=True)

    @rule(number=some, text=texts, place=some, done=mostly)
    def ask(self, number: int, text: str, place: int, done: bool) -> None:
        """A question from a page that shows some message, of the chosen branch or of another one."""
        if not (talk := self.pick(number)):
            return
        seen = talk.messages[place % len(talk.messages)]
        user, stored = self.user(talk.owner), self.stored(talk)
        token = f"f{next(counter)}"
        if talk.busy:
            with pytest.raises(AnswerRunningError):
                messages.post(user, stored, text, token, LIMITS, after=seen.name)
            return
        turn = messages.post(user, stored, text, token, LIMITS, after=seen.name)
        again = messages.post(user, self.stored(talk), text, token, LIMITS, after=seen.name)
        assert again.repeated
        assert again.answer.public_id == turn.answer.public_id
        talk.choose(seen)
        end = list(seen.down())[-1]
        end.add(turn.question.public_id, "user", text).add(turn.answer.public_id, "assistant", "", pending=True)
        talk.when = next(self.clock)
        self.finish_all(done)

    @rule(number=some, text=texts, place=some, done=mostly)
    def edit(self, number: int, text: str, place: int, done: bool) -> None:
        talk = self.pick(number)
        if not talk or talk.busy:
            return
        questions = [node for node in talk.messages if node.role == "user"]
        node = questions[place % len(questions)]
        turn = messages.edit(self.user(talk.owner), self.message(talk, node), text, f"f{next(counter)}", LIMITS)
        assert node.parent
        talk.choose(node)
        version = node.parent.add(turn.question.public_id, "user", text)
        version.add(turn.answer.public_id, "assistant", "", pending=True)
        talk.when = next(self.clock)
        self.finish_all(done)

    @rule(number=some, place=some, done=mostly)
    def answer_again(self, number: int, place: int, done: bool) -> None:
        talk = self.pick(number)
        if not talk or talk.busy:
            return
        answers = [node for node in talk.messages if node.role == "assistant"]
        if not answers:
            return
        node = answers[place % len(answers)]
        made = messages.answer_again(self.user(talk.owner), self.message(talk, node), LIMITS)
        assert node.parent
        talk.choose(node.parent)
        node.parent.add(made.public_id, "assistant", "", pending=True)
        talk.when = next(self.clock)
        self.finish_all(done)

    @rule(number=some, place=some)
    def switch(self, number: int, place: int) -> None:
        if talk := self.pick(number):
            node = talk.messages[place % len(talk.messages)]
            branches.show(self.message(talk, node))
            talk.choose(node)

    @rule(number=some, place=some)
    def fork(self, number: int, place: int) -> None:
        talk = self.pick(number)
        if not talk or talk.busy:
            return
        node = talk.messages[place % len(talk.messages)]
        made = branches.copy(self.user(talk.owner), self.message(talk, node), "A copy")
        copy = Talk(made.public_id, talk.owner, "A copy", next(self.clock))
        end = copy.root
        names = [each.public_id for each in windows.until(made, size=1000).messages]
        for original, name in zip(list(node.up())[::-1], names, strict=True):
            end = end.add(name, original.role, original.text)
        self.world.talks.append(copy)

    @rule(done=st.booleans())
    def finish_all(self, done: bool) -> None:
        """The runner answers all that waits, with the texts that it was given."""
        pending = {node.name: node for talk in self.world.talks for node in talk.messages if node.pending}
        if not pending or not done:
            return
        for claim in claims.claim("runner", 100, 60, 2):
            node = next(each for each in pending.values() if self.generation_of(each) == claim.generation_id)
            seen = [(above.role, above.text) for above in list(node.up())[:0:-1] if above.text]
            assert [(turn.role, turn.text) for turn in claim.turns] == seen
            node.text, node.pending = f"Answer {next(counter)} to {seen[-1][1]}", False
            done_now = claims.Written(claim.attempt, text=node.text, tokens=2, status=Status.DONE, reason="end")
            assert claims.record("runner", {claim.generation_id: done_now}, 60) == set()

    def generation_of(self, node: Node) -> int:
        owner = next(talk.owner for talk in self.world.talks if node in talk.messages)
        return int(messages.get(self.user(owner), node.name).generation.id)  # type: ignore[union-attr]

    # What is always true.

    @invariant()
    def branches_are_what_was_chosen(self) -> None:
        for talk in self.world.talks:
            if talk.trashed:
                continue
            found = windows.until(self.stored(talk), size=1000).messages
            assert [(each.public_id, each.role.value) for each in found] == [
                (node.name, node.role) for node in talk.branch
            ]
            assert [each.text for each in found] == [node.text for node in talk.branch]

    @invariant()
    def versions_are_counted(self) -> None:
        for talk in self.world.talks:
            if talk.trashed:
                continue
            found = windows.until(self.stored(talk), size=1000).messages
            places = branches.places(found)
            for stored, node in zip(found, talk.branch, strict=True):
                assert node.parent
                count = len(node.parent.children)
                number = node.parent.children.index(node) + 1
                place = places.get(stored.id)
                assert (place.number, place.count) == (number, count) if place else count == 1

    @invariant()
    def lists_are_in_order(self) -> None:
        for owner in PEOPLE:
            page = conversations.page(self.user(owner), size=1000)
            expected = [(talk.name, talk.title) for talk in self.world.listed(owner)]
            assert [(each.public_id, each.title) for each in page.items] == expected

    @precondition(lambda self: self.world.talks)
    @invariant()
    def nobody_sees_what_is_not_theirs(self) -> None:
        talk = self.world.talks[-1]
        other = next(name for name in PEOPLE if name != talk.owner)
        assert conversations.find(self.user(other), talk.name) is None
