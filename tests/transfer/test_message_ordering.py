"""Messages of a file in the order and shape that the database holds them in."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chatsite.models import Role
from chatsite.services.transfer import coercion, message_ordering
from chatsite.services.transfer.message_ordering import ImportedMessage


def said(key: str, parent: str | None, role: Role | None = Role.USER, shown: bool = False) -> ImportedMessage:
    """A message of a file."""
    return ImportedMessage(key, parent, role, key, None, is_active=shown)


def ways(rows: list[ImportedMessage]) -> list[tuple[str, str | None]]:
    """Each message with its parent."""
    return [(each.source_key, each.parent_key) for each in rows]


def test_parents_sort_first_and_order_is_stable() -> None:
    rows = [said("c", "b"), said("a", None), said("d", "b"), said("b", "a")]
    assert ways(message_ordering.parents_first(rows)) == [("a", None), ("b", "a"), ("c", "b"), ("d", "b")]


def test_children_of_skipped_message_attach_to_ancestor() -> None:
    rows = [said("root", None, None), said("a", "root"), said("x", "a", None), said("y", "x", None), said("b", "y")]
    assert ways(message_ordering.parents_first(rows)) == [("a", None), ("b", "a")]


def test_cyclic_or_missing_parents_become_roots() -> None:
    rows = [said("a", "b"), said("b", "a"), said("c", "nobody"), said("d", "d"), said("e", "x"), said("x", "x", None)]
    found = message_ordering.parents_first(rows)
    assert {each.source_key for each in found} == {"a", "b", "c", "d", "e"}
    assert dict(ways(found))["a"] is None
    assert dict(ways(found))["b"] == "a"


def test_deep_and_wide_trees_are_handled() -> None:
    deep = [said(str(n), str(n - 1) if n else None, None if n % 3 else Role.USER) for n in range(30_000)]
    random.Random(1).shuffle(deep)
    found = message_ordering.with_one_active_version(message_ordering.parents_first(deep))
    assert len(found) == 10_000
    assert message_ordering.find_active_leaf(found) == "29997"
    wide = message_ordering.with_one_active_version(
        message_ordering.parents_first([said("root", None), *(said(f"w{n}", "root") for n in range(20_000))])
    )
    assert [each.source_key for each in wide if each.is_active] == ["root", "w19999"]


def test_current_branch_shown_and_newest_version_elsewhere() -> None:
    rows = [said("q", None), said("a", "q"), said("b", "q"), said("c", "b"), said("d", "b")]
    assert [each.source_key for each in message_ordering.with_one_active_version(rows, "a") if each.is_active] == [
        "q",
        "a",
        "d",
    ]
    flagged = [said("q", None, shown=True), said("a", "q", shown=True), said("b", "q", shown=True), said("c", "q")]
    assert [each.source_key for each in message_ordering.with_one_active_version(flagged) if each.is_active] == [
        "q",
        "b",
    ]
    assert message_ordering.find_active_leaf(flagged) == "b"


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12), st.booleans(), st.booleans()), max_size=30))
def test_arbitrary_parent_links_become_a_tree(net: list[tuple[int, int, bool, bool]]) -> None:
    rows = [said(str(a), str(b), Role.USER if kept else None, shown) for a, b, kept, shown in net]
    found = message_ordering.with_one_active_version(message_ordering.parents_first(rows))
    before: set[str | None] = {None}
    for each in found:
        assert each.parent_key in before
        before.add(each.source_key)
    for parent in {each.parent_key for each in found}:
        assert sum(each.is_active for each in found if each.parent_key == parent) == 1


def test_timestamps_are_parsed_and_bounded() -> None:
    assert (
        coercion.parse_datetime(1700000000)
        == coercion.parse_datetime(1700000000000)
        == coercion.parse_datetime("2023-11-14T22:13:20Z")
    )
    assert coercion.parse_datetime("1066-10-14") == coercion.EPOCH
    assert coercion.parse_datetime("2023-11-14T23:13:20+01:00") == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert (coercion.parse_datetime(9e10) or coercion.EPOCH).year < 2100
    nothings: tuple[Any, ...] = (None, "", "soon", True, [], float("nan"), 10**400, {})
    for nothing in nothings:
        assert coercion.parse_datetime(nothing) is None


def test_texts_are_made_storable() -> None:
    assert coercion.strip_invalid_chars("a\0b\ud83d\ude00c\ud800") == "ab\N{GRINNING FACE}c\ufffd"
    assert coercion.clean_message_text(" a\r\nb\x1b[2J\t\x00c ") == "a\nb[2J\tc"
    assert coercion.conversation_title("  a\n\tb\u2028c ") == "a b c"
    assert coercion.conversation_title("\x00 \n") == coercion.UNTITLED
