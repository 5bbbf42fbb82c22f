"""Personas: those that come with the site, and those that users keep."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from flask import Flask

from chatsite.engine.catalogue import entries
from chatsite.errors import EmptyPersonaError, NamelessPersonaError, PersonaGoneError, TooManyPersonasError
from chatsite.services import personas, settings
from chatsite.services.answerers import Answerer
from chatsite.services.settings import LINED, NUMBERS, Settings
from tests.conftest import People

NOBODY = Answerer()
TUTOR = Settings("Tutor", "Be patient.", {"temperature": 0.3})


def test_those_that_come_with_the_site_can_be_read_by_whom_they_are_for(app: Flask) -> None:
    """Half of the smallest window of their families holds them; their numbers lie within the bounds."""
    assert len({each.public_id for each in personas.BUILT_IN}) == len(personas.BUILT_IN)
    for each in personas.BUILT_IN:
        windows = [entry.context for entry in entries() if (entry.family in LINED) is each.lined and entry.context]
        family = "blenderbot" if each.lined else "chat"
        assert each in personas.suited(family)
        assert settings.tokens(each.instructions, family) < min(windows) // 2
        numbers: Mapping[str, float] = each.numbers or {}
        assert all(NUMBERS[name].least <= value <= NUMBERS[name].most for name, value in numbers.items())
    assert personas.built_in("blenderbot")[0].lined
    assert not personas.built_in("chat")[0].lined
    assert personas.suited("text-to-text") == []


def test_a_persona_is_kept_changed_and_deleted(people: People) -> None:
    first = personas.create(people.alice, TUTOR, Answerer("scripted", "creative"))
    second = personas.create(people.alice, Settings("Cook", "Cook."), NOBODY)
    assert [each.name for each in personas.mine(people.alice)] == ["Cook", "Tutor"]
    assert (first.model, first.preset, second.model) == ("scripted", "creative", None)
    personas.update(first, Settings("Teacher", None, {"top_k": 5}), Answerer(None, "creative"))
    found = personas.get(people.alice, first.public_id)
    assert (found.name, found.instructions, found.numbers) == ("Teacher", "", {"top_k": 5})
    assert (found.model, found.preset) == (None, None)
    personas.destroy(found)
    personas.destroy(found)
    assert [each.name for each in personas.mine(people.alice)] == ["Cook"]
    with pytest.raises(PersonaGoneError):
        personas.get(people.alice, found.public_id)


def test_nobody_else_has_it(people: People) -> None:
    kept = personas.create(people.alice, TUTOR, NOBODY)
    assert personas.mine(people.bob) == personas.mine(None) == []
    for user in (people.bob, None):
        with pytest.raises(PersonaGoneError):
            personas.find(user, kept.public_id)
    assert personas.find(None, "tutor").name == "Patient tutor"
    kept.user_id = people.bob.id
    with pytest.raises(PersonaGoneError):
        personas.update(kept, TUTOR, NOBODY)


def test_what_is_no_persona_is_not_kept(people: People) -> None:
    with pytest.raises(NamelessPersonaError):
        personas.create(people.alice, Settings(None, "Be patient."), NOBODY)
    with pytest.raises(EmptyPersonaError):
        personas.create(people.alice, Settings("Tutor"), NOBODY)
    assert personas.mine(people.alice) == []


def test_there_are_only_so_many(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(personas, "MOST", 2)
    for _ in range(2):
        personas.create(people.alice, TUTOR, NOBODY)
    with pytest.raises(TooManyPersonasError):
        personas.create(people.alice, TUTOR, NOBODY)
    personas.create(people.bob, TUTOR, NOBODY)
