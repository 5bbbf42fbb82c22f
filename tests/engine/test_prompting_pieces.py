"""How a receipt says that the texts were split: what the model read, no more and no less, in whole characters."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BlenderbotTokenizer

from chatsite.engine import SeenTurn
from chatsite.engine.prompting import MOST_PIECES, Format, plain_ids, plain_pieces
from chatsite.engine.prompting.blenderbot import BlenderbotFormat
from chatsite.engine.prompting.blenderbot_small import BlenderbotSmallFormat, split_words
from chatsite.engine.prompting.chat import ChatFormat
from chatsite.engine.prompting.continuation import ContinuationFormat, DialogueFormat, spoken
from chatsite.engine.scripted import read
from chatsite.runner.receipts import compact
from tests.engine import support
from tests.engine.support import ask

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
    return ChatFormat(support.chat_tokenizer(), "tiny", "1", 16_000)


@pytest.fixture(scope="module")
def blenderbot(blenderbot_folder: Path) -> BlenderbotFormat:
    """BlenderBot's format with its 128 ids."""
    return BlenderbotFormat(BlenderbotTokenizer.from_pretrained(blenderbot_folder), "tiny", "1", 128, 2)


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> ContinuationFormat:
    """GPT-2's format."""
    return ContinuationFormat(support.gpt2_tokenizer(tmp_path_factory.mktemp("gpt2")), "tiny", "1", 4000)


@pytest.fixture(scope="module")
def dialogue(script: ContinuationFormat) -> DialogueFormat:
    """DialoGPT's format."""
    return DialogueFormat(script.tokenizer, "tiny", "1", 4000, 0)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> BlenderbotSmallFormat:
    """BlenderBot 90M's format."""
    tokenizer = support.blenderbot_small_tokenizer(tmp_path_factory.mktemp("small"))
    return BlenderbotSmallFormat(tokenizer, "tiny", "1", 512)


@pytest.fixture(scope="module", params=["chat", "blenderbot", "script", "dialogue", "small"])
def reads(request: pytest.FixtureRequest) -> Format:
    """Each format that keeps turns."""
    made: Format = request.getfixturevalue(request.param)
    return made


def what_is_read(reads: Format, text: str) -> str:
    """The text that a format encodes for a turn."""
    if isinstance(reads, BlenderbotFormat):
        return " " + " ".join(text.split())
    if isinstance(reads, BlenderbotSmallFormat):
        return " ".join(split_words(text))
    return spoken(text) if isinstance(reads, ContinuationFormat) else text.strip()


def newest(reads: Format, *texts: str) -> SeenTurn:
    return reads.prompt(ask(*texts), {}).receipt.turns[-1]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("hello world", ("hello", " world")),
        ("hello 🦊 world", ("hello", " ", "🦊", " world")),
        ("  hello\n\nworld ", None),
    ],
)
def test_a_space_belongs_to_the_word_after_it(chat: ChatFormat, text: str, pieces: tuple[str, ...] | None) -> None:
    turn = newest(chat, text)
    assert "".join(turn.pieces) == text.strip()
    if pieces:
        merged = [piece for piece in turn.pieces if "🦊" in piece]
        assert merged == [piece for piece in merged if piece.strip() == "🦊"]
        assert turn.pieces[-1].endswith("d")
        assert len(turn.pieces) <= turn.tokens


@settings(max_examples=150, deadline=None)
@given(text=TEXTS, before=TEXTS)
def test_the_pieces_of_hostile_text_are_what_was_read(reads: Format, text: str, before: str) -> None:
    if not "".join(text.split()).strip():
        return
    texts = (before, before, text)
    for given_, turn in zip(texts, reads.prompt(ask(*texts), {}).receipt.turns, strict=True):
        read_ = what_is_read(reads, given_)
        assert len(turn.pieces) <= turn.tokens
        assert all(turn.pieces)
        if turn.cut:
            assert read_.endswith("".join(turn.pieces))
        elif turn.kept:
            assert "".join(turn.pieces) == read_
        else:
            assert turn.pieces == ()


@settings(max_examples=100, deadline=None)
@given(text=TEXTS.filter(str.strip), most=st.integers(1, 40))
def test_the_last_tokens_give_the_last_pieces(chat: ChatFormat, text: str, most: int) -> None:
    whole = plain_pieces(chat.tokenizer, text, 10**6)
    last = plain_pieces(chat.tokenizer, text, most)
    assert "".join(whole) == text
    assert len(last) <= most
    assert whole[len(whole) - len(last) :] == last
    assert len(plain_ids(chat.tokenizer, text)) >= len(whole)


def test_a_turn_that_was_cut_tells_what_is_left_of_it(reads: Format) -> None:
    text = "word " * 25_000 + "the very end"
    turn = newest(reads, "before", "between", text)
    assert turn.cut
    assert len(turn.pieces) == turn.tokens
    assert what_is_read(reads, text).endswith("".join(turn.pieces))


def test_of_a_long_prompt_the_newest_tokens_are_told(chat: ChatFormat) -> None:
    texts = ["hello world " * 40] * 21
    turns = chat.prompt(ask(*texts), {}).receipt.turns
    assert sum(turn.tokens for turn in turns if turn.kept) > 2 * MOST_PIECES
    assert sum(len(turn.pieces) for turn in turns) == MOST_PIECES
    assert [turn.kept for turn in turns if not turn.pieces].count(True) > 1
    assert "".join(turns[-1].pieces) == texts[-1].strip()


@pytest.mark.parametrize("texts", [("a", "b", "c"), ("one two", "three", "four five six", "seven", "eight")])
def test_the_frame_is_what_a_turn_costs_beyond_its_text(reads: Format, texts: tuple[str, ...]) -> None:
    longer, shorter = (reads.prompt(ask(*given_), {}).receipt for given_ in (texts, texts[2:]))
    more = sum(turn.tokens for turn in longer.turns) - sum(turn.tokens for turn in shorter.turns)
    assert longer.used - shorter.used == more + 2 * longer.frame


def test_the_script_takes_words_for_tokens() -> None:
    [turn] = read(ask(" one  two\nthree ")).turns
    assert turn.pieces == ("one", "  two", "\nthree")
    assert turn.tokens == 3


def test_what_the_database_has_is_stored_as_lengths_and_what_it_has_not_as_text(
    chat: ChatFormat, blenderbot: BlenderbotFormat
) -> None:
    request = ask("hello  world")
    plain, changed = (compact(each.prompt(request, {}).receipt, request.turns) for each in (chat, blenderbot))
    assert sum(plain["turns"][0][5]) == len("hello  world")
    assert "".join(changed["turns"][0][5]) == " hello world"
    assert plain["turns"][0][:5] == [0, "user", len(chat.text_ids("hello  world") or []), True, False]


def test_a_turn_that_was_not_kept_has_no_pieces_in_the_store(blenderbot: BlenderbotFormat) -> None:
    request = ask("hello world " * 20, "fine " * 60, "hello world " * 20)
    stored = compact(blenderbot.prompt(request, {}).receipt, request.turns)["turns"]
    assert [len(turn) for turn in stored] == [5, 5, 6]
