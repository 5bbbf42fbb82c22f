"""Personas: settings with a name, to begin conversations with. A few come with the site; others their users keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from chatsite.database import db, write
from chatsite.errors import EmptyPersonaError, NamelessPersonaError, PersonaGoneError, TooManyPersonasError, sentence
from chatsite.models import Persona, User
from chatsite.services.answerers import Answerer
from chatsite.services.settings import LINED, UNTOLD, Settings

# One page shows all of them.
MOST = 100


@dataclass(frozen=True)
class BuiltIn:
    """A persona that comes with the site: its `name`, what it is good for, and its instructions, to be translated.

    A `lined` one is made of sentences about oneself, as BlenderBot was taught to read them. They stay English, which
    is all that it speaks.
    """

    public_id: str
    name: str
    purpose: str
    instructions: str
    numbers: dict[str, float] | None = None
    lined: bool = False


BUILT_IN = (
    BuiltIn(
        "tutor",
        sentence("Patient tutor"),
        sentence("Explains step by step, and asks whether you follow."),
        sentence(
            "You are a patient tutor. Explain one step at a time in simple words, with a short example for each. Never "
            "give the whole solution at once: ask a question that leads to the next step, and praise what is right. "
            "When something is wrong, say kindly where and why."
        ),
    ),
    BuiltIn(
        "editor",
        sentence("Plain-language editor"),
        sentence("Rewrites what you paste, so that everybody understands it."),
        sentence(
            "You are an editor for plain language. Rewrite every text you are given: short sentences, common words, "
            "active verbs, the most important thing first. Keep the meaning and all facts. Answer with the new text, "
            "then list the three most important changes."
        ),
        {"temperature": 0.2},
    ),
    BuiltIn(
        "translator",
        sentence("Spanish and English translator"),
        sentence("Turns Spanish into English and English into Spanish."),
        sentence(
            "You are a translator. Translate every Spanish text into English, and every English text into Spanish. "
            "Write as a native speaker would, keep tone and layout, and answer with nothing but the translation."
        ),
        {"temperature": 0.1},
    ),
    BuiltIn(
        "cook",
        sentence("Cook"),
        sentence("Makes a meal of what you have at home."),
        sentence(
            "You are an experienced cook. Suggest simple meals from what somebody has at home, for two persons if "
            "nothing else is said. Give the amounts first, then numbered steps with times. Ask about allergies before "
            "the first recipe."
        ),
    ),
    BuiltIn(
        "traveller",
        sentence("Traveller"),
        sentence("Small talk with somebody who has seen much of the world."),
        "I love to travel.\nI have been to thirty countries.\nI write a diary on every journey.",
        lined=True,
    ),
    BuiltIn(
        "gardener",
        sentence("Gardener"),
        sentence("Small talk with somebody who grows their own vegetables."),
        "I have a large garden.\nI grow tomatoes and roses.\nMy dog is called Biscuit.",
        lined=True,
    ),
)


def built_in(family: str) -> list[BuiltIn]:
    """The personas that come with the site, those that suit a family of models first."""
    return sorted(BUILT_IN, key=lambda each: each.lined is not (family in LINED))


def suited(family: str) -> list[BuiltIn]:
    """Those of them that models of a family were taught to read; nothing of what none of them reads."""
    return [each for each in BUILT_IN if each.lined is (family in LINED)] if family not in UNTOLD else []


def mine(user: User | None) -> Sequence[Persona]:
    """What the user kept, the newest first."""
    if user is None:
        return []
    rows = select(Persona).where(Persona.user_id == user.id).order_by(Persona.id.desc()).limit(MOST)
    return db.session.scalars(rows).all()


def get(user: User | None, public_id: str) -> Persona:
    """The user's persona of that name. Raises PersonaGoneError."""
    found = None
    if user is not None:
        found = db.session.scalar(select(Persona).where(Persona.public_id == public_id, Persona.user_id == user.id))
    if found is None:
        raise PersonaGoneError
    return found


def find(user: User | None, public_id: str) -> Persona | BuiltIn:
    """The persona of that name, the user's or one that comes with the site. Raises PersonaGoneError."""
    return next((each for each in BUILT_IN if each.public_id == public_id), None) or get(user, public_id)


def require(settings: Settings) -> None:
    """Check that settings can be kept as a persona. Raises NamelessPersonaError or EmptyPersonaError."""
    if not settings.persona:
        raise NamelessPersonaError
    if not settings.instructions and not settings.numbers:
        raise EmptyPersonaError


def create(user: User, settings: Settings, answerer: Answerer) -> Persona:
    """Keep settings under the name of their persona; an `answerer` without a model leaves it open who answers.

    Raises NamelessPersonaError, EmptyPersonaError and TooManyPersonasError.
    """
    require(settings)
    user_id = user.id
    with write() as session:
        kept = session.scalar(select(func.count()).where(Persona.user_id == user_id))
        if (kept or 0) >= MOST:
            raise TooManyPersonasError(most=MOST)
        persona = Persona(user_id=user_id)
        _put(persona, settings, answerer)
        session.add(persona)
        return persona


def update(persona: Persona, settings: Settings, answerer: Answerer) -> Persona:
    """Keep something else in its place. Raises NamelessPersonaError, EmptyPersonaError and PersonaGoneError."""
    require(settings)
    public_id, user_id = persona.public_id, persona.user_id
    with write():
        found = _lock(public_id, user_id)
        _put(found, settings, answerer)
        return found


def destroy(persona: Persona) -> None:
    """Delete it; conversations that began with it keep their settings. A second time does nothing."""
    public_id, user_id = persona.public_id, persona.user_id
    with write() as session:
        try:
            session.delete(_lock(public_id, user_id))
        except PersonaGoneError:
            return


def _put(persona: Persona, settings: Settings, answerer: Answerer) -> None:
    persona.name, persona.instructions = settings.persona or "", settings.instructions or ""
    persona.numbers = dict(settings.numbers) or None
    # A manner belongs to a model.
    persona.model, persona.preset = answerer.model, answerer.preset if answerer.model else None


def _lock(public_id: str, user_id: int) -> Persona:
    query = select(Persona).where(Persona.public_id == public_id, Persona.user_id == user_id).with_for_update()
    found = db.session.scalar(query.execution_options(populate_existing=True))
    if found is None:
        raise PersonaGoneError
    return found
