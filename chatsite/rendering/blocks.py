"""Cuts a Markdown text that is still being written into finished blocks and an open end.

Every top-level block but the last one is finished. Only whole lines decide about that: a lone `*` looks
like a list until it turns out to be the beginning of `**bold**`.

What a later link reference definition changes in a finished block shows only when the whole text is rendered.
"""

from __future__ import annotations

from chatsite.rendering.parser import cut, tidy


def split(source: str) -> tuple[list[str], str]:
    """Give the finished blocks of `source`, and its open end; joined, they are the tidied source."""
    stream = BlockStream()
    stream.feed(source)
    return stream.finished, tidy(stream.open)


class BlockStream:
    """A text that grows; only its open end is parsed again.

    `finished` has the sources of the finished blocks, `open` that of the open end, which may be empty, and
    `length` counts the characters that were fed, so that whoever has the whole text feeds
    `text[stream.length:]`.
    """

    def __init__(self) -> None:
        self.finished: list[str] = []
        self.open = ""
        self.length = 0

    def feed(self, delta: str) -> list[str]:
        """Add `delta`, cut wherever it may be, to the text, and give the blocks that this finished."""
        self.length += len(delta)
        self.open += delta
        if "\n" not in delta:
            return []
        lines, end, rest = self.open.rpartition("\n")
        blocks, _ = cut(tidy(lines + end))
        self.open = blocks.pop() + rest
        self.finished += blocks
        return blocks
