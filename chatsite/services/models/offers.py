"""Offers: the models that the owner is asked about, because nothing large is downloaded without being asked for."""

from __future__ import annotations

from collections.abc import Sequence

from chatsite.engine.catalog.catalog import EMBEDDED_MODEL, PREFERRED_MODEL
from chatsite.services.models import recommendation
from chatsite.services.models.catalog import CatalogConfig, ModelCard
from chatsite.services.models.recommendation import Machine, Recommendation


def list_offers(
    config: CatalogConfig, cards: Sequence[ModelCard], machine: Machine, *, best: Recommendation | None
) -> list[ModelCard]:
    """Return the models to offer to the owner: the best assistant for this machine, and the preferred small talker.

    While the embedded model answers new conversations, each is offered until the owner says something about it; what
    the owner wanted is listed until it answers. A site whose settings name the default model offers nothing.
    """
    if not config.is_auto or not any(card.is_default and card.name == EMBEDDED_MODEL for card in cards):
        return []
    wanted = [card for card in cards if card.answers_new_chats and card.is_downloading]
    if wanted:
        return wanted
    small_talk = [
        card for card in cards if card.name == PREFERRED_MODEL and recommendation.can_run(machine, cards, card)
    ]
    candidates = [best.card, *small_talk] if best else small_talk
    return [card for card in candidates if not card.is_default and card.answers_new_chats is None]
