"""Branch points and the outline of a branch: what they show, and that long conversations cost nothing."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from flask import Flask
from sqlalchemy import insert, select, text, update

from chatsite.database import db
from chatsite.models import Conversation, Message, Role, User
from chatsite.services.accounts import users
from chatsite.services.chat import branches, message_tree, messages, outline
from chatsite.services.chat.branches import BranchPage, BranchPoint
from tests.chat.test_message_tree import ask, edit, grow, start, told, work
from tests.conftest import LIMITS, People


def describe(points: list[BranchPoint]) -> list[object]:
    """The texts of the versions of each branch point, those on the active branch in capitals."""
    return [
        [
            (version.text.upper() if version.is_current else version.text, describe(version.branch_points))
            if version.branch_points
            else version.text.upper()
            if version.is_current
            else version.text
            for version in point.versions
        ]
        for point in points
    ]


def name(talk: Conversation, position: int) -> Message:
    """A message by its position in the conversation, and give it a text of its own."""
    found = db.session.scalars(
        select(Message).where(Message.conversation_id == talk.id).order_by(Message.id).offset(position).limit(1)
    ).one()
    db.session.execute(update(Message).where(Message.id == found.id).values(text=f"Number {position}"))
    db.session.commit()
    return found


def test_branch_points_are_nested_in_versions_that_lead_to_them(people: People) -> None:
    first = start(people.alice)
    second = ask(people.alice, first, "Two")
    edit(people.alice, second, "Second")
    other = edit(people.alice, first, "Uno")
    ask(people.alice, other, "Dos")
    found = branches.list_branch_points(first.conversation)
    assert found.next is None
    assert describe(list(found.branch_points)) == [[("One", [["Two", "Second"]]), "UNO"]]
    message_tree.show_branch(second.question)
    found = branches.list_branch_points(first.conversation)
    assert describe(list(found.branch_points)) == [["ONE", "Uno"], ["TWO", "Second"]]


def test_answers_have_branch_points_with_their_models(people: People) -> None:
    first = start(people.alice)
    messages.regenerate_answer(people.alice, first.answer, limits=LIMITS)
    told()
    [point] = branches.list_branch_points(first.conversation).branch_points
    assert point.role is Role.ASSISTANT
    assert [version.text for version in point.versions] == ["Answer.", "Answer."]
    assert [version.is_current for version in point.versions] == [False, True]


def test_branch_points_are_paged(people: People) -> None:
    wide = grow(people.alice, 100, 250)
    pages: list[BranchPage] = []
    after: int | None = 0
    while after is not None:
        page = branches.list_branch_points(wide, after)
        pages.append(page)
        after = page.next
    counts = [sum(len(point.versions) for point in page.branch_points) for page in pages]
    assert counts == [102, 102, 52]
    assert all(
        sum(version.is_current for version in point.versions) == 1 for page in pages for point in page.branch_points
    )


def test_deep_nesting_is_flattened(people: People) -> None:
    """Ten questions, and then each of them in other words, from the last to the first."""
    turns = [start(people.alice)]
    for number in range(9):
        turns.append(ask(people.alice, turns[-1], f"Next {number}"))
    for turn in reversed(turns):
        edit(people.alice, turn, "Other")

    def depth(points: list[BranchPoint]) -> int:
        return max((1 + depth(version.branch_points) for point in points for version in point.versions), default=0)

    found = branches.list_branch_points(turns[0].conversation).branch_points
    assert depth(list(found)) == branches.MAX_DEPTH + 1


def test_versions_of_a_message(people: People) -> None:
    first = start(people.alice)
    other = edit(people.alice, first, "Uno")
    for message in (first.question, other.question):
        assert [version.text for version in branches.list_versions(message)] == ["One", "Uno"]
    [only] = branches.list_versions(first.answer)
    assert only.public_id == first.answer.public_id
    wide = grow(people.alice, 10, 50)
    last = db.session.scalars(
        select(Message).where(Message.conversation_id == wide.id).order_by(Message.id.desc())
    ).first()
    assert last
    found = branches.list_versions(last, limit=5)
    assert [len(found), found[-1].public_id] == [6, last.public_id]


def test_outline_lists_questions_of_the_branch(people: People) -> None:
    first = start(people.alice)
    ask(people.alice, first, "Two")
    other = edit(people.alice, first, "Uno")
    ask(people.alice, other, "Dos")
    assert [entry.text for entry in outline.load_outline(first.conversation).entries] == ["Uno", "Dos"]
    of_other = outline.load_outline(first.conversation, messages.get(people.alice, first.answer.public_id))
    assert [entry.text for entry in of_other.entries] == ["One", "Two"]
    assert not of_other.is_sampled


@pytest.mark.parametrize("depth", [300, 1_000, 10_000])
def test_outline_of_long_branch_is_spread_over_all_of_it(people: People, depth: int) -> None:
    long = grow(people.alice, depth, 20)
    # So many rows at once: PostgreSQL would walk the branch by reading the whole table at every step.
    db.session.execute(text("ANALYZE message"))
    found = outline.load_outline(long)
    assert found.is_sampled
    assert 50 <= len(found.entries) <= outline.MAX_QUESTIONS
    ids = {row.public_id: row.id for row in db.session.execute(select(Message.public_id, Message.id))}
    branch = set(message_tree.ancestors(long.active_leaf_id))
    places = [ids[entry.public_id] for entry in found.entries]
    assert places == sorted(set(places))
    assert set(places) <= branch
    assert places[0] == min(branch)
    assert max(branch) - places[-1] <= 2
    assert max(right - left for left, right in pairwise(places)) <= depth / 20


def test_outline_of_conversation_with_gaps_shows_all_parts(people: People) -> None:
    """Between two days of a conversation the site stored a hundred times as many messages of others."""
    long = grow(people.alice, 500)
    leaf = long.active_leaf_id or 0
    beyond = [
        {
            "conversation_id": long.id,
            "text": "Late",
            "id": leaf + 50_000 + number,
            "parent_id": leaf if number == 0 else leaf + 50_000 + number - 1,
            "role": list(Role)[number % 2],
            "is_active": True,
        }
        for number in range(500)
    ]
    db.session.execute(insert(Message), beyond)
    long.active_leaf_id = leaf + 50_499
    db.session.commit()
    texts = [entry.text for entry in outline.load_outline(long).entries]
    assert texts.count("Late") > 20
    assert texts.count("Word") > 20


def test_outline_leaves_other_branches_out_of_a_long_one(people: People) -> None:
    """A branch that was left after five hundred messages is stored in the middle of the one that is shown."""
    long = grow(people.alice, 500)
    turn_back = name(long, 10)
    made = messages.edit_question(people.alice, turn_back, messages.NewMessage("Again"), limits=LIMITS)
    told()
    below = made.answer.id
    rows = [
        {
            "conversation_id": long.id,
            "text": "New",
            "id": below + 1 + number,
            "parent_id": below + number,
            "role": list(Role)[number % 2],
            "is_active": True,
        }
        for number in range(600)
    ]
    db.session.execute(insert(Message), rows)
    long.active_leaf_id = below + 600
    db.session.commit()
    entries = outline.load_outline(long).entries
    assert {"New", "Again", "Word"} >= {entry.text for entry in entries}
    branch = set(message_tree.ancestors(long.active_leaf_id))
    shown = db.session.scalars(select(Message.id).where(Message.public_id.in_([entry.public_id for entry in entries])))
    assert set(shown) <= branch
    assert sum(entry.text == "New" for entry in entries) > 15


def test_empty_conversation_has_no_outline(people: People) -> None:
    empty = Conversation(user_id=people.alice.id, title="Empty")
    db.session.add(empty)
    db.session.commit()
    assert outline.load_outline(empty).entries == []
    assert branches.list_branch_points(empty).branch_points == []


@pytest.mark.parametrize(
    "act",
    [outline.load_outline, branches.list_branch_points, branches.map_other_branches],
    ids=["outline", "branch points", "other branches"],
)
def test_cost_is_independent_of_conversation_length(app: Flask, act: Callable[[Conversation], object]) -> None:
    with app.app_context():
        alice: User = users.get_or_create_by_token("alice")
        short, long = grow(alice, 800, 10), grow(alice, 10_000, 10)
        act(short)
        few, many = work(lambda: act(short)), work(lambda: act(long))
        assert many <= 1.2 * few + 2, (few, many)
        db.session.remove()
