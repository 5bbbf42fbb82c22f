"""What the terminal shows: answers as they grow, in Markdown, and everything else in plain sentences."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from flask_babel import format_datetime, gettext
from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from rich.spinner import Spinner
from rich.text import Text

from chatsite.cli.terminal import Answer
from chatsite.models import Conversation, Message, Role, RunnerState, Status
from chatsite.rendering.blocks import BlockStream
from chatsite.services.models import Card
from chatsite.services.receipts import Reading, ReadTurn

FRAMES_PER_SECOND = 12
# Of a turn that the model did not see so many characters are shown.
SHOWN_CHARS = 60


class Screen:
    """A terminal that people look at. Nothing that a model or a visitor wrote can move its cursor."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False)
        self._errors = Console(stderr=True, highlight=False, markup=False)

    def say(self, text: str, style: str = "") -> None:
        """Print a sentence of ours."""
        if text:
            self._console.print(Text(harmless(text), style=style), soft_wrap=True)

    def complain(self, text: str) -> None:
        """Print what went wrong, on stderr."""
        self._errors.print(Text(harmless(text), style="red"))

    def show(self, answers: Iterable[Answer]) -> None:
        """Print an answer while it grows: each block once it is finished, the open one again and again.

        A draft is shown in a lower voice, and leaves nothing behind.
        """
        blocks = BlockStream()
        answer: Answer | None = None
        with Live(console=self._console, transient=True, refresh_per_second=FRAMES_PER_SECOND) as live:
            for answer in answers:
                if answer.draft:
                    live.update(Text(harmless(answer.text), style="dim"))
                    continue
                for block in blocks.feed(harmless(answer.text)[blocks.length :]):
                    live.console.print(_markdown(block))
                live.update(_markdown(blocks.open) if blocks.length else Spinner("dots", state_of(answer)))
        if blocks.open.strip():
            self._console.print(_markdown(blocks.open))
        if answer is not None:
            self.say(ending_of(answer), style="dim")

    def list(self, conversations: Sequence[Conversation]) -> None:
        """Print a numbered list."""
        if not conversations:
            self.say(gettext("There is no conversation yet."))
        for number, conversation in enumerate(conversations, start=1):
            moment = format_datetime(conversation.updated_at.astimezone(), "short", rebase=False)
            self.say(f"{number:3}  {conversation.title}  ({moment})")

    def transcript(self, messages: Sequence[Message]) -> None:
        """Print what was said before."""
        for message in messages:
            if message.role is Role.USER:
                self.say(f"> {message.text}", style="bold")
            else:
                self._console.print(_markdown(harmless(message.text)))

    def models(self, cards: Sequence[Card], now: Card) -> None:
        """Print the models that can answer, with a mark at the one that does."""
        for card in cards:
            mark = "●" if card.name == now.name else "○"
            self.say(f"{mark} {card.name}: {gettext(card.entry.purpose)}")

    def reading(self, found: Reading | None) -> None:
        """Print what the model saw, token by token, below what it did not see."""
        if found is None:
            self.say(gettext("For this answer nothing was kept of what the model saw."))
            return
        for turn in found.left_out:
            self.say(" ".join(turn.text.split())[:SHOWN_CHARS], style="dim")
        if found.left_out:
            self.say("── " + gettext("The model did not see what is above this line"), style="dim")
        for turn in found.kept:
            self.say(_read(turn), style="bold" if turn.role == "user" else "")
        counts = {"model": found.model, "used": found.used, "budget": found.budget}
        self.say(gettext("%(model)s has read %(used)s of %(budget)s tokens.", **counts), style="dim")
        self.say(
            ", ".join(f"{name} {value}" for name, value in found.options.items() if value is not None), style="dim"
        )


def _read(turn: ReadTurn) -> str:
    """A turn with a bar between its tokens."""
    text = "|".join(filter(None, [turn.head, *turn.pieces])) or turn.text
    return ("> " if turn.role == "user" else "") + ("…" if turn.cut else "") + text


def harmless(text: str) -> str:
    """The text without control characters, which would steer the terminal."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc")


def state_of(answer: Answer) -> str:
    """What an answer waits for."""
    runner = answer.runner
    if runner is None:
        return str(gettext("Starting the model…"))
    if runner.state in {RunnerState.FETCHING, RunnerState.LOADING}:
        done: str = "" if runner.progress is None else f" {runner.progress:.0%}"
        fetching = runner.state is RunnerState.FETCHING
        return str(gettext("Fetching the model…") if fetching else gettext("Loading the model…")) + done
    if answer.position and answer.position > 1:
        return str(gettext("Waiting: place %(place)s in the queue…", place=answer.position))
    return str(gettext("Thinking…"))


def ending_of(answer: Answer) -> str:
    """How an answer ended, where that is worth a word."""
    sentences: dict[Status, str] = {
        Status.STOPPED: gettext("Stopped."),
        Status.FAILED: gettext("The model could not answer."),
        Status.INTERRUPTED: gettext("The answer was interrupted: the runner died more than once over it."),
    }
    if answer.status is Status.DONE and answer.reason in {"length", "deadline"}:
        return str(gettext("The answer was cut: it reached the longest that is allowed."))
    return sentences.get(answer.status, "")


def _markdown(source: str) -> Markdown:
    # A link shows where it leads, and not only its text.
    return Markdown(source, hyperlinks=False, code_theme="ansi_dark")
