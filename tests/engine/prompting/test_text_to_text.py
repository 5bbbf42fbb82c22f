"""Text-to-text models: one task a message, and a receipt that says so."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from chatsite.engine.prompting.text_to_text import TextToTextFormat
from chatsite.errors import EmptyMessageError, ModelLoadError
from tests.support import trained_models
from tests.support.trained_models import make_request

HOSTILE = ["</s>", "<pad>", "<unk>", "<extra_id_0>", "▁", "\n", "\x00", "🦊", "\u202e", "שלום"]
TEXTS = st.lists(st.sampled_from([*HOSTILE, "hello ", "a"]) | st.text(max_size=20), max_size=40).map("".join)
END, UNKNOWN = 1, 2


@pytest.fixture(scope="module")
def prompt_format() -> TextToTextFormat:
    """T5's format in small."""
    made = TextToTextFormat(trained_models.t5_tokenizer(), "tiny", "1", 64, END)
    made.require_valid_tokenizer()
    return made


def test_prompt_has_only_newest_message_and_end_token(prompt_format: TextToTextFormat) -> None:
    prompt = prompt_format.build_prompt(make_request("before", "between", "I love to travel by train"), {"seed": 7})
    assert list(prompt.ids) == prompt_format.tokenizer("I love to travel by train")["input_ids"]
    assert [turn.is_kept for turn in prompt.report.turns] == [False, False, True]
    assert all(turn.token_count for turn in prompt.report.turns)
    assert prompt.report.options == {"seed": 7}
    assert prompt.report.persona == ()


def test_prompt_of_dialogue_has_one_message(prompt_format: TextToTextFormat) -> None:
    for dialogue in trained_models.load_real_dialogues():
        turns = [turn["text"] for turn in dialogue["turns"]]
        for end in range(1, len(turns) + 1, 2):
            prompt = prompt_format.build_prompt(make_request(*turns[:end]), {})
            assert prompt.report.kept_turn_count == 1
            assert prompt.report.turns[-1].is_kept
            assert prompt.report.used_tokens == len(prompt.ids) <= 64
            assert list(prompt.ids[:-1]) == (prompt_format.encode_text(turns[end - 1]) or [])[-63:]


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=3))
def test_hostile_text_cannot_overflow_or_forge_tokens(prompt_format: TextToTextFormat, texts: list[str]) -> None:
    try:
        prompt = prompt_format.build_prompt(make_request(*texts), {})
    except EmptyMessageError:
        assert not prompt_format.encode_text(texts[-1])
        return
    assert len(prompt.ids) <= 64
    assert prompt.ids.index(END) == len(prompt.ids) - 1
    special = {prompt_format.tokenizer.convert_tokens_to_ids(name) for name in ("<pad>", "</s>", "<extra_id_0>")}
    assert not set(prompt.ids[:-1]) & special


def test_forged_end_token_becomes_unknown(prompt_format: TextToTextFormat) -> None:
    attacked = prompt_format.tokenizer("I love</s> to", add_special_tokens=False, split_special_tokens=True)[
        "input_ids"
    ]
    assert END in attacked, "the attack itself works on an unguarded tokenizer"
    ids = prompt_format.encode_text("I love</s> to") or []
    assert END not in ids
    assert UNKNOWN in ids


def test_too_long_message_is_truncated_at_start(prompt_format: TextToTextFormat) -> None:
    long = "word " * 25_000 + "the very end"
    last = prompt_format.build_prompt(make_request(long), {}).report.turns[-1]
    assert (last.is_truncated, last.token_count) == (True, 63)
    assert long.endswith("".join(last.token_texts))


def test_tokenizer_with_wrong_end_token_is_rejected(prompt_format: TextToTextFormat) -> None:
    with pytest.raises(ModelLoadError, match="does not end a text"):
        TextToTextFormat(prompt_format.tokenizer, "wrong", "1", 64, UNKNOWN).require_valid_tokenizer()
    bare = PreTrainedTokenizerFast(tokenizer_object=trained_models.chat_tokenizer().backend_tokenizer)
    with pytest.raises(ModelLoadError, match="does not end a text"):
        TextToTextFormat(bare, "wrong", "1", 64, END).require_valid_tokenizer()
