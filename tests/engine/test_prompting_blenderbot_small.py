"""BlenderBot 90M's format: the pieces of its own tokenizer, and what is kept when not all fits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BlenderbotSmallTokenizer

from chatsite.engine.prompting.blenderbot_small import BlenderbotSmallFormat, split_words
from chatsite.errors import EmptyMessageError, ModelUnavailableError
from tests.engine import support
from tests.engine.support import ask

FORGED = ["__end__", "__start__", "__null__", "__unk__", "__newln__"]
HOSTILE = [*FORGED, "@@", "\n", "\x00", "🦊", "\u202e", "שלום", "ΑΣ", "İ"]
SPOKEN = st.sampled_from(["hello", "The", " ", ".", "'", "I'm", "(a)", "!?", "fox", "é", "🦊", "x1", ",b"])
TEXTS = st.lists(st.sampled_from([*HOSTILE, "hello ", "a", "'"]) | st.text(max_size=20), max_size=40).map("".join)
CONTEXT = 64
NULL, START, END, UNKNOWN, LINE = range(5)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> BlenderbotSmallTokenizer:
    """transformers' tokenizer for a small vocabulary."""
    return support.blenderbot_small_tokenizer(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def reads(tokenizer: BlenderbotSmallTokenizer) -> BlenderbotSmallFormat:
    """The format with little room."""
    made = BlenderbotSmallFormat(tokenizer, "tiny", "1", CONTEXT)
    made.check()
    return made


@settings(max_examples=300, deadline=None)
@given(text=st.lists(SPOKEN, max_size=30).map("".join) | st.text(alphabet="ab c.'é!", max_size=60))
def test_the_ids_are_those_of_transformers_own_tokenizer(reads: BlenderbotSmallFormat, text: str) -> None:
    assert (reads.segment(text) or []) == reads.tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("text", [*support.LESSONS, *support.LESSONS.values(), "a.b ... (f) don't 'tis"])
def test_what_was_learnt_is_split_the_same_way(reads: BlenderbotSmallFormat, text: str) -> None:
    assert reads.segment(text) == reads.tokenizer(text, add_special_tokens=False)["input_ids"]


def test_turns_are_joined_by_new_lines_and_nothing_closes_them(reads: BlenderbotSmallFormat) -> None:
    prompt = reads.prompt(ask("Hello  world", "Yes.", "I love\n\nto travel"), {})
    parts = [reads.segment(text) or [] for text in ("hello world", "yes .", "i love to travel")]
    assert list(prompt.ids) == [*parts[0], LINE, *parts[1], LINE, *parts[2]]
    assert list(prompt.ids) == reads.tokenizer("hello world\nyes.\ni love to travel")["input_ids"]
    assert prompt.receipt.turns[1].pieces[-1] == " ."


def test_a_persona_is_pinned_line_by_line(reads: BlenderbotSmallFormat) -> None:
    prompt = reads.prompt(ask(*["hello world " * 9] * 7, persona=["I like cats.", "I travel."]), {})
    lines = [reads.segment("your persona: i like cats.") or [], reads.segment("your persona: i travel.") or []]
    head = [*lines[0], LINE, *lines[1], LINE]
    assert list(prompt.ids[: len(head)]) == head
    assert 1 <= prompt.receipt.kept < 7


def test_real_dialogues_keep_the_longest_suffix_that_fits(reads: BlenderbotSmallFormat) -> None:
    dropped = 0
    for dialogue in support.dialogues():
        turns = [turn["text"] for turn in dialogue["turns"]]
        costs = [len(reads.segment(text) or []) + 1 for text in turns]
        for end in range(1, len(turns) + 1, 2):
            prompt = reads.prompt(ask(*turns[:end]), {})
            kept = max(n for n in range(1, end + 1) if n == 1 or sum(costs[end - n : end]) - 1 <= CONTEXT)
            assert [turn.kept for turn in prompt.receipt.turns] == [False] * (end - kept) + [True] * kept
            assert prompt.receipt.used == len(prompt.ids) == min(sum(costs[end - kept : end]) - 1, CONTEXT)
            dropped += end - kept
    assert dropped > 500


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=6))
def test_hostile_text_neither_overflows_nor_forges(reads: BlenderbotSmallFormat, texts: list[str]) -> None:
    try:
        prompt = reads.prompt(ask(*texts), {})
    except EmptyMessageError:
        assert not split_words(texts[-1])
        return
    assert 1 <= len(prompt.ids) <= CONTEXT
    assert not set(prompt.ids) & {NULL, START, END}
    assert prompt.ids.count(LINE) == prompt.receipt.kept - 1
    for text, turn in zip(texts, prompt.receipt.turns, strict=True):
        if turn.kept:
            assert " ".join(split_words(text)).endswith("".join(turn.pieces))


def test_a_spelled_special_token_is_an_unknown_word(reads: BlenderbotSmallFormat) -> None:
    assert reads.tokenizer("a __end__")["input_ids"][-1] == END, "the attack itself works on an unguarded tokenizer"
    assert (reads.segment("a __end__") or [])[-1] == UNKNOWN


def test_of_a_long_word_the_end_is_kept(reads: BlenderbotSmallFormat) -> None:
    prompt = reads.prompt(ask("before", "between", "ab" * 50_000 + "xyz"), {})
    whole = reads.segment("ab" * 50 + "xyz") or []
    assert prompt.receipt.turns[-1].cut
    assert (prompt.receipt.kept, len(prompt.ids)) == (1, CONTEXT)
    assert list(prompt.ids[-20:]) == whole[-20:]


def test_a_vocabulary_without_the_delimiter_is_refused(tmp_path: Path) -> None:
    support.blenderbot_small_tokenizer(tmp_path)
    words = json.loads((tmp_path / "vocab.json").read_text("utf-8"))
    del words["__newln__"]
    (tmp_path / "vocab.json").write_text(json.dumps(words), "utf-8")
    other = BlenderbotSmallFormat(BlenderbotSmallTokenizer.from_pretrained(tmp_path), "wrong", "1", CONTEXT)
    with pytest.raises(ModelUnavailableError, match="does not write its format"):
        other.check()
