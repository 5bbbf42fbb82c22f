"""Presets at endpoints: a temperature, unless one was set."""

from __future__ import annotations

import pytest

from chatsite.engine.remote.bodies import Call, build_body
from chatsite.engine.remote.families import FAMILIES
from chatsite.engine.types import GenerationOptions, Preset


def sampling(family: str, preset: Preset | None, temperature: float | None = None, refused: str = "") -> object:
    """The temperature that a server of a family is sent."""
    options = GenerationOptions(preset=preset, temperature=temperature)
    call = Call("owl", (), options, 100, 4096, refused_fields=frozenset({refused}))
    body = build_body(FAMILIES[family], call)
    return body.get("options", body).get("temperature")


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_preset_sets_the_temperature(family: str) -> None:
    takes_it = "temperature" in FAMILIES[family].options
    assert sampling(family, Preset.PRECISE) == (0.2 if takes_it else None)
    assert sampling(family, Preset.CREATIVE) == (1.2 if takes_it else None)
    # The server's own default holds.
    assert sampling(family, Preset.BALANCED) is sampling(family, None) is None


def test_number_that_was_set_goes_before_the_preset() -> None:
    assert sampling("ollama", Preset.PRECISE, 0.9) == 0.9
    assert sampling("vllm", Preset.CREATIVE, 0.0) == 0.0


def test_server_that_refuses_it_is_not_sent_it() -> None:
    assert sampling("openai", Preset.CREATIVE, refused="temperature") is None
