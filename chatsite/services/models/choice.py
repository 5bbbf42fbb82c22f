"""Model choice: the model and the preset that answer in a conversation."""

from __future__ import annotations

from dataclasses import dataclass, field

from chatsite.engine.catalog.builtin_models import BUILTIN_ENTRIES
from chatsite.engine.types import Preset
from chatsite.errors import InvalidPresetError, ModelNotAvailableError, ModelNotFoundError
from chatsite.models import Conversation, Message, Visitor
from chatsite.services.models import catalog
from chatsite.services.models.catalog import CatalogConfig, ModelCard

# Families whose published settings use beam search, which is also what `precise` means for them.
BEAM_FAMILIES = frozenset({"blenderbot", "blenderbot-small"})

FAMILY_BY_BUILT_IN_NAME = {entry.name: entry.family for entry in BUILTIN_ENTRIES}
# The page repeats an unknown name up to this length.
MAX_NAME_CHARS_SHOWN = 100


@dataclass(frozen=True)
class ModelChoice:
    """A model by its name in the catalog, and a preset; None leaves either to the site or to the model.

    `family` is the family of a validated model, empty if it is not known.
    """

    model: str | None = None
    preset: str | None = None
    family: str = field(default="", compare=False)

    @property
    def known_family(self) -> str:
        """The family of the model: as validated, or of the built-in model with this name; empty if neither is known."""
        return self.family or FAMILY_BY_BUILT_IN_NAME.get(self.model or "", "")


def default_preset(family: str) -> Preset:
    """Return the preset that is nearest to the default decoding of models of `family`."""
    return Preset.PRECISE if family in BEAM_FAMILIES else Preset.BALANCED


def validate(config: CatalogConfig, model: str | None, preset: str | None) -> ModelChoice:
    """Validate a choice of model and preset, and return it as it is stored.

    A preset that equals the model's default is stored as None, so that a later change of the default applies. Without a
    model it is the site's default. Raises InvalidPresetError, or ModelNotAvailableError if the model cannot answer now.
    """
    name = model or catalog.default_name(config)
    if preset and preset not in list(Preset):
        raise InvalidPresetError
    try:
        card = catalog.get_card(config, name)
    except ModelNotFoundError:
        raise ModelNotAvailableError(model=name[:MAX_NAME_CHARS_SHOWN]) from None
    if not _is_card_available(card):
        raise ModelNotAvailableError(model=card.entry.title)
    stored_preset = preset if preset and preset != default_preset(card.entry.family) else None
    return ModelChoice(card.name, stored_preset, card.entry.family)


def find_default_model(config: CatalogConfig, user: Visitor) -> str | None:
    """Return the model with which the user's new chats begin, or None for the default of the site.

    That is also used while the user's own default cannot answer.
    """
    model = user.default_model
    return model if model and is_available(config, model) else None


def get_for_new_chat(
    config: CatalogConfig, user: Visitor, model: str | None = None, *, preset: str | None = None
) -> ModelChoice:
    """Return the choice for a new chat: `model` and `preset` if given, else the user's own defaults, else the site's.

    Another model does not get the user's default preset. Raises InvalidPresetError or ModelNotAvailableError.
    """
    chosen_preset = user.default_preset if preset is None and not model else preset
    return validate(config, model or find_default_model(config, user), chosen_preset)


def get_for_next_answer(
    config: CatalogConfig, conversation: Conversation, model: str | None = None, *, preset: str | None = None
) -> ModelChoice:
    """Return the choice for the next answer of a conversation: `model` and `preset` if given, else the stored ones.

    With another model, the stored preset does not apply. Raises InvalidPresetError or ModelNotAvailableError.
    """
    is_same_model = not model or model == conversation.model
    return validate(
        config, model or conversation.model, conversation.preset if preset is None and is_same_model else preset
    )


def get_for_regeneration(config: CatalogConfig, message: Message, preset: str | None = None) -> ModelChoice:
    """Return the choice for another version of an answer: the model that wrote it, with its preset or `preset`.

    If that model is not available any more, it is the one that answers next. Raises InvalidPresetError or
    ModelNotAvailableError.
    """
    generation = message.generation
    if generation and generation.model and is_available(config, generation.model):
        return validate(config, generation.model, generation.preset if preset is None else preset)
    return get_for_next_answer(config, message.conversation, preset=preset)


def get_for_rerun(config: CatalogConfig, message: Message, keep_text: bool) -> ModelChoice:
    """Return the choice for a rerun of an answer.

    This is the earlier model, if it is available and its text is kept (`keep_text`) or compared; else the choice for
    the next answer. Raises InvalidPresetError or ModelNotAvailableError.
    """
    generation = message.generation
    if (
        (keep_text or message.in_comparison)
        and generation
        and generation.model
        and is_available(config, generation.model)
    ):
        return validate(config, generation.model, generation.preset)
    return get_for_next_answer(config, message.conversation)


def is_available(config: CatalogConfig, model: str) -> bool:
    """Return whether a model with this name exists and can answer."""
    try:
        return _is_card_available(catalog.get_card(config, model))
    except ModelNotFoundError:
        return False


def _is_card_available(card: ModelCard) -> bool:
    # The default model is downloaded without being asked for, and questions wait for it.
    return card.is_default or card.is_usable
