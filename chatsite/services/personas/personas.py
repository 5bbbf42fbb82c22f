"""Personas: chat settings with a name, to start conversations with. A few are built in, the others belong to users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from chatsite.database import WriteSession, db, write_transaction
from chatsite.engine.catalog.catalog import CatalogEntry
from chatsite.errors import (
    EmptyPersonaError,
    PersonaNameRequiredError,
    PersonaNotFoundError,
    TooManyPersonasError,
    gettext_noop,
)
from chatsite.models import AnonymousUser, Persona, Undo, User, Visitor
from chatsite.models.persona import MAX_PERSONAS
from chatsite.services import undo
from chatsite.services.chat.chat_settings import NO_INSTRUCTION_FAMILIES, PERSONA_LINE_FAMILIES, ChatSettings
from chatsite.services.models.choice import ModelChoice
from chatsite.services.ownership import get_owned


@dataclass(frozen=True)
class BuiltInPersona:
    """A persona that comes with the site: its texts are translated for the reader.

    It suits only models that speak all `languages`. With `is_line_based` the instructions are sentences about oneself,
    as BlenderBot was trained to read them. They stay English, the only language of that family.
    """

    public_id: str
    name: str
    purpose: str
    instructions: str
    starters: tuple[str, ...]
    generation_options: dict[str, float] | None = None
    is_line_based: bool = False
    languages: tuple[str, ...] = ()


BUILT_IN_PERSONAS = (
    BuiltInPersona(
        "tutor",
        gettext_noop("Patient tutor"),
        gettext_noop("Explains step by step and checks that you follow."),
        gettext_noop(
            "You are a patient tutor. Explain one step at a time in simple words, with a short example for each. Never "
            "give the whole solution at once: ask a question that leads to the next step, and praise what is right. "
            "When something is wrong, say kindly where and why."
        ),
        (
            gettext_noop("Help me with fractions."),
            gettext_noop("Explain photosynthesis to me step by step."),
            gettext_noop("I do not understand percentages."),
        ),
    ),
    BuiltInPersona(
        "editor",
        gettext_noop("Plain-language editor"),
        gettext_noop("Rewrites your text so that everyone understands it."),
        gettext_noop(
            "You are an editor for plain language. Rewrite every text you are given: short sentences, common words, "
            "active verbs, the most important thing first. Keep the meaning and all facts. Answer with the new text, "
            "then list the three most important changes."
        ),
        (
            gettext_noop("Rewrite this in plain language: "),
            gettext_noop("Make this letter shorter and friendlier: "),
            gettext_noop("Explain this contract clause in simple words: "),
        ),
        {"temperature": 0.2},
    ),
    BuiltInPersona(
        "translator",
        gettext_noop("Spanish and English translator"),
        gettext_noop("Translates Spanish into English and English into Spanish."),
        gettext_noop(
            "You are a translator. Translate every Spanish text into English, and every English text into Spanish. "
            "Write as a native speaker would, keep tone and layout, and answer with nothing but the translation."
        ),
        (
            gettext_noop("Translate: Where is the nearest pharmacy?"),
            gettext_noop("Translate: See you tomorrow at half past eight."),
            gettext_noop("Translate: I would like to change my booking."),
        ),
        {"temperature": 0.1},
        languages=("en", "es"),
    ),
    BuiltInPersona(
        "cook",
        gettext_noop("Recipe helper"),
        gettext_noop("Suggests meals from what you have at home."),
        gettext_noop(
            "You are an experienced cook. Suggest simple meals from what someone has at home, for two "
            "people unless told otherwise. Give the amounts first, then numbered steps with times. Ask "
            "about allergies before the first recipe."
        ),
        (
            gettext_noop("I have eggs, rice and tomatoes."),
            gettext_noop("A quick dinner without meat, please."),
            gettext_noop("What can I cook with leftover bread?"),
        ),
    ),
    BuiltInPersona(
        "traveler",
        gettext_noop("Traveler"),
        gettext_noop("Small talk with someone who has seen a lot of the world."),
        "I love to travel.\nI have been to thirty countries.\nI write a diary on every journey.",
        (
            gettext_noop("Where have you been lately?"),
            gettext_noop("What was your most beautiful journey?"),
            gettext_noop("Which country should I visit next?"),
        ),
        is_line_based=True,
    ),
    BuiltInPersona(
        "gardener",
        gettext_noop("Gardener"),
        gettext_noop("Small talk with someone who grows their own vegetables."),
        "I have a large garden.\nI grow tomatoes and roses.\nMy dog is called Biscuit.",
        (
            gettext_noop("What do you grow in your garden?"),
            gettext_noop("How is your dog?"),
            gettext_noop("My tomatoes do not ripen."),
        ),
        is_line_based=True,
    ),
)

# What links to a built-in persona said before version 0.2.
FORMER_BUILT_IN_IDS = {"traveller": "traveler"}


def list_built_in(family: str) -> list[BuiltInPersona]:
    """Return all built-in personas, the ones that suit models of `family` first."""
    return sorted(BUILT_IN_PERSONAS, key=lambda persona: persona.is_line_based is not (family in PERSONA_LINE_FAMILIES))


def list_for_model(entry: CatalogEntry) -> list[BuiltInPersona]:
    """Return the built-in personas that a model can play; none for families that ignore instructions."""
    if entry.family in NO_INSTRUCTION_FAMILIES:
        return []
    return [
        persona
        for persona in BUILT_IN_PERSONAS
        if persona.is_line_based is (entry.family in PERSONA_LINE_FAMILIES)
        and (not entry.languages or set(persona.languages) <= set(entry.languages))
    ]


def list_for(user: Visitor) -> Sequence[Persona]:
    """Return the user's personas, the newest first."""
    if isinstance(user, AnonymousUser):
        return []
    rows = select(Persona).where(Persona.user_id == user.id).order_by(Persona.id.desc()).limit(MAX_PERSONAS)
    return db.session.scalars(rows).all()


def get_own(user: Visitor, public_id: str) -> Persona:
    """Return the user's persona with this public id. Raises PersonaNotFoundError."""
    return get_owned(Persona, user, public_id, error=PersonaNotFoundError)


def get_any(user: Visitor, public_id: str) -> Persona | BuiltInPersona:
    """Return the persona with this public id, the user's or a built-in one. Raises PersonaNotFoundError."""
    public_id = FORMER_BUILT_IN_IDS.get(public_id, public_id)
    return next((persona for persona in BUILT_IN_PERSONAS if persona.public_id == public_id), None) or get_own(
        user, public_id
    )


def validate(settings: ChatSettings) -> None:
    """Check that settings can be saved as a persona. Raises PersonaNameRequiredError or EmptyPersonaError."""
    if not settings.persona:
        raise PersonaNameRequiredError
    if not settings.instructions and not settings.generation_options:
        raise EmptyPersonaError


def create(user: User, settings: ChatSettings, choice: ModelChoice) -> Persona:
    """Save settings as a persona, named by `settings.persona`; without a model in `choice` any model may answer.

    Raises PersonaNameRequiredError, EmptyPersonaError or TooManyPersonasError.
    """
    validate(settings)
    user_id = user.id
    with write_transaction() as tx:
        persona_count = tx.scalar(select(func.count()).where(Persona.user_id == user_id))
        if (persona_count or 0) >= MAX_PERSONAS:
            raise TooManyPersonasError(most=MAX_PERSONAS)
        persona = Persona(user_id=user_id)
        _apply_settings(persona, settings, choice)
        tx.add(persona)
        return persona


def update(persona: Persona, settings: ChatSettings, choice: ModelChoice) -> Persona:
    """Replace the settings and the model of a persona.

    Raises PersonaNameRequiredError, EmptyPersonaError or PersonaNotFoundError.
    """
    validate(settings)
    public_id, user_id = persona.public_id, persona.user_id
    with write_transaction() as tx:
        row = _lock_persona(tx, public_id, user_id)
        _apply_settings(row, settings, choice)
        return row


def delete_persona(persona: Persona) -> Undo:
    """Delete a persona and return the recorded undo; conversations that began with it keep their settings.

    Raises PersonaNotFoundError if it was deleted before.
    """
    public_id, user_id = persona.public_id, persona.user_id
    with write_transaction() as tx:
        row = _lock_persona(tx, public_id, user_id)
        tx.delete(row)
        return undo.record_change(tx, user_id, "delete_persona", previous=[undo.snapshot_persona(row)])


def _apply_settings(persona: Persona, settings: ChatSettings, choice: ModelChoice) -> None:
    persona.name, persona.instructions = settings.persona or "", settings.instructions or ""
    persona.generation_options = dict(settings.generation_options) or None
    # A preset is chosen for a model, so it is not stored without one.
    persona.model, persona.preset = choice.model, choice.preset if choice.model else None


def _lock_persona(tx: WriteSession, public_id: str, user_id: int) -> Persona:
    """Return a user's persona and lock its row. Raises PersonaNotFoundError."""
    query = select(Persona).where(Persona.public_id == public_id, Persona.user_id == user_id).with_for_update()
    persona = tx.scalar(query.execution_options(populate_existing=True))
    if persona is None:
        raise PersonaNotFoundError
    return persona
