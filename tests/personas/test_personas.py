"""Personas: those that come with the site, and those that users keep."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from flask import Flask

from chatsite.engine.catalog.catalog import list_entries, resolve_entry
from chatsite.errors import (
    EmptyPersonaError,
    NotFoundError,
    PersonaNameRequiredError,
    PersonaNotFoundError,
    TooManyPersonasError,
    UndoExpiredError,
)
from chatsite.models import AnonymousUser
from chatsite.services import undo
from chatsite.services.chat import chat_settings
from chatsite.services.chat.chat_settings import NUMERIC_OPTIONS, PERSONA_LINE_FAMILIES, ChatSettings
from chatsite.services.models.choice import ModelChoice
from chatsite.services.personas import personas
from tests.conftest import People

NOBODY = ModelChoice()
TUTOR = ChatSettings("Tutor", "Be patient.", {"temperature": 0.3})


def test_built_in_personas_fit_their_model_families(app: Flask) -> None:
    """Half of the smallest window of their families holds them; their numbers lie within the bounds."""
    assert len({each.public_id for each in personas.BUILT_IN_PERSONAS}) == len(personas.BUILT_IN_PERSONAS)
    for each in personas.BUILT_IN_PERSONAS:
        windows = [
            entry.context_tokens
            for entry in list_entries()
            if (entry.family in PERSONA_LINE_FAMILIES) is each.is_line_based and entry.context_tokens
        ]
        family = "blenderbot" if each.is_line_based else "chat"
        assert any(each in personas.list_for_model(entry) for entry in list_entries() if entry.family == family)
        assert len(each.starters) == 3
        assert chat_settings.estimate_tokens(each.instructions, family) < min(windows) // 2
        numbers: Mapping[str, float] = each.generation_options or {}
        assert all(
            NUMERIC_OPTIONS[name].minimum <= value <= NUMERIC_OPTIONS[name].maximum for name, value in numbers.items()
        )
    assert personas.list_built_in("blenderbot")[0].is_line_based
    assert not personas.list_built_in("chat")[0].is_line_based
    assert personas.list_for_model(resolve_entry("flan-t5-base")) == []


def test_only_personas_that_the_model_can_play_are_listed(app: Flask) -> None:
    def names(model: str) -> list[str]:
        return [persona.public_id for persona in personas.list_for_model(resolve_entry(model))]

    assert names("smollm2-135m-instruct") == ["tutor", "editor", "cook"]
    assert names("qwen3-0.6b") == ["tutor", "editor", "translator", "cook"]
    assert names("blenderbot-400m-distill") == ["traveler", "gardener"]


def test_persona_can_be_created_updated_and_deleted(people: People) -> None:
    first = personas.create(people.alice, TUTOR, ModelChoice("scripted", "creative"))
    second = personas.create(people.alice, ChatSettings("Cook", "Cook."), NOBODY)
    assert [each.name for each in personas.list_for(people.alice)] == ["Cook", "Tutor"]
    assert (first.model, first.preset, second.model) == ("scripted", "creative", None)
    personas.update(first, ChatSettings("Teacher", None, {"top_k": 5}), ModelChoice(None, "creative"))
    found = personas.get_own(people.alice, first.public_id)
    assert (found.name, found.instructions, found.generation_options) == ("Teacher", "", {"top_k": 5})
    assert (found.model, found.preset) == (None, None)
    personas.delete_persona(found)
    with pytest.raises(PersonaNotFoundError):
        personas.delete_persona(found)
    assert [each.name for each in personas.list_for(people.alice)] == ["Cook"]
    with pytest.raises(PersonaNotFoundError):
        personas.get_own(people.alice, found.public_id)


def test_outsider_cannot_access_persona(people: People) -> None:
    kept = personas.create(people.alice, TUTOR, NOBODY)
    assert personas.list_for(people.bob) == personas.list_for(AnonymousUser()) == []
    for user in (people.bob, AnonymousUser()):
        with pytest.raises(PersonaNotFoundError):
            personas.get_any(user, kept.public_id)
    assert personas.get_any(AnonymousUser(), "tutor").name == "Patient tutor"
    # What older links say.
    assert personas.get_any(AnonymousUser(), "traveller").public_id == "traveler"
    kept.user_id = people.bob.id
    with pytest.raises(PersonaNotFoundError):
        personas.update(kept, TUTOR, NOBODY)


def test_invalid_persona_is_rejected(people: People) -> None:
    with pytest.raises(PersonaNameRequiredError):
        personas.create(people.alice, ChatSettings(None, "Be patient."), NOBODY)
    with pytest.raises(EmptyPersonaError):
        personas.create(people.alice, ChatSettings("Tutor"), NOBODY)
    assert personas.list_for(people.alice) == []


def test_persona_count_is_limited(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(personas, "MAX_PERSONAS", 2)
    for _ in range(2):
        personas.create(people.alice, TUTOR, NOBODY)
    with pytest.raises(TooManyPersonasError):
        personas.create(people.alice, TUTOR, NOBODY)
    personas.create(people.bob, TUTOR, NOBODY)


def test_deleted_persona_comes_back_with_undo_while_there_is_room(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = personas.create(people.alice, TUTOR, ModelChoice("scripted", "creative"))
    public_id = kept.public_id
    change = personas.delete_persona(kept)
    with pytest.raises(NotFoundError):
        undo.undo_change(people.bob, change.public_id)
    monkeypatch.setattr(undo, "MAX_PERSONAS", 1)
    other = personas.create(people.alice, TUTOR, NOBODY)
    with pytest.raises(UndoExpiredError):
        undo.undo_change(people.alice, change.public_id)
    personas.delete_persona(other)
    undo.undo_change(people.alice, change.public_id)
    found = personas.get_own(people.alice, public_id)
    assert (found.name, found.instructions, found.generation_options) == ("Tutor", "Be patient.", {"temperature": 0.3})
    assert (found.model, found.preset) == ("scripted", "creative")
