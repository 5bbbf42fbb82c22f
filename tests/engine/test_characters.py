"""From tokens to text: whole characters, and the spaces that a vocabulary does not tell of."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BlenderbotSmallTokenizer

from chatsite.engine.decoding.characters import Stream, Words
from chatsite.engine.prompting.blenderbot_small import BlenderbotSmallFormat
from chatsite.engine.prompting.text_to_text import TextToTextFormat
from tests.engine import support

LESSONS = list(support.LESSONS.values())


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> BlenderbotSmallFormat:
    """BlenderBot 90M's format, and with it its vocabulary."""
    tokenizer: BlenderbotSmallTokenizer = support.blenderbot_small_tokenizer(tmp_path_factory.mktemp("small"))
    return BlenderbotSmallFormat(tokenizer, "tiny", "1", 128)


def spoken(reads: BlenderbotSmallFormat, text: str, before: str = "") -> str:
    """A text as it comes back, token by token."""
    words = Words(reads.tokenizer, reads.prefix(before), before.endswith(" "))
    ids = (reads.segment(before + text) or [])[len(reads.prefix(before)) :]
    return "".join(map(words.push, ids))


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
def test_words_and_marks_stand_as_people_write_them(small: BlenderbotSmallFormat, text: str) -> None:
    known = set("".join(support.CORPUS).lower()) | set(" ")
    unknown = {letter for letter in text if letter not in known}
    expected = "".join(letter for letter in text if letter not in unknown)
    assert spoken(small, text).replace(" ", "") == expected.replace(" ", "")
    if not unknown:
        assert spoken(small, text) == text


@settings(max_examples=100, deadline=None)
@given(text=st.sampled_from([lesson.lower() for lesson in LESSONS]), place=st.integers(0, 20), space=st.booleans())
def test_an_answer_that_is_taken_up_goes_on_as_it_would_have(
    small: BlenderbotSmallFormat, text: str, place: int, space: bool
) -> None:
    words = text.split(" ")
    cut = min(place, len(words) - 1)
    before = " ".join(words[:cut]) + (" " if space and cut else "")
    assert before + spoken(small, text[len(before) :], before) == text


def test_a_new_line_is_one_and_special_tokens_are_nothing(small: BlenderbotSmallFormat) -> None:
    words = Words(small.tokenizer, (), False)
    line, unknown = small.delimiter, small.tokenizer.unk_token_id
    ids = [*(small.segment("hello") or []), line, *(small.segment("the fox") or []), unknown, 0, 2]
    assert "".join(map(words.push, ids)) == "hello\nthe fox"


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_vocabulary_of_words_with_spaces_before_them_goes_on_with_one(lesson: str) -> None:
    reads = TextToTextFormat(support.t5_tokenizer(), "tiny", "1", 512, 1)
    ids = reads.prefix(lesson)
    whole = Stream(reads.tokenizer, (), skip_space=False)
    assert "".join(map(whole.push, ids)) == lesson
    pieces: list[str] = []
    first = Stream(reads.tokenizer, (), skip_space=False)
    for place, token in enumerate(ids[:-1]):
        pieces.append(first.push(token))
        rest = Stream(reads.tokenizer, ids[: place + 1], skip_space=False)
        assert "".join(pieces) + "".join(map(rest.push, ids[place + 1 :])) == lesson
