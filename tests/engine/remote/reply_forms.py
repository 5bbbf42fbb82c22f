"""The forms in which servers write an answer: for each the bytes of a whole reply, in which a test puts a fault."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tests.support.model_server import delta, event, head, usage, words_of

# With characters of two, three and four bytes, and white space that must not get lost or doubled.
WHOLE = "Él — «uno» 🦊\n\n- two,  three"
THOUGHT = "Hm — «dos»"
COUNTED = usage(5, 9)
# Positions that are not next to anything special.
SAMPLE_STEP = 61


@dataclass(frozen=True)
class ReplyForm:
    """A form: what a server of `family` sends for an answer in some words.

    `end` is what the last bytes of the answer begin with: when their line is there, only the usage can be missing. One
    that `streams` shows text before its end, and `thought` is what it thinks before it answers.
    """

    name: str
    write: Callable[[Sequence[str]], bytes]
    family: str = "unknown"
    end: bytes = b"stop"
    streams: bool = True
    thought: str = ""

    @property
    def whole(self) -> bytes:
        """The reply with all of the answer."""
        return self.write(words_of(WHOLE))

    @property
    def whole_from(self) -> int:
        """The first byte whose loss leaves nothing of the answer out."""
        return self.whole.index(b"\n", self.whole.index(self.end)) + 1 if self.streams else len(self.whole)

    def sample_positions(self) -> list[int]:
        """Return bytes at which a fault may differ: around the ends of lines, within characters, and some others."""
        raw = self.whole
        line_ends = [i for i, byte in enumerate(raw) if byte == ord("\n")]
        within = [i for i, byte in enumerate(raw) if byte & 0xC0 == 0x80]
        special = {*line_ends[::4], *(i + 1 for i in line_ends[1::4]), *within[::3], self.whole_from, len(raw) - 1}
        return sorted(i for i in special | set(range(0, len(raw), SAMPLE_STEP)) if i < len(raw))


def _write_openai(words: Sequence[str]) -> bytes:
    chunks: list[object] = [{"choices": [{"delta": {"content": word}}]} for word in words]
    chunks += [{"choices": [{"delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": COUNTED}]
    return head() + b"".join(map(event, chunks)) + b"data: [DONE]\n\n"


def _write_in_chunks(words: Sequence[str]) -> bytes:
    """The same, each event in a piece of its own, whose length is in front of it."""
    return head(Transfer_Encoding="chunked") + b"".join(
        b"%x\r\n%b\r\n" % (len(part), part)
        for part in [*map(event, [*map(delta, words), delta(finish="stop")]), b"data: [DONE]\n\n", b""]
    )


def _write_loosely(words: Sequence[str]) -> bytes:
    """Other ends of lines, comments, names of events, no space after the colon; the end comes with the last text."""
    *others, last = words or [""]
    records = [*map(delta, others), delta(last, finish="stop"), {"choices": None, "usage": COUNTED}]
    lines = [f"event: message\r\ndata:{json.dumps(record, ensure_ascii=False)}\r\n\r\n" for record in records]
    return head() + ": ping\r\n\r\n".join(lines).encode() + b"data: [DONE]\r\n\r\n"


def _write_thinking(words: Sequence[str]) -> bytes:
    """What the model thinks is told apart, and comes only with an answer from its beginning."""
    thoughts = words_of(THOUGHT) if "".join(words) == WHOLE else []
    records: Iterable[object] = [
        *(delta(reasoning_content=thought) for thought in thoughts),
        *map(delta, words),
        delta(finish="stop"),
    ]
    return head() + b"".join(map(event, records)) + b"data: [DONE]\n\n"


def _write_ollama(words: Sequence[str]) -> bytes:
    records: list[object] = [{"message": {"role": "assistant", "content": word}, "done": False} for word in words]
    records.append({"message": {"content": ""}, "done": True, "done_reason": "stop", "eval_count": 9})
    lines = (json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)
    return head(content_type="application/x-ndjson") + b"".join(lines)


def _write_at_once(words: Sequence[str]) -> bytes:
    message = {"role": "assistant", "content": "".join(words)}
    record = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": COUNTED}
    return head(content_type="application/json") + json.dumps(record, ensure_ascii=False).encode()


FORMS = (
    ReplyForm("openai", _write_openai),
    ReplyForm("in chunks", _write_in_chunks),
    ReplyForm("loosely", _write_loosely),
    ReplyForm("thinking", _write_thinking, thought=THOUGHT),
    ReplyForm("ollama", _write_ollama, family="ollama", end=b'"done": true'),
    ReplyForm("at once", _write_at_once, streams=False),
)
