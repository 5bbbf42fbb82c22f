"""What web workers do with texts themselves takes them a fraction of a second, however long and odd a text is."""

from __future__ import annotations

import time

import pytest

from chatsite.rendering.blocks import BlockStream
from chatsite.rendering.sentences import ENGLISH, MAX_OPEN_CHARS, MAX_SPOKEN_CHARS, GrowingSentences
from tests.rendering.random_texts import MAX_WORKER_SECONDS, do_worker_part

CHARS = 100_000
ODD = {
    "headings": "#\n",
    "paragraphs": "a\n\n",
    "list": "- a\n",
    "quotes": "> a\n",
    "table": "|a|b|\n|-|-|\n" + "|a|b|\n" * 20_000,
    "footnotes": "[^1]: a\n\n",
    "brackets": "[" * 4900 + "\n\n",
    "underscores": "_a*b" * 1200 + "\n\n",
    "stars": "*a " * 1600 + "\n\n",
    "sentences": "A. ",
    "brackets without an end": "[",
}


@pytest.mark.parametrize("piece", ODD.values(), ids=ODD.keys())
def test_odd_text_takes_a_fraction_of_a_second(piece: str) -> None:
    text = (piece * (CHARS // len(piece) + 1))[:CHARS]
    # Processor time, and the least of three: others may use the same core.
    assert any(worker_seconds(text) < MAX_WORKER_SECONDS for _ in range(3))


def worker_seconds(text: str) -> float:
    before = time.thread_time()
    do_worker_part(text)
    return time.thread_time() - before


def sentences_of(text: str) -> GrowingSentences:
    blocks = BlockStream()
    blocks.feed(text)
    return GrowingSentences(blocks)


@pytest.mark.parametrize("separator", [" ", "\n\n"])
def test_long_answer_is_announced_up_to_the_limit_and_its_rest_is_named(separator: str) -> None:
    said = [f"This is sentence number {number}." for number in range(1, 2000)]
    spoken = sentences_of(separator.join(said)).list_all()
    assert spoken[-1] == ENGLISH.rest
    assert spoken[:-1] == said[: len(spoken) - 1]
    assert MAX_SPOKEN_CHARS - 100 < len(separator.join(spoken[:-1])) <= MAX_SPOKEN_CHARS
    assert ENGLISH.rest not in sentences_of(separator.join(said[:500])).list_all()


def test_sentences_are_the_same_whenever_one_asks() -> None:
    """What was announced is a beginning of what will be, in a text that grows beyond all limits."""
    text = "\n\n".join(f"{number}. One. Two of them. " + "And three. " * (number % 700) for number in range(1, 60))
    blocks = BlockStream()
    growing, known = GrowingSentences(blocks), list[str]()
    for start in range(0, len(text), 997):
        blocks.feed(text[start : start + 997])
        found = growing.list_complete()
        assert found[: len(known)] == known[: len(found)]
        known = max(known, found, key=len)
    whole = growing.list_all()
    assert whole[: len(known)] == known
    assert whole == sentences_of(text).list_all()


def test_long_open_block_is_announced_when_it_is_finished() -> None:
    items = "".join(f"- Item {number}\n" for number in range(MAX_OPEN_CHARS // 10))
    blocks = BlockStream()
    blocks.feed(items)
    growing = GrowingSentences(blocks)
    before = len(growing.list_complete())
    blocks.feed("\nAnd a paragraph.\n\nAnother\n")
    assert 0 < before < items.count("Item")
    assert len(growing.list_complete()) >= items.count("Item")
