"""Views of the message that waits for the end of an answer."""

from __future__ import annotations

from dataclasses import dataclass

from chatsite.errors import ChatsiteError
from chatsite.models import Conversation, Message
from chatsite.services.chat import message_tree, waiting_messages
from chatsite.services.chat.waiting_messages import WaitingState


@dataclass(frozen=True)
class WaitingView:
    """The waiting message below the last message of a page.

    `conversation_id` is a public id. Without `text` none waits. `is_posted` says that one was posted that the page
    does not have yet.
    """

    conversation_id: str
    text: str = ""
    state: WaitingState | None = None
    error: ChatsiteError | None = None
    is_posted: bool = False


@dataclass(frozen=True)
class WaitingUpdate:
    """The partials after a waiting message was sent, removed or taken back; `returned_text` goes into the composer."""

    waiting: WaitingView | None
    returned_text: str
    announcement: str


def build_waiting(conversation: Conversation | None, last_message: Message | None) -> WaitingView | None:
    """Build the view of the message that waits below `last_message`; None if none does."""
    waiting = waiting_messages.find(conversation.id) if conversation else None
    if conversation is None or waiting is None or last_message is None:
        return None
    if not waiting_messages.is_for(waiting, last_message):
        return None
    return WaitingView(conversation.public_id, waiting.text, waiting_messages.find_state(waiting), waiting.error)


def build_waiting_at_end(message: Message) -> WaitingView | None:
    """Build the view of the message that waits below an answer whose stream has ended, or that was posted meanwhile."""
    waiting = build_waiting(message.conversation, message)
    if waiting is None and message_tree.is_followed_by_others(message):
        return WaitingView(message.conversation.public_id, is_posted=True)
    return waiting
