"""How a receipt says that the texts were split: what the model read, no more and no less, in whole characters."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BlenderbotTokenizer

from chatsite.engine.prompting import MAX_TOKEN_TEXTS, PromptFormat, encode_user_text, split_user_text
from chatsite.engine.prompting.blenderbot import BlenderbotFormat
from chatsite.engine.prompting.blenderbot_small import BlenderbotSmallFormat, split_words
from chatsite.engine.prompting.chat import ChatFormat
from chatsite.engine.prompting.continuation import ContinuationFormat, DialoGPTFormat, quote_turn_markers
from chatsite.engine.scripted import build_report
from chatsite.engine.types import TurnReport
from chatsite.runner.prompt_reports import serialize_prompt_report
from tests.support import trained_models
from tests.support.trained_models import make_request

HOSTILE = [
    "<|im_end|>",
    "</s>",
    "<mask>",
    "  ",
    " \n ",
    "\t",
    "\x00",
    "🦊",
    "👩‍👩‍👧",
    "e\u0301",
    "\u202e",
    "שלום",
    "日本",
]
TEXTS = st.lists(st.sampled_from([*HOSTILE, "hello", "a", " "]) | st.text(max_size=20), max_size=30).map("".join)


@pytest.fixture(scope="module")
def chat() -> ChatFormat:
    """ChatML with room for long texts."""
    return ChatFormat(trained_models.chat_tokenizer(), "tiny", "1", 16_000)


@pytest.fixture(scope="module")
def blenderbot(blenderbot_folder: Path) -> BlenderbotFormat:
    """BlenderBot's format with its 128 ids."""
    return BlenderbotFormat(BlenderbotTokenizer.from_pretrained(blenderbot_folder), "tiny", "1", 128, 2)


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> ContinuationFormat:
    """GPT-2's format."""
    return ContinuationFormat(trained_models.gpt2_tokenizer(tmp_path_factory.mktemp("gpt2")), "tiny", "1", 4000)


@pytest.fixture(scope="module")
def dialogue(script: ContinuationFormat) -> DialoGPTFormat:
    """DialoGPT's format."""
    return DialoGPTFormat(script.tokenizer, "tiny", "1", 4000, 0)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> BlenderbotSmallFormat:
    """BlenderBot 90M's format."""
    tokenizer = trained_models.blenderbot_small_tokenizer(tmp_path_factory.mktemp("small"))
    return BlenderbotSmallFormat(tokenizer, "tiny", "1", 512)


@pytest.fixture(scope="module", params=["chat", "blenderbot", "script", "dialogue", "small"])
def prompt_format(request: pytest.FixtureRequest) -> PromptFormat:
    """Each format that keeps turns."""
    made: PromptFormat = request.getfixturevalue(request.param)
    return made


def what_is_read(reads: PromptFormat, text: str) -> str:
    """The text that a format encodes for a turn."""
    if isinstance(reads, BlenderbotFormat):
        return " " + " ".join(text.split())
    if isinstance(reads, BlenderbotSmallFormat):
        return " ".join(split_words(text))
    return quote_turn_markers(text) if isinstance(reads, ContinuationFormat) else text.strip()


def newest(reads: PromptFormat, *texts: str) -> TurnReport:
    return reads.build_prompt(make_request(*texts), {}).report.turns[-1]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("hello world", ("hello", " world")),
        ("hello 🦊 world", ("hello", " ", "🦊", " world")),
        ("  hello\n\nworld ", None),
    ],
)
def test_token_pieces_include_leading_space(chat: ChatFormat, text: str, pieces: tuple[str, ...] | None) -> None:
    turn = newest(chat, text)
    assert "".join(turn.token_texts) == text.strip()
    if pieces:
        merged = [piece for piece in turn.token_texts if "🦊" in piece]
        assert merged == [piece for piece in merged if piece.strip() == "🦊"]
        assert turn.token_texts[-1].endswith("d")
        assert len(turn.token_texts) <= turn.token_count


@settings(max_examples=150, deadline=None)
@given(text=TEXTS, before=TEXTS)
def test_token_pieces_of_hostile_text_match_input(prompt_format: PromptFormat, text: str, before: str) -> None:
    if not "".join(text.split()).strip():
        return
    texts = (before, before, text)
    for given_, turn in zip(texts, prompt_format.build_prompt(make_request(*texts), {}).report.turns, strict=True):
        read_ = what_is_read(prompt_format, given_)
        assert len(turn.token_texts) <= turn.token_count
        assert all(turn.token_texts)
        if turn.is_truncated:
            assert read_.endswith("".join(turn.token_texts))
        elif turn.is_kept:
            assert "".join(turn.token_texts) == read_
        else:
            assert turn.token_texts == ()


@settings(max_examples=100, deadline=None)
@given(text=TEXTS.filter(str.strip), most=st.integers(1, 40))
def test_last_tokens_give_last_pieces(chat: ChatFormat, text: str, most: int) -> None:
    whole = split_user_text(chat.tokenizer, text, 10**6)
    last = split_user_text(chat.tokenizer, text, most)
    assert "".join(whole) == text
    assert len(last) <= most
    assert whole[len(whole) - len(last) :] == last
    assert len(encode_user_text(chat.tokenizer, text)) >= len(whole)


def test_truncated_turn_reports_remaining_pieces(prompt_format: PromptFormat) -> None:
    text = "word " * 25_000 + "the very end"
    turn = newest(prompt_format, "before", "between", text)
    assert turn.is_truncated
    assert len(turn.token_texts) == turn.token_count
    assert what_is_read(prompt_format, text).endswith("".join(turn.token_texts))


def test_long_prompt_reports_newest_pieces_only(chat: ChatFormat) -> None:
    texts = ["hello world " * 40] * 21
    turns = chat.build_prompt(make_request(*texts), {}).report.turns
    assert sum(turn.token_count for turn in turns if turn.is_kept) > 2 * MAX_TOKEN_TEXTS
    assert sum(len(turn.token_texts) for turn in turns) == MAX_TOKEN_TEXTS
    assert [turn.is_kept for turn in turns if not turn.token_texts].count(True) > 1
    assert "".join(turns[-1].token_texts) == texts[-1].strip()


@pytest.mark.parametrize("texts", [("a", "b", "c"), ("one two", "three", "four five six", "seven", "eight")])
def test_overhead_tokens_are_turn_cost_beyond_text(prompt_format: PromptFormat, texts: tuple[str, ...]) -> None:
    longer, shorter = (prompt_format.build_prompt(make_request(*given_), {}).report for given_ in (texts, texts[2:]))
    more = sum(turn.token_count for turn in longer.turns) - sum(turn.token_count for turn in shorter.turns)
    assert longer.used_tokens - shorter.used_tokens == more + 2 * longer.overhead_tokens


def test_scripted_engine_counts_words_as_tokens() -> None:
    [turn] = build_report(make_request(" one  two\nthree ")).turns
    assert turn.token_texts == ("one", "  two", "\nthree")
    assert turn.token_count == 3


def test_compact_report_stores_lengths_of_known_text(chat: ChatFormat, blenderbot: BlenderbotFormat) -> None:
    request = make_request("hello  world")
    plain, changed = (
        serialize_prompt_report(each.build_prompt(request, {}).report, request.turns) for each in (chat, blenderbot)
    )
    assert sum(plain["turns"][0][5]) == len("hello  world")
    assert "".join(changed["turns"][0][5]) == " hello world"
    assert plain["turns"][0][:5] == [0, "user", len(chat.encode_text("hello  world") or []), True, False]


def test_compact_report_omits_pieces_of_dropped_turns(blenderbot: BlenderbotFormat) -> None:
    request = make_request("hello world " * 20, "fine " * 60, "hello world " * 20)
    stored = serialize_prompt_report(blenderbot.build_prompt(request, {}).report, request.turns)["turns"]
    assert [len(turn) for turn in stored] == [5, 5, 6]
