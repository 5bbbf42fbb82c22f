"""What is read aloud of a text: whole sentences, each of them once, and code by its name."""

from __future__ import annotations

import pytest

from chatsite.rendering.blocks import BlockStream
from chatsite.rendering.sentences import split_sentences

TEXT = """## A walk

Plan for **two days. Take** the *early* train, e.g. at nine. "Why?" Because it is quiet!

1. Up through the forest. Slowly
2. Over the ridge

```python
height = 900. * 2
```

    indented code

| Day | Hours |
|-----|-------|
| One | 4     |

Last words without an end"""
SPOKEN = [
    "A walk.",
    "Plan for two days.",
    "Take the early train, e.g. at nine.",
    '"Why?"',
    "Because it is quiet!",
    "Up through the forest.",
    "Slowly.",
    "Over the ridge.",
    "Code in Python.",
    "Code.",
    "Day, Hours.",
    "One, 4.",
    "Last words without an end.",
]


def test_markdown_is_split_into_spoken_sentences() -> None:
    assert split_sentences(TEXT, is_complete=True) == SPOKEN


@pytest.mark.parametrize("step", [1, 3, 17, 1000])
def test_growing_text_yields_each_sentence_once(step: int) -> None:
    """Whoever counts the sentences that they heard hears each of them once, however the text arrives."""
    stream = BlockStream()
    announced: list[str] = []
    for start in range(0, len(TEXT), step):
        stream.feed(TEXT[start : start + step])
        finished = [each for block in stream.finished for each in split_sentences(block, is_complete=True)]
        known = [*finished, *split_sentences(stream.open, is_complete=False)]
        announced += known[len(announced) :]
    finished = [each for block in stream.finished for each in split_sentences(block, is_complete=True)]
    announced += [*finished, *split_sentences(stream.open, is_complete=True)][len(announced) :]
    assert announced == SPOKEN


@pytest.mark.parametrize("source", ["", "\n", "***", "```", "**", "- ", "[x]: http://example.org", "\x00", "…"])
def test_degenerate_markdown_yields_valid_sentences(source: str) -> None:
    assert all(split_sentences(source, whole) in ([], [source], ["\ufffd"], ["***"]) for whole in (True, False))


def test_sentences_in_chinese_and_spanish() -> None:
    assert split_sentences("你好。再见。这是", is_complete=False) == ["你好。", "再见。"]
    assert split_sentences("¿Cómo estás? ¡Bien! Árbol", is_complete=False) == ["¿Cómo estás?", "¡Bien!"]
