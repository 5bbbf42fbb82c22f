"""Messages of a file in the order and shape that the database holds them in."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from chatsite.models import Role
from chatsite.services.transfer import trees, values
from chatsite.services.transfer.trees import Said


def said(key: str, parent: str | None, role: Role | None = Role.USER, shown: bool = False) -> Said:
    """A message of a file."""
    return Said(key, parent, role, key, None, shown=shown)


def ways(rows: list[Said]) -> list[tuple[str, str | None]]:
    """Each message with its parent."""
    return [(each.key, each.parent) for each in rows]


def test_parents_come_first_and_the_order_stays_else() -> None:
    rows = [said("c", "b"), said("a", None), said("d", "b"), said("b", "a")]
    assert ways(trees.ordered(rows)) == [("a", None), ("b", "a"), ("c", "b"), ("d", "b")]


def test_what_follows_something_left_out_follows_what_is_above() -> None:
    rows = [said("root", None, None), said("a", "root"), said("x", "a", None), said("y", "x", None), said("b", "y")]
    assert ways(trees.ordered(rows)) == [("a", None), ("b", "a")]


def test_circles_and_dangling_parents_are_beginnings() -> None:
    rows = [said("a", "b"), said("b", "a"), said("c", "nobody"), said("d", "d"), said("e", "x"), said("x", "x", None)]
    found = trees.ordered(rows)
    assert {each.key for each in found} == {"a", "b", "c", "d", "e"}
    assert dict(ways(found))["a"] is None
    assert dict(ways(found))["b"] == "a"


def test_depth_and_width_do_no_harm() -> None:
    deep = [said(str(n), str(n - 1) if n else None, None if n % 3 else Role.USER) for n in range(30_000)]
    random.Random(1).shuffle(deep)
    found = trees.settled(trees.ordered(deep))
    assert len(found) == 10_000
    assert trees.leaf(found) == "29997"
    wide = trees.settled(trees.ordered([said("root", None), *(said(f"w{n}", "root") for n in range(20_000))]))
    assert [each.key for each in wide if each.shown] == ["root", "w19999"]


def test_the_current_branch_is_shown_and_the_newest_version_elsewhere() -> None:
    rows = [said("q", None), said("a", "q"), said("b", "q"), said("c", "b"), said("d", "b")]
    assert [each.key for each in trees.settled(rows, "a") if each.shown] == ["q", "a", "d"]
    flagged = [said("q", None, shown=True), said("a", "q", shown=True), said("b", "q", shown=True), said("c", "q")]
    assert [each.key for each in trees.settled(flagged) if each.shown] == ["q", "b"]
    assert trees.leaf(flagged) == "b"


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12), st.booleans(), st.booleans()), max_size=30))
def test_any_net_becomes_a_tree(net: list[tuple[int, int, bool, bool]]) -> None:
    rows = [said(str(a), str(b), Role.USER if kept else None, shown) for a, b, kept, shown in net]
    found = trees.settled(trees.ordered(rows))
    before: set[str | None] = {None}
    for each in found:
        assert each.parent in before
        before.add(each.key)
    for parent in {each.parent for each in found}:
        assert sum(each.shown for each in found if each.parent == parent) == 1


def test_moments_are_bounded() -> None:
    assert values.moment(1700000000) == values.moment(1700000000000) == values.moment("2023-11-14T22:13:20Z")
    assert values.moment("1066-10-14") == values.EPOCH
    assert values.moment("2023-11-14T23:13:20+01:00") == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert (values.moment(9e10) or values.EPOCH).year < 2100
    for nothing in (None, "", "soon", True, [], float("nan"), 10**400, {}):
        assert values.moment(nothing) is None


def test_texts_are_what_a_database_can_hold() -> None:
    assert values.storable("a\0b\ud83d\ude00c\ud800") == "ab\N{GRINNING FACE}c\ufffd"
    assert values.written(" a\r\nb\x1b[2J\t\x00c ") == "a\nb[2J\tc"
    assert values.title("  a\n\tb\u2028c ") == "a b c"
    assert values.title("\x00 \n") == values.UNTITLED
