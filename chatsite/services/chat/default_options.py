"""Default options: what the model and the style of a conversation use where the user sets nothing."""

from __future__ import annotations

from sqlalchemy import select

from chatsite.database import db
from chatsite.models import Conversation, Generation
from chatsite.services.chat import message_tree
from chatsite.services.chat.chat_settings import NUMERIC_OPTIONS

# Each answer has a question, and one that failed early has no report, so a few answers are looked at.
MAX_STEPS = 8
# Beam search draws no tokens, so it says nothing about these.
SAMPLING_OPTIONS = frozenset({"temperature", "top_p", "top_k"})
# The seed is random each time, and the length is what was left of a limit.
UNREPORTED_OPTIONS = frozenset({"seed", "max_new_tokens"})


def find_default_options(conversation: Conversation) -> dict[str, float]:
    """Return the values of options that the latest answers by the same model and style had without being set.

    They are what really was used, as the prompt reports say. An option of which no report tells is left out.
    """
    nearby_ids = message_tree.ancestors(conversation.active_leaf_id, MAX_STEPS)
    query = select(Generation).where(Generation.message_id.in_(nearby_ids), Generation.is_latest)
    found: dict[str, float] = {}
    for generation in db.session.scalars(query.order_by(Generation.message_id)):
        if (generation.model, generation.preset) == (conversation.model, conversation.preset):
            found |= _unset_options(generation)
    return found


def _unset_options(generation: Generation) -> dict[str, float]:
    """Return the options in the prompt report of a generation that the user had not set."""
    reported = (generation.prompt_report or {}).get("options") or {}
    is_beam_search = isinstance(reported.get("beams"), int) and reported["beams"] > 1
    hidden = UNREPORTED_OPTIONS | (SAMPLING_OPTIONS if is_beam_search else frozenset())
    names = NUMERIC_OPTIONS.keys() - hidden - (generation.generation_options or {}).keys()
    return {name: reported[name] for name in names if isinstance(reported.get(name), int | float)}
