"""A reference model: conversations in memory, as simple as possible, to compare the services with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class ModelNode:
    """A message. Its versions are the children of its parent, one of which is active."""

    public_id: str
    role: str
    text: str
    parent: ModelNode | None
    children: list[ModelNode] = field(default_factory=list)
    active_child: ModelNode | None = None
    is_pending: bool = False

    def iter_active_branch(self) -> Iterator[ModelNode]:
        """Iterate over this message and the messages below on the active branch."""
        node: ModelNode | None = self
        while node:
            yield node
            node = node.active_child

    def iter_ancestors(self) -> Iterator[ModelNode]:
        """Iterate over this message and the messages above, without the root, which is no message."""
        node: ModelNode | None = self
        while node and node.parent:
            yield node
            node = node.parent

    def add_child(self, name: str, role: str, text: str, pending: bool = False) -> ModelNode:
        """Add a new active version below this message, and return it."""
        child = ModelNode(name, role, text, self, is_pending=pending)
        self.children.append(child)
        self.active_child = child
        return child

    def iter_descendants(self) -> Iterator[ModelNode]:
        """Iterate over all messages below, on all branches."""
        for child in self.children:
            yield child
            yield from child.iter_descendants()


@dataclass(eq=False)
class ModelConversation:
    """A conversation. `updated_order` is the number of its last change, by which lists are ordered."""

    public_id: str
    owner: str
    title: str
    updated_order: int
    root: ModelNode = field(default_factory=lambda: ModelNode("", "", "", None))
    is_pinned: bool = False
    is_archived: bool = False
    is_trashed: bool = False

    @property
    def active_branch(self) -> list[ModelNode]:
        """The messages of the active branch."""
        return list(self.root.iter_active_branch())[1:]

    @property
    def all_messages(self) -> list[ModelNode]:
        """All messages of all branches."""
        return list(self.root.iter_descendants())

    @property
    def is_busy(self) -> bool:
        """Whether an answer is in progress."""
        return any(node.is_pending for node in self.all_messages)

    def stop_answers(self) -> None:
        """Stop all answers in progress."""
        for node in self.all_messages:
            node.is_pending = False

    def show_branch(self, node: ModelNode) -> None:
        """Make the branch of a message active."""
        while node.parent:
            node.parent.active_child = node
            node = node.parent


@dataclass
class ModelUndo:
    """A change that can be undone once, with the previous values by conversation."""

    name: str
    owner: str
    previous_values: list[tuple[ModelConversation, str, Any]]
    is_used: bool = False


@dataclass
class ModelSite:
    """All conversations, undo records and shares.

    A share is its public id, its conversation, and the role and text of each message.
    """

    conversations: list[ModelConversation] = field(default_factory=list)
    undos: list[ModelUndo] = field(default_factory=list)
    shares: list[tuple[str, ModelConversation, list[tuple[str, str]]]] = field(default_factory=list)

    def list_conversations(self, owner: str) -> list[ModelConversation]:
        """List the conversations of a user: pinned ones first, then by the last change."""
        listed = [
            conversation
            for conversation in self.conversations
            if conversation.owner == owner and not conversation.is_archived and not conversation.is_trashed
        ]
        return sorted(listed, key=lambda talk: (talk.is_pinned, talk.updated_order), reverse=True)
