"""Split a growing Markdown text into finished blocks and an unfinished rest.

Every top-level block but the last one is finished. Only whole lines decide about that: a lone `*` looks
like a list until it turns out to be the beginning of `**bold**`.

What a later link reference definition changes in a finished block shows only when the whole text is rendered.
"""

from __future__ import annotations

from chatsite.rendering.markdown_parser import normalize_source, split_source


def split_blocks(source: str) -> tuple[list[str], str]:
    """Return the finished blocks of `source`, and the unfinished rest; joined, they are the normalized source."""
    stream = BlockStream()
    stream.feed(source)
    return stream.finished, normalize_source(stream.open)


class BlockStream:
    """A growing text; only its unfinished rest is parsed again.

    `finished` has the sources of the finished blocks, `open` that of the open end, which may be empty, and
    `length` counts the characters that were fed, so that whoever has the whole text feeds
    `text[stream.length:]`.
    """

    def __init__(self) -> None:
        self.finished: list[str] = []
        self.open = ""
        self.length = 0

    def feed(self, delta: str) -> list[str]:
        """Add `delta` to the text, and return the blocks that it finished."""
        self.length += len(delta)
        self.open += delta
        if "\n" not in delta:
            return []
        lines, end, rest = self.open.rpartition("\n")
        blocks, _ = split_source(normalize_source(lines + end))
        self.open = blocks.pop() + rest
        self.finished += blocks
        return blocks
