"""Views of messages: blocks, version position, and the available actions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flask_babel import gettext
from markupsafe import Markup

from chatsite.i18n import format_day_heading, is_same_day
from chatsite.models import Conversation, Generation, Message, Role
from chatsite.rendering.process.render_budget import RenderBudget
from chatsite.rendering.text import is_blank, shorten_line
from chatsite.services.chat import (
    comparisons,
    generations,
    message_pages,
    message_tree,
    reasonings,
    reruns,
    variations,
)
from chatsite.services.chat.message_pages import MessagePage
from chatsite.services.chat.message_tree import VersionPosition
from chatsite.services.chat.prompt_report import ContextUsage
from chatsite.services.models import endpoints
from chatsite.web.chat.announcements import count_announced
from chatsite.web.chat.answer_menus import can_rate, can_regenerate, is_latest
from chatsite.web.chat.comparison_views import ComparisonFoot, build_comparison_foot
from chatsite.web.chat.failures import Failure, describe_failure
from chatsite.web.chat.reasoning_views import ReasoningView, build_reasoning
from chatsite.web.chat.signatures import Signature, build_signature
from chatsite.web.chat.views import (
    GenerationStatus,
    GenerationSummary,
    build_generation_status,
    find_snapshot,
    render_partial_blocks,
    summarize_generation,
)
from chatsite.web.core.blocks import render_blocks, render_question
from chatsite.web.models.picker import change_notice, model_title

# A window of a common screen shows some thirty lines.
LINES_OF_TWO_WINDOWS = 60
CHARS_PER_LINE = 70
LINES_PER_MESSAGE = 4

# A page has many questions, and a list of headings is read by ear.
MAX_HEADING_CHARS = 40


@dataclass(frozen=True)
class MessageView:
    """A message on a page. Questions leave most fields at their defaults; one with code or formulas is its only block.

    `pressed_direction` is the pager arrow that was just pressed and keeps the focus. `heading` is what a screen reader
    lists the message as. `day` is set where a question begins another day. `compared` are the answers of a comparison,
    shown side by side in place of this one, with `comparison_foot` below them. `is_blank` says that there is nothing to
    be seen in `blocks`. `reasoning` is what the model thought before it answered. `is_latest` says that the
    conversation ends with this answer: only then all that is done with one is at hand.
    """

    message: Message
    version_position: VersionPosition | None = None
    pressed_direction: str = ""
    day: str = ""
    has_edit_focus: bool = False
    change_notice: str = ""
    blocks: Sequence[Markup] = ()
    is_blank: bool = False
    has_block_ids: bool = False
    reasoning: ReasoningView | None = None
    status: GenerationStatus | None = None
    announced_count: int = 0
    summary: GenerationSummary | None = None
    can_continue: bool = False
    can_retry: bool = False
    can_regenerate: bool = False
    can_rate: bool = False
    is_latest: bool = False
    signature: Signature | None = None
    failure: Failure | None = None
    model_title: str = ""
    heading: str = ""
    compared: Sequence[MessageView] = ()
    comparison_foot: ComparisonFoot | None = None


@dataclass(frozen=True)
class MessageListView:
    """Successive messages of a branch, with links to earlier and later ones.

    `context_usage` gives the place of the line above which messages no longer fit into the prompt. Of one that
    `is_short` the earlier ones are loaded at once.
    """

    conversation: Conversation
    messages: Sequence[MessageView]
    has_earlier: bool = False
    has_later: bool = False
    is_short: bool = False
    context_usage: ContextUsage | None = None

    @property
    def is_long(self) -> bool:
        """Whether the conversation fills more than about two windows, by the lines that its texts may take."""
        lines = sum(LINES_PER_MESSAGE + len(view.message.text) // CHARS_PER_LINE for view in self.messages)
        return self.has_earlier or self.has_later or lines > LINES_OF_TWO_WINDOWS

    @property
    def first_id(self) -> str:
        """The public id of the first message."""
        return self.messages[0].message.public_id

    @property
    def last_id(self) -> str:
        """The public id of the last message."""
        return self.messages[-1].message.public_id


def build_message_list(
    conversation: Conversation,
    message_page: MessagePage,
    context_usage: ContextUsage | None,
    *,
    pressed_direction: str = "",
) -> MessageListView:
    """Build the messages of `message_page`; `pressed_direction` is the pager arrow that selected the first one."""
    views = build_message_views(message_page.messages, pressed_direction=pressed_direction)
    return MessageListView(
        conversation,
        views,
        message_page.has_earlier,
        message_page.has_later,
        is_short=message_page.is_short,
        context_usage=context_usage,
    )


def build_message_views(messages: Iterable[Message], *, pressed_direction: str = "") -> list[MessageView]:
    """Build the messages of a branch, with the answers of a comparison side by side."""
    messages = list(messages)
    builder = _MessageViewBuilder(messages)
    views = [
        builder.build(message, pressed_direction=pressed_direction if message is messages[0] else "")
        # From the end, where people read first: the budget may not be enough for all of a page.
        for message in reversed(messages)
    ]
    return views[::-1]


def build_message_view(message: Message, *, pressed_direction: str = "", has_edit_focus: bool = False) -> MessageView:
    """Build one message that replaces its own element, even if it is part of a comparison."""
    builder = _MessageViewBuilder([] if message.in_comparison else [message])
    return builder.build(message, is_single=True, pressed_direction=pressed_direction, has_edit_focus=has_edit_focus)


class _MessageViewBuilder:
    """A builder of the messages of one page, which share queries (version positions, times) and a budget."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._positions = message_tree.version_positions(messages)
        self._previous_times = message_pages.previous_times(messages)
        self._variations = variations.load(messages)
        ended_early = [each.id for each in messages if generations.can_retry(each) or generations.can_continue(each)]
        self._reasonings = {**reasonings.load(messages)}
        self._followed = reruns.find_followed(ended_early)
        self._titles: dict[str, str] = {}
        self._budget = RenderBudget()

    def build(
        self, message: Message, *, is_single: bool = False, pressed_direction: str = "", has_edit_focus: bool = False
    ) -> MessageView:
        position = self._positions.get(message.id)
        if message.role is Role.USER:
            heading = shorten_line(" ".join(message.text[:160].split()), MAX_HEADING_CHARS)
            html = render_question(message.text, self._budget)
            blocks = [html] if html else ()
            day = self._day_heading(message)
            return MessageView(
                message, position, pressed_direction, day, has_edit_focus, blocks=blocks, heading=heading
            )
        if message.in_comparison and not is_single:
            answers = comparisons.list_compared(message)
            self._reasonings |= reasonings.load(answers)
            compared = [self._build_answer(answer, position=None) for answer in answers]
            return MessageView(message, position, compared=compared, comparison_foot=build_comparison_foot(answers))
        return self._build_answer(message, position, pressed_direction=pressed_direction, is_single=is_single)

    def _build_answer(
        self,
        message: Message,
        position: VersionPosition | None,
        *,
        pressed_direction: str = "",
        is_single: bool = False,
    ) -> MessageView:
        generation, is_followed = message.generation, message.id in self._followed
        if message.in_comparison and is_single:
            self._reasonings |= reasonings.load([message])
        is_in_progress = message.is_in_progress
        snapshot = find_snapshot(message) if is_in_progress else None
        return MessageView(
            message,
            position,
            pressed_direction,
            change_notice=change_notice(generation, self._variations.get(message.id)),
            blocks=render_partial_blocks(message, snapshot, self._budget)
            if is_in_progress
            else render_blocks(message.text, self._budget),
            is_blank=is_blank(message.text),
            reasoning=build_reasoning(message, self._reasonings.get(message.id), snapshot),
            # Streams find blocks by their ids. A page with hundreds of finished blocks is smaller without ids.
            has_block_ids=is_in_progress or is_single,
            status=build_generation_status(snapshot) if is_in_progress else None,
            announced_count=count_announced(message, snapshot) if is_in_progress else 0,
            summary=summarize_generation(generation) if generation and not is_in_progress else None,
            can_continue=_can_continue(message) and not is_followed,
            can_retry=generations.can_retry(message) and not is_followed,
            can_regenerate=can_regenerate(message, is_followed=is_followed),
            can_rate=can_rate(message),
            is_latest=is_latest(message),
            failure=describe_failure(generation),
            signature=None if is_in_progress else build_signature(message),
            model_title=self._model_title(generation) if message.in_comparison else "",
            heading=self._answer_heading(generation, position),
        )

    def _day_heading(self, question: Message) -> str:
        """Return the day of a question; empty if the message before it is of the same day, or if it is the first."""
        before = self._previous_times.get(question.id)
        if before is None or is_same_day(before, question.created_at):
            return ""
        return format_day_heading(question.created_at)

    def _model_title(self, generation: Generation | None) -> str:
        """Return the title of the model that wrote an answer, which a page of its answers looks up once."""
        model = (generation.model if generation else None) or ""
        if model and model not in self._titles:
            self._titles[model] = model_title(model)
        return self._titles.get(model, "")

    def _answer_heading(self, generation: Generation | None, position: VersionPosition | None) -> str:
        title = self._model_title(generation)
        heading = str(gettext("Answer by %(model)s", model=title) if title else gettext("Answer"))
        if not position:
            return heading
        version = gettext("%(number)s of %(count)s", number=position.number, count=position.count)
        return f"{heading}, {version}"


def _can_continue(message: Message) -> bool:
    """Return whether Continue is offered: it applies to the answer, and its model can."""
    generation = message.generation
    return generations.can_continue(message) and endpoints.can_continue(generation.model if generation else None)
