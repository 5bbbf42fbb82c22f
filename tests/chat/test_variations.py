"""Variations of an answer: what the model is told for one answer, and what that leaves alone."""

from __future__ import annotations

import pytest

from chatsite.services.chat import variations
from chatsite.services.chat.chat_settings import ChatSettings
from chatsite.services.chat.variations import SENTENCES, Variation


@pytest.mark.parametrize("variation", Variation)
@pytest.mark.parametrize("instructions", [None, "Be kind.\nRhyme."])
def test_sentence_is_added_found_and_removed(instructions: str | None, variation: Variation) -> None:
    for language, sentence in SENTENCES[variation].items():
        varied = variations.add_to(ChatSettings("Poet", instructions, {"top_k": 3}), variation, language)
        assert varied == ChatSettings("Poet", f"{instructions}\n{sentence}" if instructions else sentence, {"top_k": 3})
        assert variations.find(varied.instructions) is variation
        assert variations.remove_from(varied.instructions) == instructions
        assert variations.have_same_effect(varied, ChatSettings("", instructions, {"top_k": 3}))
        # Another one takes its place.
        for other in Variation:
            again = variations.add_to(varied, other, "fr")
            assert variations.remove_from(again.instructions) == instructions
            assert again.instructions
            assert again.instructions.endswith(SENTENCES[other]["en"])


def test_only_last_line_is_a_variation() -> None:
    sentence = SENTENCES[Variation.SHORTER]["en"]
    for instructions in (None, "", "Be kind.", f"{sentence}\nBe kind.", f"So: {sentence}"):
        assert variations.find(instructions) is None
        assert variations.remove_from(instructions) == instructions
    assert not variations.have_same_effect(ChatSettings(instructions="One"), ChatSettings(instructions="Other"))
