"""Which format a model's family reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from chatsite.engine.prompting import Format
from chatsite.engine.prompting.blenderbot import BlenderbotFormat
from chatsite.engine.prompting.blenderbot_small import BlenderbotSmallFormat
from chatsite.engine.prompting.chat import ChatFormat
from chatsite.engine.prompting.continuation import ContinuationFormat, DialogueFormat
from chatsite.engine.prompting.text_to_text import TextToTextFormat

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FORMATS: dict[str, Callable[..., Format]] = {
    "chat": ChatFormat,
    "continuation": ContinuationFormat,
    "dialogue": DialogueFormat,
    "blenderbot": BlenderbotFormat,
    "blenderbot-small": BlenderbotSmallFormat,
    "text-to-text": TextToTextFormat,
}
# Formats in which a token ends a text.
ENDED = {"blenderbot", "dialogue", "text-to-text"}


def format_of(
    family: str, tokenizer: PreTrainedTokenizerBase, model: str, revision: str, context: int, end: int
) -> Format:
    """The format of a family, for a model that reads `context` ids and whose texts end with `end`."""
    ending = {"end": end} if family in ENDED else {}
    return FORMATS[family](tokenizer, model, revision, context, **ending)
