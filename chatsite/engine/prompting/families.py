"""The prompt format of each family."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from chatsite.engine.prompting import PromptFormat
from chatsite.engine.prompting.blenderbot import BlenderbotFormat
from chatsite.engine.prompting.blenderbot_small import BlenderbotSmallFormat
from chatsite.engine.prompting.chat import ChatFormat
from chatsite.engine.prompting.continuation import ContinuationFormat, DialoGPTFormat
from chatsite.engine.prompting.text_to_text import TextToTextFormat

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PROMPT_FORMATS: dict[str, Callable[..., PromptFormat]] = {
    "chat": ChatFormat,
    "continuation": ContinuationFormat,
    "dialogue": DialoGPTFormat,
    "blenderbot": BlenderbotFormat,
    "blenderbot-small": BlenderbotSmallFormat,
    "text-to-text": TextToTextFormat,
}
# Formats in which a token ends a text.
FAMILIES_WITH_END_TOKEN = {"blenderbot", "dialogue", "text-to-text"}


def prompt_format_for(  # noqa: PLR0913 What the formats of all families are made of.
    family: str, tokenizer: PreTrainedTokenizerBase, model: str, *, revision: str, context_tokens: int, eos_id: int
) -> PromptFormat:
    """Create the format of a family, for a model that reads `context_tokens` ids and ends texts with `eos_id`.

    `model` and `revision` are what a prompt report says of the weights.
    """
    end_options = {"eos_id": eos_id} if family in FAMILIES_WITH_END_TOKEN else {}
    return PROMPT_FORMATS[family](tokenizer, model, revision, context_tokens, **end_options)
