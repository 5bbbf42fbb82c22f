"""Views of the conversation pages, and of the partials that keep an open page up to date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chatsite.models import Conversation, Message, Tag
from chatsite.services.chat import comparisons, prompt_report, read_marks
from chatsite.services.chat.message_pages import MessagePage
from chatsite.services.chat.prompt_report import ContextUsage
from chatsite.services.pagination import Page
from chatsite.web.chat.comparison_views import ComparisonFoot, build_comparison_foot
from chatsite.web.chat.composer_views import (
    ComposerState,
    ComposerView,
    build_composer,
    build_composer_state,
    load_composer_state,
)
from chatsite.web.chat.message_views import (
    MessageListView,
    MessageView,
    build_message_list,
    build_message_view,
    build_message_views,
)
from chatsite.web.chat.waiting_views import WaitingView, build_waiting, build_waiting_at_end
from chatsite.web.chat.welcome_views import WelcomeView, build_welcome
from chatsite.web.core.open_conversation import ConversationMenu, load_menu
from chatsite.web.core.page_view import PageView, Sidebar, load_sidebar
from chatsite.web.models.picker import (
    ModelPicker,
    build_model_picker,
    next_change_notice,
)


@dataclass(frozen=True, kw_only=True)
class ConversationPage(PageView):
    """A conversation. `is_other_branch` says that the page shows the end of a branch other than the active one.

    The composer continues the branch on the page. `is_unread` says that there is an answer that was not seen.
    """

    conversation: Conversation
    menu: ConversationMenu
    messages: MessageListView
    composer: ComposerView
    is_other_branch: bool
    is_unread: bool


@dataclass(frozen=True, kw_only=True)
class ConversationsPage(PageView):
    """A page of the user's conversations, filtered by `active_tag` if given, with all tags and the tags of each row."""

    page: Page[Conversation]
    active_tag: Tag | None
    tags: Sequence[Tag]
    tags_by_conversation: Mapping[int, Sequence[Tag]]


@dataclass(frozen=True)
class RowsUpdate:
    """Rows of the sidebar; with `opened`, the title of the open conversation too, which may be another one now."""

    sidebar: Sidebar
    opened: Conversation | None


@dataclass(frozen=True)
class TitleForm:
    """The form to rename a conversation, in place of its row in the sidebar."""

    conversation: Conversation


@dataclass(frozen=True)
class ModelPickerUpdate:
    """The parts of a page that change with the model choice. `welcome` is set only before the first message."""

    conversation: Conversation | None
    picker: ModelPicker
    welcome: WelcomeView | None = None
    next_change_notice: str = ""
    context_usage: ContextUsage | None = None


@dataclass(frozen=True)
class PostedUpdate:
    """The partials that answer a posted question: its messages, the composer and the sidebar.

    `menu` is set only for the first question, which turns the front page into the page of the conversation. With
    `is_waiting` the question was not posted: it waits for the answer in progress.
    """

    conversation: Conversation
    messages: Sequence[MessageView]
    composer: ComposerState
    sidebar: Sidebar
    menu: ConversationMenu | None
    is_waiting: bool = False


@dataclass(frozen=True)
class RefreshUpdate:
    """The partials that bring an inactive tab up to date.

    `known_message` is the last message that the tab has, or None if the tab follows its stream; `messages` are the
    later ones. `is_unread` says that there is an answer that was not seen until now.
    """

    conversation: Conversation
    known_message: MessageView | None
    messages: Sequence[MessageView]
    composer: ComposerState | None
    is_unread: bool


@dataclass(frozen=True)
class FinishedUpdate:
    """An answer in its current state, with the parts of the composer that depend on it.

    `view` is None while the page follows the stream of the answer. `has_stop_focus` moves the focus to Stop, because
    the pressed button is no longer on the page. `waiting` is what waits below the answer; where nothing does,
    `is_last` says that nothing more is to stand there.
    """

    message: Message
    view: MessageView | None
    active_answer: Message | None
    next_change_notice: str
    context_usage: ContextUsage | None
    has_stop_focus: bool
    announcement: str
    waiting: WaitingView | None
    is_last: bool
    comparison_foot: ComparisonFoot | None = None


@dataclass(frozen=True)
class PageBeside:
    """The message page before or after the messages that are on the page. The last one comes with the composer."""

    messages: MessageListView
    composer: ComposerState | None


@dataclass(frozen=True)
class BranchUpdate:
    """The branch from one message on, in place of `replaced`. `is_new` says that the first message was just created."""

    replaced: Message
    messages: MessageListView
    composer: ComposerState
    sidebar: Sidebar
    is_new: bool


def build_conversation_page(conversation: Conversation, message_page: MessagePage) -> ConversationPage:
    """Build the page of a conversation that shows the messages of `message_page`."""
    last_message = message_page.messages[-1] if message_page.messages and not message_page.has_later else None
    is_other_branch = last_message is not None and last_message.id != conversation.active_leaf_id
    context_usage = None if is_other_branch else prompt_report.estimate_context_usage(conversation)
    return ConversationPage(
        conversation=conversation,
        menu=load_menu(conversation, last_message if is_other_branch else None),
        messages=build_message_list(conversation, message_page, context_usage),
        composer=build_composer(build_composer_state(conversation, last_message, context_usage)),
        is_other_branch=is_other_branch,
        is_unread=read_marks.is_unread(conversation),
    )


def build_page_beside(conversation: Conversation, message_page: MessagePage) -> PageBeside:
    """Build the partials for one more message page; include the composer where the page ends the branch."""
    usage = prompt_report.estimate_context_usage(conversation)
    is_end = bool(message_page.messages) and not message_page.has_later
    return PageBeside(
        build_message_list(conversation, message_page, usage),
        build_composer_state(conversation, message_page.messages[-1], usage) if is_end else None,
    )


def build_picker_update(conversation: Conversation | None, last_message: Message | None = None) -> ModelPickerUpdate:
    """Build the partials after a model choice; `conversation` is None before the first message."""
    picker = build_model_picker(conversation)
    if conversation is None:
        return ModelPickerUpdate(None, picker, build_welcome())
    usage = prompt_report.estimate_context_usage(conversation)
    notice = next_change_notice(conversation, last_message)
    return ModelPickerUpdate(conversation, picker, next_change_notice=notice, context_usage=usage)


def build_posted_update(conversation: Conversation, messages: Sequence[Message], *, is_first: bool) -> PostedUpdate:
    """Build the partials with the `messages` that were added to a conversation; `is_first` adds its menu."""
    return PostedUpdate(
        conversation,
        build_message_views(messages),
        load_composer_state(conversation, messages[-1] if messages else None),
        load_sidebar(conversation),
        load_menu(conversation) if is_first else None,
    )


def build_waiting_update(conversation: Conversation, messages: Sequence[Message], awaited: Message) -> PostedUpdate:
    """Build the partials after a question that waits for `awaited`, with the `messages` that the page does not have."""
    return PostedUpdate(
        conversation,
        build_message_views(messages),
        load_composer_state(conversation, messages[-1] if messages else awaited),
        load_sidebar(conversation),
        menu=None,
        is_waiting=True,
    )


def build_refresh(
    conversation: Conversation, known_message: Message | None, messages: Sequence[Message]
) -> RefreshUpdate:
    """Build the partials for an inactive tab: the current state of `known_message`, and the `messages` after it."""
    last_message = messages[-1] if messages else known_message
    return RefreshUpdate(
        conversation,
        build_message_view(known_message) if known_message else None,
        build_message_views(messages),
        load_composer_state(conversation, last_message) if last_message else None,
        read_marks.is_unread(conversation),
    )


def build_finished(
    message: Message, *, is_streamed: bool = False, is_stream_end: bool = False, announcement: str = ""
) -> FinishedUpdate:
    """Build the current state of an answer with the parts of the composer that depend on it.

    With `is_streamed` the answer itself is left out, because the page receives it from the stream. With
    `is_stream_end` the page may lack what was posted after the answer.
    """
    conversation = message.conversation
    return FinishedUpdate(
        message,
        None if is_streamed else build_message_view(message),
        comparisons.find_answer_in_progress(message),
        next_change_notice(conversation, message),
        prompt_report.estimate_context_usage(conversation),
        has_stop_focus=message.is_in_progress and not is_streamed,
        announcement=announcement,
        waiting=build_waiting_at_end(message) if is_stream_end else build_waiting(conversation, message),
        is_last=message.id == conversation.active_leaf_id,
        comparison_foot=build_comparison_foot(comparisons.list_compared(message)),
    )


def build_branch(message_page: MessagePage, replaced: Message, *, is_new: bool, pressed_direction: str) -> BranchUpdate:
    """Build the branch that starts with the first message of `message_page`, in place of `replaced`.

    `pressed_direction` is the pager arrow (`previous` or `next`) that gets the focus again.
    """
    conversation = message_page.messages[0].conversation
    composer = load_composer_state(conversation, None if message_page.has_later else message_page.messages[-1])
    return BranchUpdate(
        replaced,
        build_message_list(conversation, message_page, composer.context_usage, pressed_direction=pressed_direction),
        composer,
        load_sidebar(conversation),
        is_new,
    )
