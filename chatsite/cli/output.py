"""The output of the terminal: answers in Markdown while they grow, and plain sentences."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from flask_babel import format_datetime, gettext
from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from rich.spinner import Spinner
from rich.text import Text

from chatsite.cli.chat_client import AnswerState
from chatsite.i18n import format_seconds
from chatsite.models import Conversation, Message, Role, RunnerState, Status
from chatsite.rendering.blocks import BlockStream
from chatsite.services.chat.prompt_report import PromptReport, ReportedTurn
from chatsite.services.models.catalog import ModelCard
from chatsite.visible_text import mark_direction_marks

FRAMES_PER_SECOND = 12
# Of a turn that the model did not see so many characters are shown.
MAX_OMITTED_CHARS = 60
# The end of what a model thinks, which fits into a small terminal.
MAX_REASONING_CHARS = 400


class Output:
    """Writes to the terminal. Nothing that a model or a user wrote can move its cursor."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False)
        self._error_console = Console(stderr=True, highlight=False, markup=False)

    def print_info(self, text: str, style: str = "") -> None:
        """Print a sentence."""
        if text:
            self._console.print(Text(strip_control_chars(text), style=style), soft_wrap=True)

    def print_error(self, text: str) -> None:
        """Print an error to stderr."""
        self._error_console.print(Text(strip_control_chars(text), style="red"))

    def show_answer(self, answers: Iterable[AnswerState]) -> None:
        """Print an answer while it grows: each finished block once, the unfinished one repeatedly.

        Provisional text is shown dimmed, and is erased when it is replaced. So is what the model thinks before it
        answers, of which only the duration stays.
        """
        has_told_reasoning = False
        blocks = BlockStream()
        answer: AnswerState | None = None
        with Live(console=self._console, transient=True, refresh_per_second=FRAMES_PER_SECOND) as live:
            for answer in answers:
                if answer.reasoning and not answer.text and not answer.is_finished:
                    live.update(Text(strip_control_chars(answer.reasoning)[-MAX_REASONING_CHARS:], style="dim"))
                    continue
                if answer.reasoning_seconds is not None and not has_told_reasoning:
                    has_told_reasoning = True
                    live.console.print(Text(reasoning_text(answer.reasoning_seconds), style="dim"))
                if answer.is_provisional:
                    live.update(Text(strip_control_chars(answer.text), style="dim"))
                    continue
                for block in blocks.feed(strip_control_chars(answer.text)[blocks.length :]):
                    live.console.print(_render_markdown(block))
                live.update(_render_markdown(blocks.open) if blocks.length else Spinner("dots", status_text(answer)))
        if blocks.open.strip():
            self._console.print(_render_markdown(blocks.open))
        if answer is not None:
            self.print_info(ending_text(answer), style="dim")

    def print_conversations(self, conversations: Sequence[Conversation]) -> None:
        """Print a numbered list."""
        if not conversations:
            self.print_info(gettext("No chats yet."))
        for number, conversation in enumerate(conversations, start=1):
            updated_text = format_datetime(conversation.updated_at.astimezone(), "short", rebase=False)
            self.print_info(f"{number:3}  {conversation.title}  ({updated_text})")

    def print_transcript(self, messages: Sequence[Message]) -> None:
        """Print earlier messages."""
        for message in messages:
            if message.role is Role.USER:
                self.print_info(f"> {message.text}", style="bold")
            else:
                self._console.print(_render_markdown(strip_control_chars(message.text)))

    def print_models(self, cards: Sequence[ModelCard], current: ModelCard) -> None:
        """Print the models that can answer, and mark the current one."""
        for card in cards:
            mark = "●" if card.name == current.name else "○"
            self.print_info(f"{mark} {card.name}: {gettext(card.entry.purpose)}")

    def print_prompt_report(self, report: PromptReport | None) -> None:
        """Print the prompt report, token by token, below the dropped turns."""
        if report is None:
            self.print_info(gettext("No prompt details were saved for this answer."))
            return
        for turn in report.dropped_turns:
            self.print_info(" ".join(turn.text.split())[:MAX_OMITTED_CHARS], style="dim")
        if report.dropped_turns:
            self.print_info("── " + gettext("The model could not see messages above this line"), style="dim")
        for turn in report.kept_turns:
            self.print_info(_format_turn(turn), style="bold" if turn.role == "user" else "")
        counts = {"model": report.model, "used": report.used_tokens, "budget": report.budget_tokens}
        self.print_info(gettext("%(model)s read %(used)s of %(budget)s tokens.", **counts), style="dim")
        self.print_info(
            ", ".join(f"{name} {value}" for name, value in report.options.items() if value is not None), style="dim"
        )


def _format_turn(turn: ReportedTurn) -> str:
    """Format a turn with a bar between its tokens."""
    text = "|".join(filter(None, [turn.unsplit_text, *turn.token_texts])) or turn.text
    return ("> " if turn.role == "user" else "") + ("…" if turn.is_cut else "") + text


def strip_control_chars(text: str) -> str:
    """Remove control characters from a text, which would steer the terminal, and show what turns its direction.

    Each character is looked at by itself, so a text that grows only ever gets more.
    """
    visible = "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc")
    return mark_direction_marks(visible)


def status_text(answer: AnswerState) -> str:
    """Return what an unfinished answer waits for, as a sentence."""
    runner = answer.runner
    if runner is None:
        return str(gettext("Starting the model…"))
    if runner.state in {RunnerState.FETCHING, RunnerState.LOADING}:
        percent: str = "" if runner.progress is None else f" {runner.progress:.0%}"
        is_fetching = runner.state is RunnerState.FETCHING
        return str(gettext("Downloading the model…") if is_fetching else gettext("Loading the model…")) + percent
    if answer.queue_position and answer.queue_position > 1:
        return str(gettext("Queue position %(place)s…", place=answer.queue_position))
    return str(gettext("Thinking…"))


def reasoning_text(seconds: float) -> str:
    """Return how long a model thought before it answered, as a line."""
    return str(gettext("Thought for %(duration)s", duration=format_seconds(seconds)))


def ending_text(answer: AnswerState) -> str:
    """Return how an answer ended, as a sentence; empty for an ordinary end."""
    sentences: dict[Status, str] = {
        Status.STOPPED: gettext("Stopped."),
        Status.FAILED: gettext("The model could not answer."),
        Status.INTERRUPTED: gettext("The answer was interrupted after repeated failures."),
    }
    if answer.status is Status.DONE and answer.reason in {"length", "deadline"}:
        return str(gettext("The answer was cut off at the maximum length."))
    return sentences.get(answer.status, "")


def _render_markdown(source: str) -> Markdown:
    # A link shows where it leads, and not only its text.
    markdown = Markdown(source, hyperlinks=False, code_theme="ansi_dark")
    for token in markdown.parsed:
        # Entities such as `&#8238;` have become characters by now.
        for part in (token, *(token.children or ())):
            part.content = strip_control_chars(part.content)
            if "href" in part.attrs:
                part.attrs["href"] = strip_control_chars(str(part.attrs["href"]))
    return markdown
