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
from chatsite.errors import ConversationGoneError, NotFoundError, UndoGoneError
from chatsite.models import ImportState
from chatsite.runner import bringing
from chatsite.services import conversations, imports, search, shares, trash, undos, windows
from chatsite.services.transfer import writing
from tests.services.plain import Talk, Undone
from tests.services.talking import PEOPLE, Talking, some, texts

SOUGHT = {"rain": "rain", "sea": "sea", "lampara": "lampara", "CÓDIGO": "codigo"}
SPELT = {"lámpara": "lampara", "Lampara": "lampara", "código": "codigo"}
PLACES = ("pinned", "archived", "trashed")


class Machine(Talking):
    """Two people who keep what they said in order."""

    def note(self, undo: object, talks: Sequence[Talk], field: str) -> None:
        """Remember how a field was before a change, as the service does; call it before the model changes."""
        before = [(talk, field, getattr(talk, field)) for talk in talks]
        self.world.undos.append(Undone(undo.public_id, talks[0].owner, before))  # type: ignore[attr-defined]

    @rule(number=some, title=texts)
    def rename(self, number: int, title: str) -> None:
        if talk := self.pick(number):
            self.note(conversations.rename(self.stored(talk), title), [talk], "title")
            talk.title = title

    @rule(
        owner=st.sampled_from(PEOPLE),
        chosen=st.lists(some, min_size=1, max_size=3),
        on=st.booleans(),
        field=st.sampled_from(PLACES),
    )
    def put_in_order(self, owner: str, chosen: list[int], on: bool, field: str) -> None:
        """Pin, archive, throw away or take back one conversation or several at once."""
        kept = [talk for talk in self.world.talks if talk.owner == owner]
        in_question = [talk for talk in kept if talk.trashed == (field == "trashed" and not on)]
        talks = (
            list({id(talk): talk for number in chosen for talk in [in_question[number % len(in_question)]]}.values())
            if in_question
            else []
        )
        if not talks:
            return
        names = [talk.name for talk in talks]
        user = self.user(owner)
        if field == "trashed":
            undo = trash.throw(user, names) if on else trash.restore(user, names)
        else:
            undo = (conversations.pin if field == "pinned" else conversations.archive)(user, names, on)
        self.note(undo, talks, field)
        for talk in talks:
            setattr(talk, field, on)
            if field == "trashed" and on:
                talk.stop()

    @rule(number=some)
    def undo(self, number: int) -> None:
        """Any change is undone once, by whoever made it, in whatever order."""
        if not self.world.undos:
            return
        undone = self.world.undos[number % len(self.world.undos)]
        stranger = next(name for name in PEOPLE if name != undone.owner)
        with pytest.raises(NotFoundError):
            undos.undo(self.user(stranger), undone.name)
        here = [entry for entry in undone.before if entry[0] in self.world.talks]
        if undone.done or not here:
            with pytest.raises(UndoGoneError):
                undos.undo(self.user(undone.owner), undone.name)
            return
        undos.undo(self.user(undone.owner), undone.name)
        for talk, field, value in here:
            setattr(talk, field, value)
        undone.done = True

    @rule(owner=st.sampled_from(PEOPLE))
    def empty_the_trash(self, owner: str) -> None:
        trash.empty(self.user(owner))
        gone = [talk for talk in self.world.talks if talk.owner == owner and talk.trashed]
        self.world.talks = [talk for talk in self.world.talks if talk not in gone]
        self.world.shares = [share for share in self.world.shares if share[1] not in gone]
        # What was renamed could be renamed back, which would tell the titles of what is gone.
        self.world.undos = [each for each in self.world.undos if each.owner != owner or each.before[0][1] != "title"]

    @rule(number=some)
    def share(self, number: int) -> None:
        talk = self.pick(number)
        if not talk or talk.busy:
            return
        made = shares.create(self.stored(talk))
        branch = talk.branch if talk.branch[-1].text else talk.branch[:-1]
        self.world.shares.append((made.public_id, talk, [(node.role, node.text) for node in branch]))

    @rule(number=some)
    def revoke(self, number: int) -> None:
        if self.world.shares:
            name, talk, _ = self.world.shares.pop(number % len(self.world.shares))
            if not talk.trashed:
                shares.revoke(shares.get(self.user(talk.owner), name))
                with pytest.raises(NotFoundError):
                    shares.read(name)

    @rule(number=some)
    def copy_a_share(self, number: int) -> None:
        """A stranger goes on with what was shared, in a conversation of their own."""
        found = [share for share in self.world.shares if not share[1].trashed]
        if not found:
            return
        name, talk, lines = found[number % len(found)]
        stranger = next(each for each in PEOPLE if each != talk.owner)
        made = shares.copy(self.user(stranger), name)
        copy = Talk(made.public_id, stranger, made.title, next(self.clock))
        end = copy.root
        rows = windows.until(made, size=1000).messages
        for (role, text), row in zip(lines, rows, strict=True):
            end = end.add(row.public_id, role, text)
        self.world.talks.append(copy)

    @rule(owner=st.sampled_from(PEOPLE))
    def take_out_and_bring_in(self, owner: str) -> None:
        """What one takes out and brings in again changes nothing."""
        kept = [talk for talk in self.world.talks if talk.owner == owner and not talk.trashed]
        if not kept:
            return
        user_id = self.user(owner).id
        before = "".join(writing.export(user_id))
        file = io.BytesIO(before.encode())
        made = imports.receive(self.user(owner), "export.json", file.read, 10**9)
        bringing.work(self.app.config, threading.Event())
        done = imports.find(self.user(owner), made.public_id)
        assert (done.state, done.imported, done.present) == (ImportState.DONE, 0, len(kept))
        assert "".join(writing.export(user_id)) == before

    @invariant()
    def what_is_sought_is_found(self) -> None:
        """Of all branches, and of nobody else, and nothing of what lies in the trash."""
        for owner in PEOPLE:
            nodes = [
                node for talk in self.world.talks if talk.owner == owner and not talk.trashed for node in talk.messages
            ]
            for typed, word in SOUGHT.items():
                expected = {node.name for node in nodes if word in words(node.text)}
                found = search.find(self.user(owner), typed, size=1000)
                assert {message.public_id for message in found.messages} == expected

    @invariant()
    def shares_show_what_was_shared(self) -> None:
        for name, talk, lines in self.world.shares:
            if talk.trashed:
                with pytest.raises(NotFoundError):
                    shares.read(name)
            else:
                assert [(line.role.value, line.text) for line in shares.read(name).lines] == lines

    @invariant()
    def the_trash_holds_what_was_thrown_away(self) -> None:
        for owner in PEOPLE:
            expected = {talk.name for talk in self.world.talks if talk.owner == owner and talk.trashed}
            page = trash.page(self.user(owner), size=1000)
            assert {each.public_id for each in page.items} == expected
            for name in expected:
                with pytest.raises(ConversationGoneError):
                    conversations.get(self.user(owner), name)


def words(text: str) -> set[str]:
    """The words of one of our texts, as they are sought."""
    return {SPELT.get(word, word) for word in text.split()}


@pytest.mark.timeout(600)
def test_the_services_do_what_plain_memory_does(any_app: Flask) -> None:
    # With fewer examples it does not see that a switch or an undo does nothing; the other database needs no more eyes.
    with any_app.app_context():
        examples = 40 if db.engine.dialect.name == "sqlite" else 8
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
