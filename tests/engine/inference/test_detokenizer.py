"""From tokens to text: whole characters, and the spaces that a vocabulary does not tell of."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BlenderbotSmallTokenizer

from chatsite.engine.inference.detokenizer import IncrementalDetokenizer, WordDetokenizer
from chatsite.engine.prompting.blenderbot_small import BlenderbotSmallFormat
from chatsite.engine.prompting.text_to_text import TextToTextFormat
from tests.support import trained_models

LESSONS = list(trained_models.LESSONS.values())


@pytest.fixture(scope="module")
def small_format(tmp_path_factory: pytest.TempPathFactory) -> BlenderbotSmallFormat:
    """BlenderBot 90M's format, and with it its vocabulary."""
    tokenizer: BlenderbotSmallTokenizer = trained_models.blenderbot_small_tokenizer(tmp_path_factory.mktemp("small"))
    return BlenderbotSmallFormat(tokenizer, "tiny", "1", 128)


def spoken(reads: BlenderbotSmallFormat, text: str, before: str = "") -> str:
    """A text as it comes back, token by token."""
    words = WordDetokenizer(reads.tokenizer, reads.encode_prefix(before), before.endswith(" "))
    ids = (reads.encode_text(before + text) or [])[len(reads.encode_prefix(before)) :]
    return "".join(map(words.push_token, ids))


@pytest.mark.parametrize(
    "text",
    [
        "hello world.",
        "i'm fine, i can't complain! do you?",
        "we've read (a lot) of the city's tea.",
        "she'd love it. they'll see; you're here.",
        *(lesson.lower() for lesson in LESSONS),
    ],
)
def test_detokenizer_restores_natural_spacing(small_format: BlenderbotSmallFormat, text: str) -> None:
    known = set("".join(trained_models.CORPUS).lower()) | set(" ")
    unknown = {letter for letter in text if letter not in known}
    expected = "".join(letter for letter in text if letter not in unknown)
    assert spoken(small_format, text).replace(" ", "") == expected.replace(" ", "")
    if not unknown:
        assert spoken(small_format, text) == text


@settings(max_examples=100, deadline=None)
@given(text=st.sampled_from([lesson.lower() for lesson in LESSONS]), place=st.integers(0, 20), space=st.booleans())
def test_resumed_detokenizer_continues_unchanged(
    small_format: BlenderbotSmallFormat, text: str, place: int, space: bool
) -> None:
    words = text.split(" ")
    cut = min(place, len(words) - 1)
    before = " ".join(words[:cut]) + (" " if space and cut else "")
    assert before + spoken(small_format, text[len(before) :], before) == text


def test_newline_is_kept_and_special_tokens_are_dropped(small_format: BlenderbotSmallFormat) -> None:
    words = WordDetokenizer(small_format.tokenizer, (), False)
    line, unknown = small_format.delimiter_id, small_format.tokenizer.unk_token_id
    ids = [
        *(small_format.encode_text("hello") or []),
        line,
        *(small_format.encode_text("the fox") or []),
        unknown,
        0,
        2,
    ]
    assert "".join(map(words.push_token, ids)) == "hello\nthe fox"


@pytest.mark.parametrize("lesson", LESSONS)
def test_resumed_detokenizer_keeps_leading_space(lesson: str) -> None:
    reads = TextToTextFormat(trained_models.t5_tokenizer(), "tiny", "1", 512, 1)
    ids = reads.encode_prefix(lesson)
    whole = IncrementalDetokenizer(reads.tokenizer, (), skip_space=False)
    assert "".join(map(whole.push_token, ids)) == lesson
    pieces: list[str] = []
    first = IncrementalDetokenizer(reads.tokenizer, (), skip_space=False)
    for place, token in enumerate(ids[:-1]):
        pieces.append(first.push_token(token))
        rest = IncrementalDetokenizer(reads.tokenizer, ids[: place + 1], skip_space=False)
        assert "".join(pieces) + "".join(map(rest.push_token, ids[place + 1 :])) == lesson
