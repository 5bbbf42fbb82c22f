"""What a model thinks, told from what it answers: whole texts, pieces, and texts that only speak of tags."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatsite.engine.reasoning import ReasoningSplitter, begins_inside, split_reasoning

FRAGMENTS = [
    "<think>",
    "</think>",
    "<",
    "</",
    "think",
    ">",
    "<thin",
    "nk>",
    " ",
    "\n\n",
    "Hm.",
    "café 🦊",
    "<b>",
    "</thin",
]
TEXTS = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=6), max_size=14).map("".join)


@pytest.mark.parametrize(
    ("text", "is_open", "reasoning", "answer"),
    [
        ("Four.", False, "", "Four."),
        ("  Four.\n", False, "", "  Four.\n"),
        ("<think>\nTwo and two.\n</think>\n\nFour.", False, "Two and two.", "Four."),
        ("\n<think>Two</think>Four.", False, "Two", "Four."),
        ("<think>\n\n</think>\n\nFour.", False, "", "Four."),
        ("<think></think>Four.", False, "", "Four."),
        ("Two and two.\n</think>\n\nFour.", True, "Two and two.", "Four."),
        ("<think>\nTwo and two.</think>Four.", True, "Two and two.", "Four."),
        ("</think>Four.", True, "", "Four."),
        ("<think>Never ends", False, "Never ends", ""),
        ("Never ends \n", True, "Never ends", ""),
        ("<think>Ends in </thin", False, "Ends in </thin", ""),
        ("<think>One</think> \n ", False, "One", ""),
        ("Write <think>this</think> first.", False, "", "Write <think>this</think> first."),
        ("<think>One</think>Write <think>this</think>.", False, "One", "Write <think>this</think>."),
        ("<think>Say <think>?</think>Yes", False, "Say <think>?", "Yes"),
        ("<thinker> is a word", False, "", "<thinker> is a word"),
        ("<thin", False, "", "<thin"),
        (" ", False, "", " "),
        ("", True, "", ""),
    ],
)
def test_whole_text_is_split(text: str, is_open: bool, reasoning: str, answer: str) -> None:
    assert split_reasoning(text, is_open=is_open) == (reasoning, answer)


@given(TEXTS, st.lists(st.integers(0, 60), max_size=8), st.booleans())
def test_pieces_of_any_size_make_same_split(text: str, cuts: list[int], is_open: bool) -> None:
    splitter = ReasoningSplitter(is_open)
    bounds = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [piece for begin, end in itertools.pairwise(bounds) for piece in splitter.push_text(text[begin:end])]
    pieces += splitter.flush_text()
    assert all(piece.text for piece in pieces)
    joined = tuple("".join(piece.text for piece in pieces if piece.is_reasoning is kind) for kind in (True, False))
    assert joined == split_reasoning(text, is_open=is_open)
    # Once the answer has begun, no reasoning comes any more.
    kinds = [piece.is_reasoning for piece in pieces]
    assert kinds == sorted(kinds, reverse=True)


@given(TEXTS, st.booleans())
def test_nothing_but_tags_and_space_is_lost(text: str, is_open: bool) -> None:
    reasoning, answer = split_reasoning(text, is_open=is_open)
    opening, closing = ("", "<think>"), ("", "</think>")
    possible = {"".join(f"{before}{reasoning}{after}{answer}".split()) for before in opening for after in closing}
    possible |= {"".join(f"<think>{text_}".split()) for text_ in possible} if is_open else set()
    assert "".join(text.split()) in possible


@given(TEXTS)
def test_text_that_begins_otherwise_stays_whole(text: str) -> None:
    if not text.lstrip().startswith("<think>"):
        assert split_reasoning(text) == ("", text)


def test_text_is_shown_as_soon_as_it_cannot_be_a_tag() -> None:
    splitter = ReasoningSplitter()
    told = [[(piece.text, piece.is_reasoning) for piece in splitter.push_text(letter)] for letter in "<thx"]
    assert told == [[], [], [], [("<thx", False)]]
    assert splitter.is_answering
    assert not splitter.is_thinking


@pytest.mark.parametrize(
    ("prompt_end", "is_inside"),
    [
        ("<|im_start|>assistant\n", False),
        ("<|im_start|>assistant\n<think>\n", True),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", False),
    ],
)
def test_prompt_that_opened_reasoning_is_recognized(prompt_end: str, is_inside: bool) -> None:
    assert begins_inside(prompt_end) is is_inside
