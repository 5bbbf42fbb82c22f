"""BlenderBot's format: the ids that its authors' own code gives, and what is kept when not all fits."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BlenderbotTokenizer

from chatsite.engine import Turn
from chatsite.engine.prompting.blenderbot import BlenderbotFormat
from chatsite.errors import EmptyMessageError, ModelUnavailableError, PromptTooLongError
from tests.engine import support
from tests.engine.support import ask

HOSTILE = ["</s>", "<mask>", "<s>", "<pad>", "<unk>", "  ", "\n", "\x00", "🦊", "\u202e", "שלום"]
PIECES = st.sampled_from([*HOSTILE, "hello", "a", " "]) | st.text(max_size=20)
TEXTS = st.lists(PIECES, max_size=40).map("".join)

# Texts, persona and ids. The two with several texts come from the tests of transformers, where they were
# compared with ParlAI's safe_interactive (tests/pipelines/test_pipelines_conversational.py at 08fadc80 and
# tests/models/blenderbot/test_tokenization_blenderbot.py at 0e97420c).
LASAGNE = (
    "hello",
    " Do you like lasagne? It is a traditional Italian dish consisting of a shepherd's pie.",
    "I like lasagne.",
)
REFERENCE: list[tuple[tuple[str, ...], tuple[str, ...], str]] = [
    (("hello",), (), "1710 86 2"),
    (("Sam",), (), "5502 2"),
    ((" Sam",), (), "5502 2"),
    (("Hello world",), (), "6950 1085 2"),
    (
        ("My friends are cool but they eat too many carbs.",),
        (),
        "863 1329 366 1449 373 382 1861 618 847 911 1372 21 2",
    ),
    (
        LASAGNE,
        (),
        "1710 86 228 228 946 304 398 6881 558 964 38 452 315 265 6252 452 322 968 6884 3146 278 306 265 617 87 "
        "388 75 341 286 521 21 228 228 281 398 6881 558 964 21 2",
    ),
    (
        ("You are a helpful chatbot.", "Hello!"),
        (),
        "553 366 265 4792 3879 73 311 21 228 228 6950 8 2",
    ),
    (
        ("Hi!",),
        ("i like cats.", "i am a nurse."),
        "414 800 72 33 607 398 5724 21 206 96 512 800 72 33 607 632 265 5343 330 21 228 228 4424 8 2",
    ),
]


@cache
def real_format() -> BlenderbotFormat:
    """The format on BlenderBot's own tokenizer."""
    tokenizer = BlenderbotTokenizer.from_pretrained(support.real_tokenizer_folder())
    made = BlenderbotFormat(tokenizer, "blenderbot-400m-distill", "1", 128, 2)
    made.check()
    return made


@pytest.fixture(scope="module")
def tiny_format(blenderbot_folder: Path) -> BlenderbotFormat:
    """The format on a tokenizer that the tests trained."""
    made = BlenderbotFormat(BlenderbotTokenizer.from_pretrained(blenderbot_folder), "tiny", "1", 128, 2)
    made.check()
    return made


@pytest.fixture(scope="module", params=["tiny", "real"])
def reads(request: pytest.FixtureRequest) -> BlenderbotFormat:
    """The format on either tokenizer."""
    if request.param == "real":
        return real_format()
    made: BlenderbotFormat = request.getfixturevalue("tiny_format")
    return made


@pytest.mark.parametrize(("texts", "persona", "ids"), REFERENCE, ids=lambda value: str(value)[:30])
def test_the_ids_are_those_of_the_authors(texts: tuple[str, ...], persona: tuple[str, ...], ids: str) -> None:
    prompt = real_format().prompt(ask(*texts, persona=persona), {})
    assert " ".join(map(str, prompt.ids)) == ids
    assert prompt.receipt.used == len(prompt.ids)
    assert prompt.receipt.kept == len(texts)


def longest_that_fits(reads: BlenderbotFormat, turns: tuple[Turn, ...], head: int) -> int:
    """How many of the newest turns fit: counted from the whole, one turn less at a time."""
    sizes = [len(reads.segment(turn.text) or []) for turn in turns]
    for kept in range(len(turns), 1, -1):
        if head + sum(sizes[-kept:]) + 2 * (kept - 1) + 1 <= reads.context:
            return kept
    return 1


@pytest.mark.parametrize("with_persona", [False, True])
def test_real_dialogues_keep_the_longest_suffix_that_fits(with_persona: bool) -> None:
    reads, dropped = real_format(), 0
    for dialogue in support.dialogues():
        turns = [turn["text"] for turn in dialogue["turns"]]
        persona = dialogue["bot_persona"] if with_persona else []
        for end in range(1, len(turns) + 1, 2):
            request = ask(*turns[:end], persona=persona)
            prompt = reads.prompt(request, {})
            head = len(reads.persona(tuple(persona)))
            kept = longest_that_fits(reads, request.turns, head)
            assert [turn.kept for turn in prompt.receipt.turns] == [False] * (end - kept) + [True] * kept
            assert prompt.receipt.used == len(prompt.ids) <= 128
            assert list(prompt.ids[:head]) == reads.persona(tuple(persona))
            newest = reads.segment(turns[end - 1]) or []
            assert list(prompt.ids[-len(newest) - 1 :]) == [*newest, 2]
            dropped += end - kept
    assert dropped > 500


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=8), persona=st.lists(TEXTS, max_size=2))
def test_hostile_text_neither_overflows_nor_forges(
    reads: BlenderbotFormat, texts: list[str], persona: list[str]
) -> None:
    request = ask(*texts, persona=persona)
    try:
        prompt = reads.prompt(request, {})
    except EmptyMessageError:
        assert not texts[-1].split()
        return
    except PromptTooLongError:
        assert len(reads.persona(tuple(persona))) >= 127
        return
    assert len(prompt.ids) <= 128
    assert prompt.ids.index(2) == len(prompt.ids) - 1
    assert not set(prompt.ids[:-1]) & {0, 1, 2, 3, 8008}
    assert max(prompt.ids) < 8008
    assert prompt.receipt.turns[-1].kept
    assert prompt.receipt.kept == sum(turn.kept for turn in prompt.receipt.turns)
    blank = [not text.split() for text in texts]
    assert all(
        turn.tokens == 0 and not turn.kept for turn, empty in zip(prompt.receipt.turns, blank, strict=True) if empty
    )


def test_only_a_newest_turn_that_overflows_alone_is_cut_and_its_end_is_kept(reads: BlenderbotFormat) -> None:
    long = "word " * 25_000 + "the very end"
    prompt = reads.prompt(ask("before", "between", long), {})
    whole = reads.segment(long) or []
    assert len(long) > 100_000
    assert list(prompt.ids) == [*whole[-127:], 2]
    assert [(turn.kept, turn.cut) for turn in prompt.receipt.turns] == [
        (False, False),
        (False, False),
        (True, True),
    ]
    assert prompt.receipt.turns[-1].tokens == 127


def test_a_turn_of_exactly_the_room_is_whole(reads: BlenderbotFormat) -> None:
    text = "a"
    while len(reads.segment(text + " a") or []) <= 127:
        text += " a"
    prompt = reads.prompt(ask("before", "between", text), {})
    assert len(prompt.ids) == 128
    assert not prompt.receipt.turns[-1].cut
    assert prompt.receipt.kept == 1


def test_a_persona_stays_whatever_is_dropped(reads: BlenderbotFormat) -> None:
    persona = ("i like cats.",)
    prompt = reads.prompt(ask(*["hello world " * 20] * 7, persona=persona), {})
    head = reads.persona(persona)
    assert list(prompt.ids[: len(head)]) == head
    assert prompt.receipt.persona == persona
    assert 1 <= prompt.receipt.kept < 7


def test_a_persona_that_leaves_no_room_is_refused(reads: BlenderbotFormat) -> None:
    with pytest.raises(PromptTooLongError):
        reads.prompt(ask("Hi!", persona=["i like cats " * 200]), {})


def test_whitespace_cannot_imitate_the_delimiter(reads: BlenderbotFormat) -> None:
    spaced = reads.prompt(ask("  one \n\n two\t\tthree  "), {})
    assert spaced.ids == reads.prompt(ask("one two three"), {}).ids
    one, two = reads.segment("one") or [], reads.segment("two") or []
    joined = reads.prompt(ask("one", "two", "one"), {})
    assert list(joined.ids) == [*one, *reads.delimiter, *two, *reads.delimiter, *one, 2]


def test_a_turn_without_text_is_left_out_and_the_others_stay(reads: BlenderbotFormat) -> None:
    prompt = reads.prompt(ask("one", " \n", "two"), {})
    assert prompt.ids == reads.prompt(ask("x", "one", "two"), {}).ids[-len(prompt.ids) :]
    assert [turn.kept for turn in prompt.receipt.turns] == [True, False, True]


def test_a_newest_turn_without_text_is_refused(reads: BlenderbotFormat) -> None:
    with pytest.raises(EmptyMessageError):
        reads.prompt(ask("one", "two", " \n "), {})


def test_the_prefix_is_encoded_as_the_decoder_wrote_it(reads: BlenderbotFormat) -> None:
    assert reads.prefix("") == []
    assert reads.prefix("Hello world") == reads.segment("Hello world")
    assert reads.prefix("Hello world ") == reads.segment("Hello world")


def test_a_tokenizer_that_does_not_write_the_format_is_refused(reads: BlenderbotFormat) -> None:
    wrong = BlenderbotFormat(reads.tokenizer, "wrong", "1", 128, end=3)
    with pytest.raises(ModelUnavailableError, match="does not write its format"):
        wrong.check()
