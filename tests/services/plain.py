"""Conversations in plain memory: what the services are compared with, written as simply as it can be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class Node:
    """A message: its versions are the children of its parent, one of which is chosen."""

    name: str
    role: str
    text: str
    parent: Node | None
    children: list[Node] = field(default_factory=list)
    chosen: Node | None = None
    pending: bool = False

    def down(self) -> Iterator[Node]:
        """This message and those below it on the branch that is chosen."""
        node: Node | None = self
        while node:
            yield node
            node = node.chosen

    def up(self) -> Iterator[Node]:
        """This message and those above it; the root, which is no message, is left out."""
        node: Node | None = self
        while node and node.parent:
            yield node
            node = node.parent

    def add(self, name: str, role: str, text: str, pending: bool = False) -> Node:
        """A new version below this message, which is chosen."""
        child = Node(name, role, text, self, pending=pending)
        self.children.append(child)
        self.chosen = child
        return child

    def everything(self) -> Iterator[Node]:
        """All messages below, on all branches."""
        for child in self.children:
            yield child
            yield from child.everything()


@dataclass(eq=False)
class Talk:
    """A conversation; `when` counts the moments of writing and orders the list."""

    name: str
    owner: str
    title: str
    when: int
    root: Node = field(default_factory=lambda: Node("", "", "", None))
    pinned: bool = False
    archived: bool = False
    trashed: bool = False

    @property
    def branch(self) -> list[Node]:
        """The messages of the branch that is chosen."""
        return list(self.root.down())[1:]

    @property
    def messages(self) -> list[Node]:
        """All messages of all branches."""
        return list(self.root.everything())

    @property
    def busy(self) -> bool:
        """Whether an answer is being written."""
        return any(node.pending for node in self.messages)

    def stop(self) -> None:
        """Stop what is being written."""
        for node in self.messages:
            node.pending = False

    def choose(self, node: Node) -> None:
        """Show the branch of a message."""
        while node.parent:
            node.parent.chosen = node
            node = node.parent


@dataclass
class Undone:
    """A change that can be undone once: what it was of each conversation before."""

    name: str
    owner: str
    before: list[tuple[Talk, str, Any]]
    done: bool = False


@dataclass
class World:
    """All conversations, all changes that can be undone, and what is shared: its name, whose it is, and the lines."""

    talks: list[Talk] = field(default_factory=list)
    undos: list[Undone] = field(default_factory=list)
    shares: list[tuple[str, Talk, list[tuple[str, str]]]] = field(default_factory=list)

    def listed(self, owner: str) -> list[Talk]:
        """The list of one user: what is pinned first, then what was written in last."""
        found = [talk for talk in self.talks if talk.owner == owner and not talk.archived and not talk.trashed]
        return sorted(found, key=lambda talk: (talk.pinned, talk.when), reverse=True)
