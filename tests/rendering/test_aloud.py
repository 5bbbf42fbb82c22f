"""What is read aloud of a text: whole sentences, each of them once, and code by its name."""

from __future__ import annotations

import pytest

from chatsite.rendering.aloud import sentences
from chatsite.rendering.blocks import BlockStream

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
ALOUD = [
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


def test_a_text_is_told_in_sentences() -> None:
    assert sentences(TEXT, whole=True) == ALOUD


@pytest.mark.parametrize("step", [1, 3, 17, 1000])
def test_what_grows_is_told_sentence_by_sentence(step: int) -> None:
    """Whoever counts the sentences that they heard hears each of them once, however the text arrives."""
    stream, heard = BlockStream(), []
    for start in range(0, len(TEXT), step):
        stream.feed(TEXT[start : start + step])
        finished = [each for block in stream.finished for each in sentences(block, whole=True)]
        known = [*finished, *sentences(stream.open, whole=False)]
        heard += known[len(heard) :]
    finished = [each for block in stream.finished for each in sentences(block, whole=True)]
    heard += [*finished, *sentences(stream.open, whole=True)][len(heard) :]
    assert heard == ALOUD


@pytest.mark.parametrize("source", ["", "\n", "***", "```", "**", "- ", "[x]: http://example.org", "\x00", "…"])
def test_any_text_will_do(source: str) -> None:
    assert all(sentences(source, whole) in ([], [source], ["\ufffd"], ["***"]) for whole in (True, False))


def test_other_scripts_have_sentences_too() -> None:
    assert sentences("你好。再见。这是", whole=False) == ["你好。", "再见。"]
    assert sentences("¿Cómo estás? ¡Bien! Árbol", whole=False) == ["¿Cómo estás?", "¡Bien!"]
