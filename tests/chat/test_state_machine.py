"""Whatever people do with their conversations, in whatever order: the services say what plain memory says.

A Hypothesis state machine drives the services on a real database and a model in memory (`plain.py`) side by side. What
is said is in `talking.py`; here conversations are kept in order, shared, sought, taken out and brought in.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence

import pytest
from flask import Flask
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from chatsite.database import db
from chatsite.errors import ConversationNotFoundError, NotFoundError, UndoExpiredError
from chatsite.models import ImportState
from chatsite.runner import import_worker
from chatsite.services import undo
from chatsite.services.chat import conversations, message_pages
from chatsite.services.organize import trash
from chatsite.services.search import search
from chatsite.services.sharing import shares
from chatsite.services.transfer import imports
from chatsite.services.transfer.exports import export_json
from tests.support.machine_rules import USER_NAMES, ConversationRules, small_numbers, texts
from tests.support.reference_model import ModelConversation, ModelUndo

SOUGHT = {"rain": "rain", "sea": "sea", "lampara": "lampara", "CÓDIGO": "codigo"}
SPELT = {"lámpara": "lampara", "Lampara": "lampara", "código": "codigo"}
PLACES = ("pinned", "archived", "trashed")
# What the reference model calls them; "title" is only undone.
MODEL_FIELDS = {"pinned": "is_pinned", "archived": "is_archived", "trashed": "is_trashed", "title": "title"}


class Machine(ConversationRules):
    """Two people who keep what they said in order."""

    def note(self, undo: object, talks: Sequence[ModelConversation], field: str) -> None:
        """Remember how a field was before a change, as the service does; call it before the model changes."""
        before = [(talk, field, getattr(talk, MODEL_FIELDS[field])) for talk in talks]
        self.expected.undos.append(ModelUndo(undo.public_id, talks[0].owner, before))  # type: ignore[attr-defined]

    @rule(number=small_numbers, title=texts)
    def rename(self, number: int, title: str) -> None:
        if talk := self.find_conversation(number):
            self.note(conversations.rename(self.get_stored_conversation(talk), title), [talk], "title")
            talk.title = title

    @rule(
        owner=st.sampled_from(USER_NAMES),
        chosen=st.lists(small_numbers, min_size=1, max_size=3),
        on=st.booleans(),
        field=st.sampled_from(PLACES),
    )
    def put_in_order(self, owner: str, chosen: list[int], on: bool, field: str) -> None:
        """Pin, archive, throw away or take back one conversation or several at once."""
        kept = [talk for talk in self.expected.conversations if talk.owner == owner]
        in_question = [talk for talk in kept if talk.is_trashed == (field == "trashed" and not on)]
        talks = (
            list({id(talk): talk for number in chosen for talk in [in_question[number % len(in_question)]]}.values())
            if in_question
            else []
        )
        if not talks:
            return
        names = [talk.public_id for talk in talks]
        user = self.get_user(owner)
        if field == "trashed":
            undo = trash.move_to_trash(user, names) if on else trash.restore(user, names)
        else:
            undo = (conversations.set_pinned if field == "pinned" else conversations.set_archived)(user, names, on)
        self.note(undo, talks, field)
        for talk in talks:
            setattr(talk, MODEL_FIELDS[field], on)
            if field == "trashed" and on:
                talk.stop_answers()

    @rule(number=small_numbers)
    def undo(self, number: int) -> None:
        """Any change is undone once, by whoever made it, in whatever order."""
        if not self.expected.undos:
            return
        undone = self.expected.undos[number % len(self.expected.undos)]
        stranger = next(name for name in USER_NAMES if name != undone.owner)
        with pytest.raises(NotFoundError):
            undo.undo_change(self.get_user(stranger), undone.name)
        here = [entry for entry in undone.previous_values if entry[0] in self.expected.conversations]
        if undone.is_used or not here:
            with pytest.raises(UndoExpiredError):
                undo.undo_change(self.get_user(undone.owner), undone.name)
            return
        undo.undo_change(self.get_user(undone.owner), undone.name)
        for talk, field, value in here:
            setattr(talk, MODEL_FIELDS[field], value)
        undone.is_used = True

    @rule(owner=st.sampled_from(USER_NAMES))
    def empty_the_trash(self, owner: str) -> None:
        trash.empty(self.get_user(owner))
        gone = [talk for talk in self.expected.conversations if talk.owner == owner and talk.is_trashed]
        self.expected.conversations = [talk for talk in self.expected.conversations if talk not in gone]
        self.expected.shares = [share for share in self.expected.shares if share[1] not in gone]
        # What was renamed could be renamed back, which would tell the titles of what is gone.
        self.expected.undos = [
            each for each in self.expected.undos if each.owner != owner or each.previous_values[0][1] != "title"
        ]

    @rule(number=small_numbers)
    def share(self, number: int) -> None:
        talk = self.find_conversation(number)
        if not talk or talk.is_busy:
            return
        made = shares.create(self.get_stored_conversation(talk))
        branch = talk.active_branch if talk.active_branch[-1].text else talk.active_branch[:-1]
        self.expected.shares.append((made.public_id, talk, [(node.role, node.text) for node in branch]))

    @rule(number=small_numbers)
    def revoke(self, number: int) -> None:
        if self.expected.shares:
            name, talk, _ = self.expected.shares.pop(number % len(self.expected.shares))
            if not talk.is_trashed:
                shares.revoke(shares.get(self.get_user(talk.owner), name))
                with pytest.raises(NotFoundError):
                    shares.read_page(name)

    @rule(number=small_numbers)
    def copy_a_share(self, number: int) -> None:
        """A stranger goes on with what was shared, in a conversation of their own."""
        found = [share for share in self.expected.shares if not share[1].is_trashed]
        if not found:
            return
        name, talk, lines = found[number % len(found)]
        stranger = next(each for each in USER_NAMES if each != talk.owner)
        made = shares.copy_for_visitor(self.get_user(stranger), name)
        copy = ModelConversation(made.public_id, stranger, made.title, next(self.clock))
        end = copy.root
        rows = message_pages.page_before(made, size=1000).messages
        for (role, text), row in zip(lines, rows, strict=True):
            end = end.add_child(row.public_id, role, text)
        self.expected.conversations.append(copy)

    @rule(owner=st.sampled_from(USER_NAMES))
    def take_out_and_bring_in(self, owner: str) -> None:
        """What one takes out and brings in again changes nothing."""
        kept = [talk for talk in self.expected.conversations if talk.owner == owner and not talk.is_trashed]
        if not kept:
            return
        user_id = self.get_user(owner).id
        before = "".join(export_json.export(user_id))
        file = io.BytesIO(before.encode())
        made = imports.upload(self.get_user(owner), "export.json", file.read, max_bytes=10**9)
        import_worker.run_imports(self.app.config, threading.Event())
        done = imports.get(self.get_user(owner), made.public_id)
        assert (done.state, done.imported_count, done.duplicate_count) == (ImportState.DONE, 0, len(kept))
        assert "".join(export_json.export(user_id)) == before

    @invariant()
    def what_is_sought_is_found(self) -> None:
        """Of all branches, and of nobody else, and nothing of what lies in the trash."""
        for owner in USER_NAMES:
            nodes = [
                node
                for talk in self.expected.conversations
                if talk.owner == owner and not talk.is_trashed
                for node in talk.all_messages
            ]
            for typed, word in SOUGHT.items():
                expected = {node.public_id for node in nodes if word in words(node.text)}
                found = search.search(self.get_user(owner), typed, search.SearchOptions(size=1000))
                assert {message.public_id for message in found.messages} == expected

    @invariant()
    def shares_show_what_was_shared(self) -> None:
        for name, talk, lines in self.expected.shares:
            if talk.is_trashed:
                with pytest.raises(NotFoundError):
                    shares.read_page(name)
            else:
                assert [(line.role.value, line.text) for line in shares.read_page(name).messages] == lines

    @invariant()
    def the_trash_holds_what_was_thrown_away(self) -> None:
        for owner in USER_NAMES:
            expected = {
                talk.public_id for talk in self.expected.conversations if talk.owner == owner and talk.is_trashed
            }
            page = trash.list_page(self.get_user(owner), size=1000)
            assert {each.public_id for each in page.items} == expected
            for name in expected:
                with pytest.raises(ConversationNotFoundError):
                    conversations.get(self.get_user(owner), name)


def words(text: str) -> set[str]:
    """The words of one of our texts, as they are sought."""
    return {SPELT.get(word, word) for word in text.split()}


# Few examples do not see that a switch or an undo does nothing; the other database needs no more eyes.
EXAMPLES = [
    pytest.param({"sqlite": 5, "postgresql": 2}, id="some"),
    pytest.param({"sqlite": 40, "postgresql": 8}, id="many", marks=pytest.mark.exhaustive),
]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("count", EXAMPLES)
def test_services_match_reference_model(any_app: Flask, count: dict[str, int]) -> None:
    with any_app.app_context():
        examples = count[db.engine.dialect.name]
    machine = type("Bound", (Machine,), {"app": any_app})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
