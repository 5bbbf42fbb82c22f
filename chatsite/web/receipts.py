"""Receipts: what the model saw when it wrote an answer, and how much of its window the next question finds taken."""

from __future__ import annotations

from typing import NamedTuple

from flask import Blueprint, Flask, render_template
from flask_babel import format_decimal, gettext

from chatsite.errors import NotFoundError, sentence
from chatsite.models import Role
from chatsite.rendering.tokens import tokens
from chatsite.services import receipts
from chatsite.services.receipts import Reading
from chatsite.web.access import get_message
from chatsite.web.fragments import fragment, sidebar
from chatsite.web.htmx import headers

bp = Blueprint("receipts", __name__)

# Of the turns that were left out so many are shown; it is the newest of them that were missed.
MOST_LEFT_OUT = 12


class Setting(NamedTuple):
    """A decoding option in words; a value of `idle` does nothing and is not worth a line."""

    label: str
    meaning: str
    idle: float | None = None


SETTINGS = {
    "beams": Setting(
        sentence("Beams"), sentence("So many beginnings of the answer are written side by side; the best one wins."), 1
    ),
    "length_penalty": Setting(
        sentence("Length penalty"),
        sentence("How answers of different length are compared: 0 favours short ones, 1 takes the mean of the tokens."),
    ),
    "temperature": Setting(
        sentence("Temperature"),
        sentence("How daring the choice of each token is: 0 always takes the likeliest one."),
    ),
    "top_p": Setting(
        sentence("Top-p"), sentence("Only the likeliest tokens that together have this share are drawn from."), 1
    ),
    "top_k": Setting(sentence("Top-k"), sentence("Only so many of the likeliest tokens are drawn from."), 0),
    "repetition_penalty": Setting(
        sentence("Repetition penalty"), sentence("Above 1, words that the answer has used become less likely."), 1
    ),
    "no_repeat_ngram": Setting(
        sentence("No repeats"), sentence("No run of so many tokens comes twice in the answer."), 0
    ),
    "encoder_no_repeat_ngram": Setting(
        sentence("No echo"), sentence("No run of so many tokens is taken over from the conversation."), 0
    ),
    "min_new_tokens": Setting(sentence("Least length"), sentence("The answer has at least so many tokens."), 0),
    "max_new_tokens": Setting(sentence("Greatest length"), sentence("The answer is cut after so many tokens.")),
    "seconds": Setting(sentence("Time limit"), sentence("The answer is cut after so many seconds.")),
    "preset": Setting(sentence("Manner"), sentence("How you wished the words to be chosen.")),
    "fallback": Setting(
        sentence("In haste"),
        sentence("Many answers were waiting, so this one was drawn word after word instead of being weighed."),
    ),
    "precision": Setting(
        sentence("Precision"), sentence("How exactly the numbers of the model are kept; fewer bits are read faster.")
    ),
    "seed": Setting(sentence("Seed"), sentence("Where chance began: the same seed draws the same answer again.")),
}
# Where whole answers are weighed nothing is drawn, and only there lengths are compared.
DRAWING = {"temperature", "top_p", "top_k", "seed"}
WEIGHING = {"length_penalty"}
# Values that are words of ours.
WORDS = {
    "precise": sentence("precise"),
    "balanced": sentence("balanced"),
    "creative": sentence("creative"),
    "busy": sentence("fast instead of precise"),
}
READS = {
    "chat": sentence("It was taught to follow conversations: marks around each turn say who speaks."),
    "blenderbot": sentence("It reads the newest turns one after the other, without names, two spaces between them."),
    "blenderbot-small": sentence("It reads the newest turns in small letters, with a mark between them."),
    "continuation": sentence(
        "It only goes on with texts, so it read a script with “User:” and “Assistant:” before the turns."
    ),
    "dialogue": sentence("It reads the turns one after the other, each closed by the mark that ends a text."),
    "text-to-text": sentence(
        "It does one task at a time and reads the newest message alone: by its nature it has no history."
    ),
    "scripted": sentence("It is a script and no model; its tokens are words."),
}


def init_app(app: Flask) -> None:
    """What templates need to show receipts."""
    app.jinja_env.globals.update(outlook=receipts.outlook, settings_of=settings_of, tokens=tokens)
    app.jinja_env.globals.update(most_left_out=MOST_LEFT_OUT, reads=READS)


@bp.get("/messages/<public_id>/receipt")
def show(public_id: str) -> str:
    """What the model saw when it wrote this answer: as a page, or to be opened under the answer."""
    message = get_message(public_id)
    if message.role is Role.USER:
        raise NotFoundError
    values = {"message": message, "reading": receipts.reading(message)}
    if headers().wants_fragment:
        return fragment("receipts/_receipt.html", **values)
    conversation = message.conversation
    return render_template("receipts/show.html", **values, conversation=conversation, sidebar=sidebar(conversation))


def settings_of(reading: Reading) -> list[tuple[Setting, str]]:
    """The decoding options that had an effect, in words, with their values; one without words keeps its name."""
    silent = DRAWING if reading.weighed else WEIGHING
    found = []
    for name, value in reading.options.items():
        setting = SETTINGS.get(name, Setting(name, ""))
        said = isinstance(value, int | float | str) and not isinstance(value, bool) and value != setting.idle
        if said and name not in silent:
            found.append((setting, _in_words(name, value)))
    return found


def _in_words(name: str, value: float | str) -> str:
    if name in {"preset", "fallback"}:
        return str(gettext(WORDS.get(str(value), str(value))))
    plain = name == "seed" or isinstance(value, str)
    return str(value) if plain else str(format_decimal(value, "#,##0.###"))
