"""Ordering of imported messages as the database needs it: parents first, one active version of each message."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from chatsite.models import Role
from chatsite.services.transfer.omissions import Omissions

# Ids that other sites make at random are longer; shorter ones are numbers, or names that somebody chose.
MIN_RANDOM_ID_CHARS = 16


@dataclass(frozen=True)
class ImportedReasoning:
    """What a model thought before an answer of a file, with its length in tokens and in seconds, if they are known."""

    text: str
    token_count: int | None = None
    seconds: float | None = None


@dataclass
class ImportedMessage:
    """A message of a file; without a role it does not become part of the message tree.

    `source_key` and `parent_key` are names within the file. `public_id` is the public id that it keeps if that is free,
    and `import_source_id` what is stored of its origin otherwise. `generations` are the values of its generations, the
    oldest first; `reasoning` is that of an answer.
    """

    source_key: str
    parent_key: str | None
    role: Role | None
    text: str
    created_at: datetime | None
    is_active: bool = False
    in_comparison: bool = False
    public_id: str | None = None
    import_source_id: str | None = None
    generations: list[dict[str, Any]] = field(default_factory=list)
    reasoning: ImportedReasoning | None = None


@dataclass
class ImportedConversation:
    """A conversation of a file, with messages sorted by `parents_first` and `with_one_active_version`.

    `import_source_id` identifies it among all imports of its user. `public_id` is the public id that it keeps if that
    is free, and `original_source_id` the import source id that it had on the site it comes from. `values` are other
    columns, and `tags` the names of its tags. `omitted` counts what the file has and the messages do not, and
    `omitted_tags` is how many of its tags did not fit into those of the user when it was stored.
    """

    import_source_id: str
    title: str
    messages: list[ImportedMessage]
    created_at: datetime | None = None
    updated_at: datetime | None = None
    public_id: str | None = None
    original_source_id: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    omitted: Omissions = field(default_factory=Omissions)
    omitted_tags: int = 0


def sort_by_time(messages: Iterable[ImportedMessage]) -> list[ImportedMessage]:
    """Return messages in the order of their times; one without a time stays behind the one before it in the file."""
    latest: datetime | None = None
    sort_rows = []
    for number, message in enumerate(messages):
        latest = message.created_at or latest
        sort_rows.append((latest is not None, latest, number, message))
    return [
        message for *_, message in sorted(sort_rows, key=lambda sort_row: (sort_row[0], sort_row[1] or 0, sort_row[2]))
    ]


def parents_first(messages: Sequence[ImportedMessage]) -> list[ImportedMessage]:
    """Return the messages with a role, each after its parent, otherwise in the given order.

    A message whose parent is left out follows the nearest ancestor with a role; one in a cycle, or without a known
    parent, becomes a first message. Changes `parent_key` in place.
    """
    nodes: dict[str, ImportedMessage] = {}
    for message in messages:
        nodes.setdefault(message.source_key, message)
    parents = nearest_ancestors(
        {key: message.parent_key for key, message in nodes.items()},
        {key for key, message in nodes.items() if message.role},
    )
    messages_with_role = [message for message in nodes.values() if message.role]
    position_by_key = {message.source_key: number for number, message in enumerate(messages_with_role)}
    children_by_key: dict[str, list[int]] = {}
    ready = []
    for message in messages_with_role:
        message.parent_key = parents.get(message.source_key)
        if message.parent_key is None:
            ready.append(position_by_key[message.source_key])
        else:
            children_by_key.setdefault(message.parent_key, []).append(position_by_key[message.source_key])
    return _topological_order(messages_with_role, children_by_key, ready)


def _topological_order(
    messages: Sequence[ImportedMessage], children_by_key: dict[str, list[int]], ready: list[int]
) -> list[ImportedMessage]:
    """Return messages with each after its parent; a cycle is opened at its first message.

    `children_by_key` has the indices of the children by their parent's key, `ready` the indices of the first messages.
    """
    result: list[ImportedMessage] = []
    taken = [False] * len(messages)
    heapq.heapify(ready)
    next_in_cycle = 0
    while len(result) < len(messages):
        while not ready:
            if not taken[next_in_cycle]:
                messages[next_in_cycle].parent_key = None
                ready.append(next_in_cycle)
            next_in_cycle += 1
        number = heapq.heappop(ready)
        if taken[number]:
            continue
        taken[number] = True
        result.append(messages[number])
        for child in children_by_key.get(messages[number].source_key, ()):
            heapq.heappush(ready, child)
    return result


def nearest_ancestors(parents: Mapping[str, str | None], wanted: Collection[str]) -> dict[str, str | None]:
    """Return the key of the nearest ancestor among `wanted` for each key of `parents`; None without one.

    Takes linear time, also for cycles.
    """
    nearest: dict[str, str | None] = {}
    for key in parents:
        path: dict[str, None] = {}
        step: str | None = key
        while step is not None and step in parents and step not in nearest and step not in path:
            path[step] = None
            step = parents[step]
            if step in wanted:
                break
        found = step if path and step in wanted and step in parents else nearest.get(step or "")
        nearest.update(dict.fromkeys(path, found))
    return nearest


def nearest_kept_key(messages: Iterable[ImportedMessage], current_key: str | None) -> str | None:
    """Return the key of the current message, or of its nearest ancestor with a role if it has none itself.

    `messages` are all messages of the file, as they were before `parents_first`. Returns None if there is none.
    """
    by_key = {message.source_key: message for message in messages}
    seen: set[str] = set()
    while current_key is not None and current_key in by_key and current_key not in seen:
        if by_key[current_key].role:
            return current_key
        seen.add(current_key)
        current_key = by_key[current_key].parent_key
    return None


def derive_source_id(messages: Sequence[ImportedMessage], created_at: datetime | None) -> str:
    """Return an id for a conversation that has none: the same for the same conversation.

    `messages` are sorted by `parents_first`. A first message with a random id identifies the conversation, also when
    more is added to it later; otherwise all texts do.
    """
    facts: list[object] = [created_at and created_at.isoformat()]
    if messages and len(messages[0].source_key) >= MIN_RANDOM_ID_CHARS:
        facts.append(messages[0].source_key)
    else:
        facts += [(message.source_key, str(message.created_at), message.text) for message in messages]
    return hashlib.sha256(repr(facts).encode("utf-8", "backslashreplace")).hexdigest()[:32]


def with_one_active_version(
    messages: Sequence[ImportedMessage], current_key: str | None = None
) -> list[ImportedMessage]:
    """Activate exactly one version of each message, in place; takes messages sorted by `parents_first`.

    It is the version on the path to `current_key` if given; otherwise the last one marked as active, or else the last
    one.
    """
    active_path = _path_to_root({message.source_key: message.parent_key for message in messages}, current_key)
    best_by_parent: dict[str | None, tuple[int, str]] = {}
    for message in messages:
        rank = 2 if message.source_key in active_path else 1 if message.is_active and not active_path else 0
        if rank >= best_by_parent.get(message.parent_key, (0, ""))[0]:
            best_by_parent[message.parent_key] = rank, message.source_key
    active_keys = {key for _, key in best_by_parent.values()}
    for message in messages:
        message.is_active = message.source_key in active_keys
    return list(messages)


def _path_to_root(parents: dict[str, str | None], current_key: str | None) -> set[str]:
    path: set[str] = set()
    while current_key is not None and current_key in parents:
        path.add(current_key)
        current_key = parents[current_key]
    return path


def active_path(messages: Sequence[ImportedMessage]) -> list[str]:
    """Return the keys of the active branch, from its first message on."""
    path: list[str] = []
    for message in messages:
        if message.is_active and message.parent_key == (path[-1] if path else None):
            path.append(message.source_key)
    return path


def find_active_leaf(messages: Sequence[ImportedMessage]) -> str | None:
    """Return the key of the last message of the active branch; None without messages."""
    return next(reversed(active_path(messages)), None)
