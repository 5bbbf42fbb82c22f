"""Advice about models: which one is best on this machine, which ones are offered, and who speaks the reader's language.

Only people who may manage models are advised; the others see which model answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import current_app
from flask_babel import get_locale

from chatsite.engine.catalog.catalog import ModelGroup
from chatsite.services.models import catalog, offers, recommendation
from chatsite.services.models.catalog import ModelCard
from chatsite.services.models.recommendation import Machine, Recommendation
from chatsite.settings import LOCAL
from chatsite.web.core.identity import catalog_config
from chatsite.web.core.network import is_from_this_computer


@dataclass(frozen=True)
class OffersView:
    """The question which model to download. `best` is the best one on this machine, which may be one of `cards`."""

    cards: Sequence[ModelCard]
    best: Recommendation | None

    @property
    def is_in_progress(self) -> bool:
        """Whether the owner has answered, and what was asked for is on its way."""
        return any(card.is_downloading for card in self.cards)


@dataclass(frozen=True)
class LanguageHint:
    """The model does not speak the language of the page; `alternative` does, if there is one for this reader."""

    languages: Sequence[str]
    page_language: str
    alternative: ModelCard | None


def may_manage_models() -> bool:
    """Return whether the sender of this request may download and remove models, and change the endpoints."""
    allowed: bool | str = current_app.config["ALLOW_MODEL_MANAGEMENT"]
    return is_from_this_computer() if allowed == LOCAL else bool(allowed)


def find_best(cards: Sequence[ModelCard], language: str = "") -> Recommendation | None:
    """Return the best assistant for this machine, or None for readers who cannot get it and where nobody can tell.

    A runner that was started elsewhere may be on another machine than this process.
    """
    if not may_manage_models() or current_app.config["RUNNER"] == "external":
        return None
    return recommendation.recommend(_read_machine(), cards, language)


def has_better_model(card: ModelCard | None) -> bool:
    """Return whether the visitor can get a better assistant for this machine than the model of `card`."""
    if card is None or card.entry.is_remote or not may_manage_models():
        return False
    best = find_best(catalog.list_cards(catalog_config()))
    return best is not None and best.card.entry.parameter_count > card.entry.parameter_count


def load_offers() -> OffersView | None:
    """Load the question which model to download; None if there is nothing to ask or nobody to ask it."""
    config = catalog_config()
    if not may_manage_models() or not config.is_auto:
        return None
    cards = catalog.list_cards(config)
    best = find_best(cards)
    offered = offers.list_offers(config, cards, _read_machine(), best=best)
    return OffersView(offered, best) if offered else None


def find_language_hint(card: ModelCard | None) -> LanguageHint | None:
    """Return a hint if a model does not speak the language of the page, as far as the catalog knows.

    The alternative is a model that is here, the largest first, or else the best one that can be downloaded.
    """
    language = str(get_locale() or "en")
    if card is None or not card.entry.languages or language in card.entry.languages:
        return None
    cards = catalog.list_cards(catalog_config())
    is_usable = [
        other
        for other in cards
        if other.is_ready
        and not other.is_removing
        and other.entry.group is ModelGroup.CHAT
        and language in other.entry.languages
    ]
    best = find_best(cards, language)
    downloadable = best.card if best else None
    alternative = max(is_usable, key=lambda other: other.entry.parameter_count, default=downloadable)
    return LanguageHint(card.entry.languages, language, alternative)


def _read_machine() -> Machine:
    return recommendation.read_machine(current_app.config["MODELS"], current_app.config["MODEL_MEMORY_MB"])
