"""The model picker: available models and presets, and the choice in a submitted form."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import request
from flask_babel import gettext

from chatsite.engine.types import Preset
from chatsite.errors import ModelNotFoundError, TooFewModelsError, gettext_noop
from chatsite.models import Conversation, Generation, Message, Persona
from chatsite.services.accounts import user_settings
from chatsite.services.chat import chat_settings, comparisons
from chatsite.services.chat.chat_settings import ChatSettings
from chatsite.services.chat.variations import Variation
from chatsite.services.models import catalog, choice
from chatsite.services.models.catalog import ModelCard
from chatsite.services.models.choice import BEAM_FAMILIES, ModelChoice
from chatsite.web.core.identity import catalog_config, current_user
from chatsite.web.models import settings_form
from chatsite.web.models.endpoint_views import describe_destination

# Name and meaning of each preset: for families that use beam search by default, for the ones that do one task for each
# message, and for all others.
BEAM_SEARCH_PRESETS = {
    Preset.PRECISE: (gettext_noop("precise"), gettext_noop("Compares ten drafts and keeps the best.")),
    Preset.BALANCED: (gettext_noop("fast"), gettext_noop("One answer, word by word.")),
    Preset.CREATIVE: (gettext_noop("creative"), gettext_noop("One answer with more surprising words.")),
}
TASK_PRESETS = {
    Preset.PRECISE: (gettext_noop("precise"), gettext_noop("Compares four drafts and keeps the best.")),
    Preset.BALANCED: (gettext_noop("balanced"), gettext_noop("Always chooses the most likely word.")),
    Preset.CREATIVE: (gettext_noop("creative"), gettext_noop("One answer with more surprising words.")),
}
SAMPLING_PRESETS = {
    Preset.PRECISE: (gettext_noop("precise"), gettext_noop("Chooses the most likely words, with few surprises.")),
    Preset.BALANCED: (gettext_noop("balanced"), gettext_noop("The style recommended for this model.")),
    Preset.CREATIVE: (gettext_noop("creative"), gettext_noop("More surprising words; goes off track more often.")),
}
VARIATION_NOTICES = {
    Variation.SHORTER: gettext_noop("You asked for a shorter answer"),
    Variation.SIMPLER: gettext_noop("You asked for a simpler answer"),
}
PRESET_LABELS_BY_FAMILY = {"text-to-text": TASK_PRESETS, **dict.fromkeys(BEAM_FAMILIES, BEAM_SEARCH_PRESETS)}


@dataclass(frozen=True)
class Option:
    """An option of the model picker: its `value` in a form, label, description, and whether it is selected.

    `number` counts the options of one kind. A model of another server has the `server`; its description says what is
    known of that.
    """

    value: str
    label: str
    description: str
    is_selected: bool
    number: int = 0
    server: str = ""


@dataclass(frozen=True)
class OptionGroup:
    """The models of one server under its name, with a `note` about it; those that run here have neither."""

    title: str
    note: str
    options: Sequence[Option]


@dataclass(frozen=True)
class ModelPicker:
    """The model that answers next, with all available models and presets.

    `is_unavailable` says that the weights of the model are not on this machine. `persona` names the settings of the
    conversation. With `is_comparing` all selected `compare_options` answer the next question.
    """

    model_title: str
    preset: str
    is_unavailable: bool
    models: list[Option]
    presets: list[Option]
    persona: str = ""
    compare_options: tuple[Option, ...] = ()
    is_comparing: bool = False
    server_notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def model_groups(self) -> list[OptionGroup]:
        """The models by the servers that they run on, those of this one first."""
        return self._group(self.models)

    @property
    def compare_groups(self) -> list[OptionGroup]:
        """The models to compare, grouped in the same way."""
        return self._group(self.compare_options)

    @property
    def compared(self) -> list[Option]:
        """The models that answer the next question side by side, if several do."""
        return [option for option in self.compare_options if option.is_selected] if self.is_comparing else []

    @property
    def can_compare_more(self) -> bool:
        """Return whether another model may be compared."""
        return len(self.compared) < comparisons.MAX_COMPARED

    def _group(self, options: Sequence[Option]) -> list[OptionGroup]:
        servers = dict.fromkeys(option.server for option in options)
        return [
            OptionGroup(server, self.server_notes.get(server, ""), [each for each in options if each.server == server])
            for server in servers
        ]


def requested_choice(conversation: Conversation | None) -> ModelChoice:
    """Return the model choice in the form or address of the request, or else the one of the conversation.

    Raises ModelNotAvailableError, InvalidPresetError, PersonaNotFoundError.
    """
    model, preset = request.values.get("model"), request.values.get("preset")
    if conversation is None:
        persona = settings_form.requested_persona() if model is None else None
        if isinstance(persona, Persona) and persona.model and choice.is_available(catalog_config(), persona.model):
            model, preset = persona.model, persona.preset
        return choice.get_for_new_chat(catalog_config(), current_user(), model, preset=preset)
    return choice.get_for_next_answer(catalog_config(), conversation, model, preset=preset)


def requested_choices(conversation: Conversation | None) -> list[ModelChoice]:
    """Return the model choices for the next question; more than one for a comparison.

    The current choice comes first if it takes part. Raises TooFewModelsError if the number of models is not between 2
    and `MAX_COMPARED`, ModelNotAvailableError, InvalidPresetError, PersonaNotFoundError.
    """
    if not is_compare_requested():
        return [requested_choice(conversation)]
    names = set(request.form.getlist("compare"))
    if not 2 <= len(names) <= comparisons.MAX_COMPARED:
        raise TooFewModelsError
    current = request.form.get("model") or (conversation.model if conversation else None)
    # A current model that is not available takes no part, and is no reason to refuse the others.
    current_choices = [requested_choice(conversation)] if current is None or current in names else []
    current_names = {each.model for each in current_choices} & names
    other_choices = [choice.validate(catalog_config(), name, None) for name in sorted(names - current_names)]
    return [*(each for each in current_choices if each.model in names), *other_choices]


def is_compare_requested() -> bool:
    """Return whether the submitted switch says that models are to be compared; boxes below it count only then."""
    return request.values.get("comparing") == "1"


def requested_settings(model_choice: ModelChoice | None = None) -> ChatSettings | None:
    """Return the settings of the persona with which a new conversation starts, or None without a persona.

    Raises PersonaNotFoundError, and InstructionsTooLargeForContextError if the instructions leave the model of
    `model_choice` too little of its context window.
    """
    persona = settings_form.requested_persona()
    if persona is None:
        return None
    persona_settings = settings_form.persona_settings(persona)
    if model_choice and model_choice.model:
        chat_settings.require_fits_context(
            persona_settings.instructions or "",
            catalog.get_card(catalog_config(), model_choice.model),
            user_settings.get_instructions(current_user()),
        )
    return persona_settings


def build_model_picker(conversation: Conversation | None) -> ModelPicker:
    """Build the model picker of a conversation, or of a new one from the address of the request.

    Raises ModelNotAvailableError, InvalidPresetError, PersonaNotFoundError for values in the address.
    """
    config = catalog_config()
    current_choice = ModelChoice(conversation.model, conversation.preset) if conversation else requested_choice(None)
    model_name = current_choice.model or catalog.default_name(config)
    available_models = catalog.list_available(config)
    selected_model = next((card for card in available_models if card.name == model_name), None)
    family = selected_model.entry.family if selected_model else ""
    default_preset = choice.default_preset(family)
    labels = PRESET_LABELS_BY_FAMILY.get(family, SAMPLING_PRESETS)
    selected_preset = current_choice.preset if current_choice.preset in labels else default_preset
    return ModelPicker(
        model_title=model_title(model_name),
        preset=labels[Preset(selected_preset)][0],
        is_unavailable=selected_model is None,
        models=_model_options(available_models, {model_name}),
        # The default preset is sent as an empty value and stored as None, so that a later change of it applies.
        presets=[
            Option("" if key == default_preset else key, *labels[key], key == selected_preset, number)
            for number, key in enumerate(Preset, start=1)
        ],
        persona=_persona_label(conversation),
        server_notes={card.endpoint.title: _server_note(card) for card in available_models if card.endpoint},
        **_requested_comparison(available_models, model_name),
    )


def _persona_label(conversation: Conversation | None) -> str:
    """Return the name of the settings of a conversation, or an empty string if it has none."""
    settings = chat_settings.read_from(conversation) if conversation else requested_settings()
    if not settings:
        return ""
    return settings.persona or str(gettext("custom settings"))


def model_title(model_name: str) -> str:
    """Return the title of a model, or `model_name` itself if the catalog does not know it."""
    try:
        return catalog.get_card(catalog_config(), model_name).entry.title
    except ModelNotFoundError:
        return model_name


def titles_by_model(model_names: Iterable[str]) -> dict[str, str]:
    """Return the titles of models by their names; that of an empty name is empty."""
    return {name: model_title(name) if name else "" for name in set(model_names)}


def change_notice(generation: Generation | None, variation: Variation | None = None) -> str:
    """Return the change notice above the answer of `generation`, or an empty string if nothing changed.

    `variation` is what was asked of this answer alone.
    """
    if generation is None:
        return ""
    settings_notice = gettext(VARIATION_NOTICES[variation]) if variation else settings_form.settings_notice(generation)
    return _change_sentence(generation.model if generation.model_changed else None, settings_notice)


def next_change_notice(conversation: Conversation | None, last_message: Message | None) -> str:
    """Return the change notice above the next answer, or an empty string if nothing changed since `last_message`."""
    last_generation = last_message.generation if last_message else None
    if last_message is None or conversation is None or last_generation is None or last_message.in_comparison:
        return ""
    new_model = conversation.model if last_generation.model != conversation.model else None
    return _change_sentence(new_model, settings_form.next_settings_notice(conversation, last_generation))


def _change_sentence(model: str | None, settings_notice: str) -> str:
    sentences = [gettext("Answers from here on are by %(model)s", model=model_title(model))] if model else []
    return " · ".join([*sentences, settings_notice] if settings_notice else sentences)


def _requested_comparison(available_models: Iterable[ModelCard], model_name: str) -> dict[str, Any]:
    """Return the fields of the model picker about the models to compare.

    A comparison is for one question, so a form after it begins with the current model alone, and switched off. The
    model in `?without=` is left out; with fewer than two there is nothing to compare any more.
    """
    is_requested = request.blueprint == "model_choice" and is_compare_requested()
    selected = set(request.values.getlist("compare")) if is_requested else {model_name}
    left_out = request.args.get("without")
    is_comparing = is_requested and (left_out is None or len(selected - {left_out}) > 1)
    options = tuple(_model_options(available_models, selected - {left_out}))
    return {"compare_options": options if len(options) > 1 else (), "is_comparing": is_comparing}


def _model_options(available_models: Iterable[ModelCard], selected_names: Collection[str | None]) -> list[Option]:
    return [
        Option(
            card.name,
            card.entry.title,
            "" if card.endpoint else card.entry.purpose,
            card.name in selected_names,
            number,
            card.endpoint.title if card.endpoint else "",
        )
        for number, card in enumerate(available_models, start=1)
    ]


def _server_note(card: ModelCard) -> str:
    """Return where words go that are sent to the server of a model, and that it is away if it is."""
    if card.endpoint is None:
        return ""
    destination = describe_destination(card.endpoint.endpoint)
    return destination if card.error is None else " · ".join([gettext("does not answer now"), destination])
