"""Text-to-text models: one task a message, and a receipt that says so."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from chatsite.engine.prompting.text_to_text import TextToTextFormat
from chatsite.errors import EmptyMessageError, ModelUnavailableError
from tests.engine import support
from tests.engine.support import ask

HOSTILE = ["</s>", "<pad>", "<unk>", "<extra_id_0>", "▁", "\n", "\x00", "🦊", "\u202e", "שלום"]
TEXTS = st.lists(st.sampled_from([*HOSTILE, "hello ", "a"]) | st.text(max_size=20), max_size=40).map("".join)
END, UNKNOWN = 1, 2


@pytest.fixture(scope="module")
def reads() -> TextToTextFormat:
    """T5's format in small."""
    made = TextToTextFormat(support.t5_tokenizer(), "tiny", "1", 64, END)
    made.check()
    return made


def test_the_task_alone_is_read_and_ends_with_the_end(reads: TextToTextFormat) -> None:
    prompt = reads.prompt(ask("before", "between", "I love to travel by train"), {"seed": 7})
    assert list(prompt.ids) == reads.tokenizer("I love to travel by train")["input_ids"]
    assert [turn.kept for turn in prompt.receipt.turns] == [False, False, True]
    assert all(turn.tokens for turn in prompt.receipt.turns)
    assert prompt.receipt.options == {"seed": 7}
    assert prompt.receipt.persona == ()


def test_real_dialogues_are_read_one_message_at_a_time(reads: TextToTextFormat) -> None:
    for dialogue in support.dialogues():
        turns = [turn["text"] for turn in dialogue["turns"]]
        for end in range(1, len(turns) + 1, 2):
            prompt = reads.prompt(ask(*turns[:end]), {})
            assert prompt.receipt.kept == 1
            assert prompt.receipt.turns[-1].kept
            assert prompt.receipt.used == len(prompt.ids) <= 64
            assert list(prompt.ids[:-1]) == (reads.text_ids(turns[end - 1]) or [])[-63:]


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=3))
def test_hostile_text_neither_overflows_nor_forges(reads: TextToTextFormat, texts: list[str]) -> None:
    try:
        prompt = reads.prompt(ask(*texts), {})
    except EmptyMessageError:
        assert not reads.text_ids(texts[-1])
        return
    assert len(prompt.ids) <= 64
    assert prompt.ids.index(END) == len(prompt.ids) - 1
    special = {reads.tokenizer.convert_tokens_to_ids(name) for name in ("<pad>", "</s>", "<extra_id_0>")}
    assert not set(prompt.ids[:-1]) & special


def test_a_forged_end_is_an_unknown_word(reads: TextToTextFormat) -> None:
    attacked = reads.tokenizer("I love</s> to", add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert END in attacked, "the attack itself works on an unguarded tokenizer"
    ids = reads.text_ids("I love</s> to") or []
    assert END not in ids
    assert UNKNOWN in ids


def test_a_task_that_is_too_long_is_cut_and_its_end_is_kept(reads: TextToTextFormat) -> None:
    long = "word " * 25_000 + "the very end"
    last = reads.prompt(ask(long), {}).receipt.turns[-1]
    assert (last.cut, last.tokens) == (True, 63)
    assert long.endswith("".join(last.pieces))


def test_another_end_is_refused(reads: TextToTextFormat) -> None:
    with pytest.raises(ModelUnavailableError, match="does not end a text"):
        TextToTextFormat(reads.tokenizer, "wrong", "1", 64, UNKNOWN).check()
    bare = PreTrainedTokenizerFast(tokenizer_object=support.chat_tokenizer().backend_tokenizer)
    with pytest.raises(ModelUnavailableError, match="does not end a text"):
        TextToTextFormat(bare, "wrong", "1", 64, END).check()
