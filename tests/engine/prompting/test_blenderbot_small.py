"""BlenderBot 90M's format: the pieces of its own tokenizer, and what is kept when not all fits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BlenderbotSmallTokenizer

from chatsite.engine.prompting.blenderbot_small import BlenderbotSmallFormat, split_words
from chatsite.errors import EmptyMessageError, ModelLoadError
from tests.support import trained_models
from tests.support.trained_models import make_request

FORGED = ["__end__", "__start__", "__null__", "__unk__", "__newln__"]
HOSTILE = [*FORGED, "@@", "\n", "\x00", "🦊", "\u202e", "שלום", "ΑΣ", "İ"]
SPOKEN = st.sampled_from(["hello", "The", " ", ".", "'", "I'm", "(a)", "!?", "fox", "é", "🦊", "x1", ",b"])
TEXTS = st.lists(st.sampled_from([*HOSTILE, "hello ", "a", "'"]) | st.text(max_size=20), max_size=40).map("".join)
CONTEXT = 64
NULL, START, END, UNKNOWN, LINE = range(5)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> BlenderbotSmallTokenizer:
    """transformers' tokenizer for a small vocabulary."""
    return trained_models.blenderbot_small_tokenizer(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def prompt_format(tokenizer: BlenderbotSmallTokenizer) -> BlenderbotSmallFormat:
    """The format with little room."""
    made = BlenderbotSmallFormat(tokenizer, "tiny", "1", CONTEXT)
    made.require_valid_tokenizer()
    return made


@settings(max_examples=300, deadline=None)
@given(text=st.lists(SPOKEN, max_size=30).map("".join) | st.text(alphabet="ab c.'é!", max_size=60))
def test_ids_match_transformers_tokenizer(prompt_format: BlenderbotSmallFormat, text: str) -> None:
    assert (prompt_format.encode_text(text) or []) == prompt_format.tokenizer(text, add_special_tokens=False)[
        "input_ids"
    ]


@pytest.mark.parametrize("text", [*trained_models.LESSONS, *trained_models.LESSONS.values(), "a.b ... (f) don't 'tis"])
def test_tokenizer_matches_training_split(prompt_format: BlenderbotSmallFormat, text: str) -> None:
    assert prompt_format.encode_text(text) == prompt_format.tokenizer(text, add_special_tokens=False)["input_ids"]


def test_turns_are_joined_by_newlines_without_end_token(prompt_format: BlenderbotSmallFormat) -> None:
    prompt = prompt_format.build_prompt(make_request("Hello  world", "Yes.", "I love\n\nto travel"), {})
    parts = [prompt_format.encode_text(text) or [] for text in ("hello world", "yes .", "i love to travel")]
    assert list(prompt.ids) == [*parts[0], LINE, *parts[1], LINE, *parts[2]]
    assert list(prompt.ids) == prompt_format.tokenizer("hello world\nyes.\ni love to travel")["input_ids"]
    assert prompt.report.turns[1].token_texts[-1] == " ."


def test_persona_lines_are_always_kept(prompt_format: BlenderbotSmallFormat) -> None:
    prompt = prompt_format.build_prompt(
        make_request(*["hello world " * 9] * 7, persona=["I like cats.", "I travel."]), {}
    )
    lines = [
        prompt_format.encode_text("your persona: i like cats.") or [],
        prompt_format.encode_text("your persona: i travel.") or [],
    ]
    head = [*lines[0], LINE, *lines[1], LINE]
    assert list(prompt.ids[: len(head)]) == head
    assert 1 <= prompt.report.kept_turn_count < 7


def test_prompt_keeps_longest_fitting_suffix(prompt_format: BlenderbotSmallFormat) -> None:
    dropped = 0
    for dialogue in trained_models.load_real_dialogues():
        turns = [turn["text"] for turn in dialogue["turns"]]
        costs = [len(prompt_format.encode_text(text) or []) + 1 for text in turns]
        for end in range(1, len(turns) + 1, 2):
            prompt = prompt_format.build_prompt(make_request(*turns[:end]), {})
            kept = max(n for n in range(1, end + 1) if n == 1 or sum(costs[end - n : end]) - 1 <= CONTEXT)
            assert [turn.is_kept for turn in prompt.report.turns] == [False] * (end - kept) + [True] * kept
            assert prompt.report.used_tokens == len(prompt.ids) == min(sum(costs[end - kept : end]) - 1, CONTEXT)
            dropped += end - kept
    assert dropped > 500


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=6))
def test_hostile_text_cannot_overflow_or_forge_tokens(prompt_format: BlenderbotSmallFormat, texts: list[str]) -> None:
    try:
        prompt = prompt_format.build_prompt(make_request(*texts), {})
    except EmptyMessageError:
        assert not split_words(texts[-1])
        return
    assert 1 <= len(prompt.ids) <= CONTEXT
    assert not set(prompt.ids) & {NULL, START, END}
    assert prompt.ids.count(LINE) == prompt.report.kept_turn_count - 1
    for text, turn in zip(texts, prompt.report.turns, strict=True):
        if turn.is_kept:
            assert " ".join(split_words(text)).endswith("".join(turn.token_texts))


def test_special_token_in_text_becomes_unknown(prompt_format: BlenderbotSmallFormat) -> None:
    assert prompt_format.tokenizer("a __end__")["input_ids"][-1] == END, (
        "the attack itself works on an unguarded tokenizer"
    )
    assert (prompt_format.encode_text("a __end__") or [])[-1] == UNKNOWN


def test_long_word_is_truncated_at_start(prompt_format: BlenderbotSmallFormat) -> None:
    prompt = prompt_format.build_prompt(make_request("before", "between", "ab" * 50_000 + "xyz"), {})
    whole = prompt_format.encode_text("ab" * 50 + "xyz") or []
    assert prompt.report.turns[-1].is_truncated
    assert (prompt.report.kept_turn_count, len(prompt.ids)) == (1, CONTEXT)
    assert list(prompt.ids[-20:]) == whole[-20:]


def test_vocabulary_without_delimiter_is_rejected(tmp_path: Path) -> None:
    trained_models.blenderbot_small_tokenizer(tmp_path)
    words = json.loads((tmp_path / "vocab.json").read_text("utf-8"))
    del words["__newln__"]
    (tmp_path / "vocab.json").write_text(json.dumps(words), "utf-8")
    other = BlenderbotSmallFormat(BlenderbotSmallTokenizer.from_pretrained(tmp_path), "wrong", "1", CONTEXT)
    with pytest.raises(ModelLoadError, match="does not produce its format"):
        other.require_valid_tokenizer()
