"""Views of the composer: model picker, context usage and draft."""

from __future__ import annotations

from dataclasses import dataclass

from chatsite.models import Conversation, Message
from chatsite.services.chat import comparisons, drafts, prompt_report
from chatsite.services.chat.prompt_report import ContextUsage
from chatsite.web.chat.waiting_views import WaitingView, build_waiting
from chatsite.web.core.identity import current_user
from chatsite.web.models.picker import ModelPicker, build_model_picker, next_change_notice
from chatsite.web.models.views import ComposerStatus, find_next_model, load_composer_status


@dataclass(frozen=True)
class ComposerState:
    """The part of a composer that changes with each message.

    `last_message` is the message that the next question follows, `active_answer` the answer in progress that the Stop
    button ends. `waiting` is the message that waits for its end.
    """

    conversation: Conversation | None
    last_message: Message | None
    active_answer: Message | None
    picker: ModelPicker
    next_change_notice: str = ""
    context_usage: ContextUsage | None = None
    waiting: WaitingView | None = None


@dataclass(frozen=True)
class ComposerView:
    """A composer with its text. `draft_version` is the fingerprint of the stored draft."""

    state: ComposerState
    model_status: ComposerStatus
    draft_text: str
    draft_version: str


def build_composer_state(
    conversation: Conversation, last_message: Message | None, context_usage: ContextUsage | None
) -> ComposerState:
    """Build the composer for a question after `last_message`.

    `last_message` is None where the end of the branch is not on the page.
    """
    return ComposerState(
        conversation,
        last_message,
        comparisons.find_answer_in_progress(last_message),
        build_model_picker(conversation),
        next_change_notice(conversation, last_message),
        context_usage,
        build_waiting(conversation, last_message),
    )


def load_composer_state(conversation: Conversation, last_message: Message | None) -> ComposerState:
    """Build the composer at the end of the active branch, and estimate its context usage."""
    return build_composer_state(conversation, last_message, prompt_report.estimate_context_usage(conversation))


def build_composer(state: ComposerState) -> ComposerView:
    """Build the composer of a conversation, filled with its draft."""
    return _build_composer(state, drafts.get_text(state.conversation or current_user()))


def build_new_composer(starter_text: str = "", active_answer: Message | None = None) -> ComposerView:
    """Build the composer of a new conversation, filled with `starter_text` or else with the user's draft."""
    state = ComposerState(None, None, active_answer, build_model_picker(None))
    return _build_composer(state, drafts.get_text(current_user()), starter_text)


def _build_composer(state: ComposerState, draft_text: str, starter_text: str = "") -> ComposerView:
    return ComposerView(
        state,
        load_composer_status(find_next_model(state.conversation)),
        starter_text or draft_text,
        drafts.fingerprint(draft_text),
    )
