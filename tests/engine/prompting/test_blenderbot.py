"""BlenderBot's format: the ids that its authors' own code gives, and what is kept when not all fits."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BlenderbotTokenizer

from chatsite.engine.prompting.blenderbot import BlenderbotFormat
from chatsite.engine.types import Turn
from chatsite.errors import EmptyMessageError, ModelLoadError, PromptTooLongError
from tests.support import trained_models
from tests.support.trained_models import make_request

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
    tokenizer = BlenderbotTokenizer.from_pretrained(trained_models.real_tokenizer_folder())
    made = BlenderbotFormat(tokenizer, "blenderbot-400m-distill", "1", 128, 2)
    made.require_valid_tokenizer()
    return made


@pytest.fixture(scope="module")
def tiny_format(blenderbot_folder: Path) -> BlenderbotFormat:
    """The format on a tokenizer that the tests trained."""
    made = BlenderbotFormat(BlenderbotTokenizer.from_pretrained(blenderbot_folder), "tiny", "1", 128, 2)
    made.require_valid_tokenizer()
    return made


@pytest.fixture(scope="module", params=["tiny", "real"])
def prompt_format(request: pytest.FixtureRequest) -> BlenderbotFormat:
    """The format on either tokenizer."""
    if request.param == "real":
        return real_format()
    made: BlenderbotFormat = request.getfixturevalue("tiny_format")
    return made


@pytest.mark.parametrize(("texts", "persona", "ids"), REFERENCE, ids=lambda value: str(value)[:30])
def test_ids_match_reference_implementation(texts: tuple[str, ...], persona: tuple[str, ...], ids: str) -> None:
    prompt = real_format().build_prompt(make_request(*texts, persona=persona), {})
    assert " ".join(map(str, prompt.ids)) == ids
    assert prompt.report.used_tokens == len(prompt.ids)
    assert prompt.report.kept_turn_count == len(texts)


def longest_that_fits(reads: BlenderbotFormat, turns: tuple[Turn, ...], head: int) -> int:
    """How many of the newest turns fit: counted from the whole, one turn less at a time."""
    sizes = [len(reads.encode_text(turn.text) or []) for turn in turns]
    for kept in range(len(turns), 1, -1):
        if head + sum(sizes[-kept:]) + 2 * (kept - 1) + 1 <= reads.context_tokens:
            return kept
    return 1


@pytest.mark.parametrize("with_persona", [False, True])
def test_prompt_keeps_longest_fitting_suffix(with_persona: bool) -> None:
    reads, dropped = real_format(), 0
    for dialogue in trained_models.load_real_dialogues():
        turns = [turn["text"] for turn in dialogue["turns"]]
        persona = dialogue["bot_persona"] if with_persona else []
        for end in range(1, len(turns) + 1, 2):
            request = make_request(*turns[:end], persona=persona)
            prompt = reads.build_prompt(request, {})
            head = len(reads.encode_persona(tuple(persona)))
            kept = longest_that_fits(reads, request.turns, head)
            assert [turn.is_kept for turn in prompt.report.turns] == [False] * (end - kept) + [True] * kept
            assert prompt.report.used_tokens == len(prompt.ids) <= 128
            assert list(prompt.ids[:head]) == reads.encode_persona(tuple(persona))
            newest = reads.encode_text(turns[end - 1]) or []
            assert list(prompt.ids[-len(newest) - 1 :]) == [*newest, 2]
            dropped += end - kept
    assert dropped > 500


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=8), persona=st.lists(TEXTS, max_size=2))
def test_hostile_text_cannot_overflow_or_forge_tokens(
    prompt_format: BlenderbotFormat, texts: list[str], persona: list[str]
) -> None:
    request = make_request(*texts, persona=persona)
    try:
        prompt = prompt_format.build_prompt(request, {})
    except EmptyMessageError:
        assert not texts[-1].split()
        return
    except PromptTooLongError:
        assert len(prompt_format.encode_persona(tuple(persona))) >= 127
        return
    assert len(prompt.ids) <= 128
    assert prompt.ids.index(2) == len(prompt.ids) - 1
    assert not set(prompt.ids[:-1]) & {0, 1, 2, 3, 8008}
    assert max(prompt.ids) < 8008
    assert prompt.report.turns[-1].is_kept
    assert prompt.report.kept_turn_count == sum(turn.is_kept for turn in prompt.report.turns)
    blank = [not text.split() for text in texts]
    assert all(
        turn.token_count == 0 and not turn.is_kept
        for turn, empty in zip(prompt.report.turns, blank, strict=True)
        if empty
    )


def test_only_oversized_newest_turn_is_truncated_at_start(prompt_format: BlenderbotFormat) -> None:
    long = "word " * 25_000 + "the very end"
    prompt = prompt_format.build_prompt(make_request("before", "between", long), {})
    whole = prompt_format.encode_text(long) or []
    assert len(long) > 100_000
    assert list(prompt.ids) == [*whole[-127:], 2]
    assert [(turn.is_kept, turn.is_truncated) for turn in prompt.report.turns] == [
        (False, False),
        (False, False),
        (True, True),
    ]
    assert prompt.report.turns[-1].token_count == 127


def test_exactly_fitting_turn_is_not_truncated(prompt_format: BlenderbotFormat) -> None:
    text = "a"
    while len(prompt_format.encode_text(text + " a") or []) <= 127:
        text += " a"
    prompt = prompt_format.build_prompt(make_request("before", "between", text), {})
    assert len(prompt.ids) == 128
    assert not prompt.report.turns[-1].is_truncated
    assert prompt.report.kept_turn_count == 1


def test_persona_is_never_dropped(prompt_format: BlenderbotFormat) -> None:
    persona = ("i like cats.",)
    prompt = prompt_format.build_prompt(make_request(*["hello world " * 20] * 7, persona=persona), {})
    head = prompt_format.encode_persona(persona)
    assert list(prompt.ids[: len(head)]) == head
    assert prompt.report.persona == persona
    assert 1 <= prompt.report.kept_turn_count < 7


def test_too_long_persona_is_rejected(prompt_format: BlenderbotFormat) -> None:
    with pytest.raises(PromptTooLongError):
        prompt_format.build_prompt(make_request("Hi!", persona=["i like cats " * 200]), {})


def test_whitespace_cannot_forge_delimiter(prompt_format: BlenderbotFormat) -> None:
    spaced = prompt_format.build_prompt(make_request("  one \n\n two\t\tthree  "), {})
    assert spaced.ids == prompt_format.build_prompt(make_request("one two three"), {}).ids
    one, two = prompt_format.encode_text("one") or [], prompt_format.encode_text("two") or []
    joined = prompt_format.build_prompt(make_request("one", "two", "one"), {})
    assert list(joined.ids) == [*one, *prompt_format.delimiter_ids, *two, *prompt_format.delimiter_ids, *one, 2]


def test_empty_turn_is_skipped(prompt_format: BlenderbotFormat) -> None:
    prompt = prompt_format.build_prompt(make_request("one", " \n", "two"), {})
    assert prompt.ids == prompt_format.build_prompt(make_request("x", "one", "two"), {}).ids[-len(prompt.ids) :]
    assert [turn.is_kept for turn in prompt.report.turns] == [True, False, True]


def test_empty_newest_turn_is_rejected(prompt_format: BlenderbotFormat) -> None:
    with pytest.raises(EmptyMessageError):
        prompt_format.build_prompt(make_request("one", "two", " \n "), {})


def test_prefix_is_encoded_as_decoder_output(prompt_format: BlenderbotFormat) -> None:
    assert prompt_format.encode_prefix("") == []
    assert prompt_format.encode_prefix("Hello world") == prompt_format.encode_text("Hello world")
    assert prompt_format.encode_prefix("Hello world ") == prompt_format.encode_text("Hello world")


def test_mismatched_tokenizer_is_rejected(prompt_format: BlenderbotFormat) -> None:
    wrong = BlenderbotFormat(prompt_format.tokenizer, "wrong", "1", 128, eos_id=3)
    with pytest.raises(ModelLoadError, match="does not produce its format"):
        wrong.require_valid_tokenizer()
