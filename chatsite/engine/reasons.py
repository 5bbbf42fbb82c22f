"""Why a model cannot be had or loaded: the sentences of it, one place for all of them.

A reason is made in a child process or in a runner, goes through a pipe, a log and the database, and is read by people
whose language nobody knew when it was made. So it travels as plain English, and `taken_apart` finds the sentence that
it was made of again, which a page translates.
"""

from __future__ import annotations

import re
from functools import cache

from chatsite.errors import sentence

NO_WEIGHTS = sentence("%(name)s has no weights.")
NOT_OURS = sentence("the weights of %(name)s are not ours to delete.")
OTHER_PROCESS = sentence("%(name)s is being fetched by another process.")
OTHER_SHA = sentence("%(file)s is not the file that was published: its sha256 differs.")
NO_ROOM = sentence("%(name)s needs %(needed)s on the disk, where %(free)s are free.")
OFFLINE = sentence("%(repo)s is not in the Hugging Face cache, and HF_HUB_OFFLINE forbids fetching it.")
NO_ANSWER = sentence("%(repo)s is not in the Hugging Face cache and cannot be fetched: %(cause)s")
NO_FORMAT = sentence("%(repo)s holds no weights in a format that is read here.")
OTHER_DIGEST = sentence("%(file)s of %(repo)s is not the file that was published: its digest differs.")
NOT_FETCHED = sentence("%(file)s of %(repo)s cannot be fetched: %(cause)s")
CUT_OFF = sentence("the connection ends too early.")
NO_PACKAGE = sentence("pip could not fetch %(package)s: %(cause)s")
ENDED = sentence("the fetching process ended with the status %(status)s.")
OTHER_FILE = sentence("%(file)s in %(folder)s is not safetensors, JSON or text; only these are read.")
UNREAD_FILE = sentence("%(folder)s has a file %(file)s, which is not read here.")
INCOMPLETE = sentence("%(folder)s lacks its configuration, its tokenizer or its weights.")
OTHER_TYPE = sentence("models of the type %(type)s are not supported.")
OTHER_FAMILY = sentence("%(folder)s holds a model of the type %(type)s, which is no model of the family %(family)s.")
DANGEROUS_KEY = sentence("%(file)s has the key %(key)s, which may run code or change how the model is loaded.")
UNREADABLE = sentence("%(file)s cannot be read (%(cause)s).")
NOT_LOADED = sentence("%(folder)s cannot be loaded (%(cause)s)")
MISSING = sentence("the weights in %(folder)s are not those of its configuration: %(key)s is not among them.")
ENDLESS = sentence("no token of %(name)s ends its answers.")
ORDINARY_END = sentence(
    "the tokenizer of %(name)s belongs to another model: what ends an answer is an ordinary word in it."
)
OTHER_SIZE = sentence(
    "the tokenizer of %(name)s belongs to another model: it has %(words)s words, and the model %(rows)s."
)
UNKNOWN_TOKENS = sentence("its format has tokens that the model does not know.")
MUTE = sentence("it cannot answer (%(cause)s)")
KILLED = sentence("the process that converts it was ended by signal %(signal)s; probably there is not enough memory.")
NOT_CONVERTED = sentence("it cannot be converted (%(cause)s).")
LOOKS_AHEAD = sentence("it looks ahead, so it cannot write one token after the other.")
UNEVEN_KEYS = sentence("its layers have keys of different sizes, which is not supported.")
FORGEABLE = sentence("the tokenizer of %(name)s lets a text forge special tokens.")
OTHER_WRITING = sentence("the tokenizer of %(name)s does not write its format.")
OTHER_ENDING = sentence("the tokenizer of %(name)s does not end a text as the model does.")
NO_TEMPLATE = sentence("%(name)s has no template for chats.")
EMPTY_TEMPLATE = sentence("the template of %(name)s does not show its messages.")
LEAVING = sentence("%(name)s is being removed from this machine.")
TOO_LARGE = sentence("%(name)s needs about %(needed)s of memory, and all models together may take %(most)s.")
AWAY = sentence("%(name)s is not on this machine.")

PLACE = re.compile(r"%\((\w+)\)s")


def because(reason: str, **params: object) -> str:
    """One of these sentences with its places filled."""
    return reason % params


def taken_apart(text: str) -> tuple[str, dict[str, str]] | None:
    """The sentence that a text was made of, and what fills its places; None for a text that is none of ours."""
    for reason, pattern in _patterns():
        if found := pattern.fullmatch(text):
            return reason, found.groupdict()
    return None


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """Each sentence and what it matches; those that say most come first, for a place can hold any words."""
    sentences = [value for name, value in globals().items() if name.isupper() and isinstance(value, str)]
    by_words = sorted(sentences, key=lambda reason: -len(PLACE.sub("", reason)))
    return [(reason, _pattern(reason)) for reason in by_words]


def _pattern(reason: str) -> re.Pattern[str]:
    texts, names = PLACE.split(reason)[::2], PLACE.findall(reason)
    places = [*(f"(?P<{name}>.+)" for name in names), ""]
    return re.compile("".join(re.escape(text) + place for text, place in zip(texts, places, strict=True)), re.DOTALL)
