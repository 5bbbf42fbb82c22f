"""Partials after a comparison: with the answer that was selected, or with the answers that were asked for again."""

from __future__ import annotations

from dataclasses import dataclass

from chatsite.models import Conversation, Message
from chatsite.web.chat.composer_views import ComposerState, load_composer_state
from chatsite.web.chat.message_views import MessageView, build_message_views
from chatsite.web.core.page_view import Sidebar, load_sidebar
from chatsite.web.models.picker import model_title
from chatsite.web.models.views import ComposerStatus, find_next_model, load_composer_status


@dataclass(frozen=True)
class PickedUpdate:
    """The selected answer in place of its comparison. `first_compared` names the element to replace."""

    first_compared: Message | None
    message: MessageView
    composer: ComposerState
    model_status: ComposerStatus
    model_title: str


@dataclass(frozen=True)
class ComparedUpdate:
    """New answers of a comparison in place of those that began with `replaced`."""

    replaced: Message
    message: MessageView
    composer: ComposerState
    sidebar: Sidebar


def build_picked_update(conversation: Conversation, first_compared: Message | None, picked: Message) -> PickedUpdate:
    """Build the partials after an answer of a comparison was selected."""
    [view] = build_message_views([picked], pressed_direction="next")
    return PickedUpdate(
        first_compared,
        view,
        load_composer_state(conversation, picked),
        load_composer_status(find_next_model(conversation)),
        model_title((picked.generation.model if picked.generation else None) or ""),
    )


def build_compared_update(replaced: Message, first: Message) -> ComparedUpdate:
    """Build the partials with the comparison that begins with `first`, in place of the one of `replaced`."""
    conversation = first.conversation
    [view] = build_message_views([first])
    return ComparedUpdate(replaced, view, load_composer_state(conversation, first), load_sidebar(conversation))
