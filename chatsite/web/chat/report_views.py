"""Views of prompt reports: the turns with their tokens, and the decoding options in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from flask_babel import format_decimal, gettext
from markupsafe import Markup

from chatsite.errors import gettext_noop
from chatsite.models import Message
from chatsite.rendering.syntax.token_spans import render_tokens
from chatsite.services.chat.prompt_report import PromptReport, ReportedTurn
from chatsite.web.chat.signatures import headline, read_turns
from chatsite.web.chat.views import GenerationSummary, summarize_generation
from chatsite.web.models.picker import model_title

# The latest dropped turns are the ones that a reader of the answer expects the model to know.
MAX_DROPPED_SHOWN = 12


class OptionLabel(NamedTuple):
    """A decoding option in words. An option with the value `neutral_value` has no effect and is not shown."""

    label: str
    description: str
    neutral_value: float | None = None


OPTION_LABELS = {
    "beams": OptionLabel(
        gettext_noop("Drafts compared (beams)"),
        gettext_noop("This many drafts are written side by side; the best one wins."),
        1,
    ),
    "length_penalty": OptionLabel(
        gettext_noop("Length penalty"),
        gettext_noop(
            "How answers of different length are compared: 0 favors short ones, 1 uses the mean of the tokens."
        ),
    ),
    "temperature": OptionLabel(
        gettext_noop("Temperature"),
        gettext_noop("How random the choice of each token is; 0 always chooses the most likely one."),
    ),
    "top_p": OptionLabel(
        gettext_noop("Top-p"),
        gettext_noop("Only the most likely tokens up to this total probability are considered."),
        1,
    ),
    "top_k": OptionLabel(
        gettext_noop("Top-k"), gettext_noop("Only this many of the most likely tokens are considered."), 0
    ),
    "repetition_penalty": OptionLabel(
        gettext_noop("Repetition penalty"),
        gettext_noop("Above 1, words already used in the answer become less likely."),
        1,
    ),
    "no_repeat_ngram": OptionLabel(
        gettext_noop("Block repeated phrases"),
        gettext_noop("Sequences of this many tokens are not repeated in the answer."),
        0,
    ),
    "encoder_no_repeat_ngram": OptionLabel(
        gettext_noop("Block phrases copied from the chat"),
        gettext_noop("Sequences of this many tokens are not copied from the chat."),
        0,
    ),
    "min_new_tokens": OptionLabel(
        gettext_noop("Minimum length"), gettext_noop("The answer has at least this many tokens."), 0
    ),
    "max_new_tokens": OptionLabel(
        gettext_noop("Maximum length"), gettext_noop("The answer is cut off after this many tokens.")
    ),
    "max_reasoning_tokens": OptionLabel(
        gettext_noop("Maximum reasoning"), gettext_noop("After this many tokens the model had to answer.")
    ),
    "seconds": OptionLabel(gettext_noop("Time limit"), gettext_noop("The answer is cut off after this many seconds.")),
    "preset": OptionLabel(gettext_noop("Style"), gettext_noop("The answer style you chose.")),
    "fallback": OptionLabel(
        gettext_noop("Fast mode (busy)"),
        gettext_noop("The queue was long, so this answer was sampled once instead of comparing drafts."),
    ),
    "precision": OptionLabel(
        gettext_noop("Precision"),
        gettext_noop("How exactly the parameters of the model are stored; fewer bits are faster."),
    ),
    "seed": OptionLabel(
        gettext_noop("Seed"), gettext_noop("The random seed: the same seed gives the same answer again.")
    ),
}
# Beam search draws no random tokens, and only beam search compares lengths.
SAMPLING_OPTIONS = {"temperature", "top_p", "top_k", "seed"}
BEAM_SEARCH_OPTIONS = {"length_penalty"}
# Option values that are words, not numbers, and need a translation.
VALUE_LABELS = {
    "precise": gettext_noop("precise"),
    "balanced": gettext_noop("balanced"),
    "creative": gettext_noop("creative"),
    "busy": gettext_noop("fast mode instead of precise"),
}
FORMAT_DESCRIPTIONS = {
    "chat": gettext_noop("It was trained on conversations: markers around each message show who is speaking."),
    "blenderbot": gettext_noop(
        "It reads the latest messages one after another, without names, separated by two spaces."
    ),
    "blenderbot-small": gettext_noop("It reads the latest messages in lower case, with a separator between them."),
    "continuation": gettext_noop(
        "It only continues texts, so it read a script with “User:” and “Assistant:” before each message."
    ),
    "dialogue": gettext_noop("It reads the messages one after another, each followed by the end-of-text token."),
    "text-to-text": gettext_noop("It does one task at a time and only reads the latest message, without history."),
    "scripted": gettext_noop("A script, not a model; its tokens are words."),
}


NOTE_SENTENCES = {
    "cut_by_server": gettext_noop("The server read fewer tokens than it was sent: it cut the beginning of the chat."),
    "restarted": gettext_noop("The answer was interrupted and the server cannot continue it, so it was started again."),
}


@dataclass(frozen=True)
class TurnView:
    """A turn of the prompt, with its tokens marked where the report has them."""

    turn: ReportedTurn
    tokens: Markup


@dataclass(frozen=True)
class ReportView:
    """The prompt report of an answer in words.

    `headline` says in a sentence what the model saw, `is_partial` that it was not everything. `dropped_turns` are the
    latest of the turns that did not fit into the prompt, and `earlier_count` is the number of
    dropped turns before them. If `report` is None, only `summary` is known. A model that `is_remote` runs on another
    server; `notes` say what that did.
    """

    message: Message
    report: PromptReport | None
    summary: GenerationSummary | None
    word_count: int
    headline: str = ""
    is_partial: bool = False
    dropped_turns: Sequence[TurnView] = ()
    earlier_count: int = 0
    kept_turns: Sequence[TurnView] = ()
    model_title: str = ""
    format_description: str = ""
    options: Sequence[tuple[OptionLabel, str]] = ()
    is_remote: bool = False
    notes: Sequence[str] = ()


def build_report(message: Message, report: PromptReport | None) -> ReportView:
    """Build the view of a prompt report; `report` is None for an answer without one."""
    summary = summarize_generation(message.generation) if message.generation else None
    word_count = len(message.text.split())
    if report is None:
        return ReportView(message, None, summary, word_count)
    dropped_turns = report.dropped_turns
    turns = read_turns(message.generation) if message.generation else None
    return ReportView(
        message,
        report,
        summary,
        word_count,
        headline=headline(turns) if turns else "",
        is_partial=turns is not None and turns.is_partial,
        dropped_turns=[_turn_view(turn) for turn in dropped_turns[-MAX_DROPPED_SHOWN:]],
        earlier_count=max(len(dropped_turns) - MAX_DROPPED_SHOWN, 0),
        kept_turns=[_turn_view(turn) for turn in report.kept_turns],
        model_title=model_title(report.model),
        format_description=FORMAT_DESCRIPTIONS.get(report.family, ""),
        options=list_option_rows(report),
        is_remote=report.counted_by != "engine",
        notes=[gettext(NOTE_SENTENCES[note]) for note in report.notes if note in NOTE_SENTENCES],
    )


def _turn_view(turn: ReportedTurn) -> TurnView:
    return TurnView(turn, render_tokens(turn.token_texts) if turn.is_kept else Markup())


def list_option_rows(report: PromptReport) -> list[tuple[OptionLabel, str]]:
    """List the decoding options that had an effect, with their values. An option without a label keeps its name."""
    hidden_options = SAMPLING_OPTIONS if report.used_beam_search else BEAM_SEARCH_OPTIONS
    rows = []
    for name, value in report.options.items():
        label = OPTION_LABELS.get(name, OptionLabel(name, ""))
        is_shown = isinstance(value, int | float | str) and not isinstance(value, bool) and value != label.neutral_value
        if is_shown and name not in hidden_options:
            rows.append((label, _format_option(name, value)))
    return rows


def _format_option(name: str, value: float | str) -> str:
    if name in {"preset", "fallback"}:
        return str(gettext(VALUE_LABELS.get(str(value), str(value))))
    is_verbatim = name == "seed" or isinstance(value, str)
    return str(value) if is_verbatim else str(format_decimal(value, "#,##0.###"))
