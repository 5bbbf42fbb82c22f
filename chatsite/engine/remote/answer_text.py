"""What has come of an answer: its text and reasoning, in whole characters, and the events for them."""

from __future__ import annotations

import re
from collections.abc import Callable

from chatsite.engine.reasoning import CLOSE_TAG, OPEN_TAG, ReasoningSplitter
from chatsite.engine.remote.stream_parts import StreamPart, Usage
from chatsite.engine.remote.written_text import PrefixJoiner, TextCleaner
from chatsite.engine.types import Delta, Event, ProvisionalText, Reasoning, Request, Restarted

# A server that does not keep to the limit of tokens must not fill the disk.
MAX_CHARS_PER_TOKEN = 40
SPARE_CHARS = 10_000
LENGTH_WORDS = frozenset({"length", "max_tokens"})
# Of a model whose template has opened the reasoning: the tag ends a line. Who writes about the tag puts it into one.
REASONING_END = re.compile(re.escape(CLOSE_TAG) + r"[ \t]*\n")
REASONING_END_CHARS = 100


class AnswerText:
    """Turns the parts of one or more replies into the events of one answer.

    The first reply may continue the prefix of the request, and a later one what was written before a connection broke.
    After `begin_anew` the text comes as provisional text, because it replaces what was there.
    """

    def __init__(self, request: Request, emit: Callable[[Event], None]) -> None:
        self._request = request
        self._emit = emit
        self.is_anew = False
        self._limit = request.options.max_new_tokens
        self.written = ""
        self.token_count = 0
        self.has_reasoning = False
        # Whether the reply began inside the reasoning, as only its end shows.
        self.opens_inside = False
        self.usage = Usage()
        # The beginning that the server was given for the newest reply.
        self.reply_prefix = ""
        self._reasoning_tokens = 0
        self._reasoning_chars = 0
        self._reply_tokens = 0
        self._finish_word: str | None = None
        self._had_text_at_end = False
        self._is_done = False
        self._has_limit = True
        self._joiner: PrefixJoiner | None = None
        self._splitter: ReasoningSplitter | None = None
        self._cleaner, self._reasoning_cleaner = TextCleaner(), TextCleaner()
        # What counts as reasoning because earlier replies of the model began inside it.
        self._assumed_reasoning: list[str] | None = None

    @property
    def prefix(self) -> str:
        """All of the answer that is there: what the request begins with, and what was written since."""
        return self.written if self.is_anew else self._request.prefix + self.written

    @property
    def sent_prefix(self) -> str:
        """The beginning of the answer as the server is given it."""
        return "" if self.is_anew else self.prefix.rstrip()

    @property
    def has_any(self) -> bool:
        """Whether a reader has seen something of this request."""
        return bool(self.written or self.has_reasoning)

    @property
    def has_only_reasoning(self) -> bool:
        """Whether the model has thought, and nothing of the answer is there."""
        return self.has_reasoning and not self.prefix.strip()

    @property
    def can_be_continued(self) -> bool:
        """Whether another reply could go on with it: not after thoughts without an answer, nor if it replaced one."""
        return bool(self.written.strip()) and not self.is_anew

    @property
    def tokens_left(self) -> int:
        """How many tokens the answer may still have."""
        return max(1, self._limit - (self.token_count - self._reasoning_tokens))

    @property
    def answer_tokens(self) -> int:
        """The tokens of the answer without what was thought, as the server counted them; 0 if it did not."""
        return max(0, (self.usage.completion_tokens or 0) - max(self._reasoning_tokens, self.usage.reasoning_tokens))

    @property
    def is_over(self) -> bool:
        """Whether the server has said that the answer is finished."""
        # An empty reason is one only at the very end, because some servers write it everywhere.
        return bool(self._finish_word) or (self._finish_word == "" and self._is_done)

    @property
    def is_full(self) -> bool:
        """Whether the answer is as long as it may get, though the server goes on."""
        options = self._request.options
        most_chars = MAX_CHARS_PER_TOKEN * self._limit + SPARE_CHARS
        most_reasoning = MAX_CHARS_PER_TOKEN * options.max_reasoning_tokens + SPARE_CHARS
        answer_tokens = self.token_count - self._reasoning_tokens
        return (
            (answer_tokens >= self._limit and not self._has_limit)
            or len(self.written) > most_chars
            or self._reasoning_chars > most_reasoning
        )

    @property
    def finish_word(self) -> str:
        """The server's word for why it ended."""
        return self._finish_word or ""

    def begin_anew(self) -> None:
        """Let the text replace what was there, because the server cannot go on with it."""
        self.is_anew = True
        self._limit = self._request.options.max_new_tokens + self._request.written_tokens
        self.restart()

    def restart(self) -> None:
        """Let nothing be left of what was written and thought for this request."""
        self.written, self.has_reasoning = "", False
        self.token_count = self._reasoning_tokens = self._reasoning_chars = 0
        self._emit(Restarted(self._request.id))

    def begin_reading(self, *, has_limit: bool, opens_inside: bool = False) -> None:
        """Get ready for a reply from its beginning; `has_limit` says that the server knows where to end.

        With `opens_inside` earlier replies of the model began inside the reasoning.
        """
        if self.is_anew and self.has_any:
            # What an earlier try wrote is replaced by this one.
            self.restart()
        self._has_limit = has_limit
        self.reply_prefix = self.sent_prefix
        prefix = self.prefix
        self._joiner = PrefixJoiner(prefix) if prefix and not self.is_anew else None
        self._splitter = None if self._joiner else ReasoningSplitter(is_open=opens_inside)
        self._assumed_reasoning = [] if self._splitter and opens_inside else None
        self.opens_inside = False
        self._cleaner, self._reasoning_cleaner = TextCleaner(), TextCleaner()
        self.usage, self._finish_word, self._is_done, self._reply_tokens = Usage(), None, False, 0
        self._had_text_at_end = False

    def take(self, part: StreamPart) -> bool:
        """Take a part of a reply; return whether there was text in it."""
        if part.usage:
            self.usage = part.usage
        if part.reasoning:
            # A server that tells the reasoning apart leaves no tags in the text.
            self._splitter = self._assumed_reasoning = None
            self._reply_tokens += 1
            self._add_reasoning(part.reasoning, 1)
        if part.text:
            self._reply_tokens += 1
            self._split(part.text)
        if part.finish_reason is not None:
            # A reason stays though chunks without one may follow.
            self._finish_word = part.finish_reason or self._finish_word or ""
        if part.text or part.reasoning or part.finish_reason is not None:
            self._had_text_at_end = bool(part.text or part.reasoning)
        self._is_done |= part.is_last
        return bool(part.text or part.reasoning)

    def note_end(self) -> None:
        """Note that the reply has ended; after a last part without text an empty reason is enough."""
        self._is_done |= not self._had_text_at_end

    def flush(self) -> None:
        """Hand over what was held back, because nothing more comes of this reply.

        What may be the half of a repetition is dropped if the reply broke off.
        """
        if self._splitter:
            is_thinking = self._splitter.is_thinking
            for piece in self._splitter.flush_text():
                self._add(piece.text, is_reasoning=piece.is_reasoning)
            self._splitter = None
            if is_thinking and self._assumed_reasoning and self._is_whole:
                self._take_for_answer("".join(self._assumed_reasoning))
        if self._joiner:
            self._write(self._joiner.flush_text(is_whole=self.is_over), 0)
            self._joiner = None
        self._write(self._cleaner.flush_text(), 0)
        if held := self._reasoning_cleaner.flush_text():
            self._add_reasoning(held, 0)

    @property
    def _is_whole(self) -> bool:
        """Whether the server says that the model has ended by itself."""
        return self.is_over and self.finish_word.lower() not in LENGTH_WORDS

    def _take_for_answer(self, text: str) -> None:
        """Let what counted as reasoning be the answer: this once the model did not think."""
        token_count = self.token_count
        self.restart()
        self._write(text, token_count)

    def apply_usage(self) -> None:
        """Add the tokens that the server counted beyond the pieces in which they came."""
        # No more than there is room for: no number of a server is believed as it comes.
        most = self._limit + self._request.options.max_reasoning_tokens
        missing = min((self.usage.completion_tokens or 0) - self._reply_tokens, most)
        # Some services count what was thought and do not show it.
        hidden = min(missing, self.usage.reasoning_tokens - self._reasoning_tokens)
        if hidden > 0:
            missing -= hidden
            self.token_count += hidden
            self._reasoning_tokens += hidden
            self._emit(Reasoning(self._request.id, "", hidden))
        if missing > 0:
            self.token_count += missing
            self._emit(Delta(self._request.id, "", missing) if not self.is_anew else self._provisional(missing))

    def _split(self, text: str) -> None:
        """Tell the reasoning in a text from the answer; its token belongs to the first piece."""
        if self._splitter is None:
            self._add(text, is_reasoning=False, token_count=1)
            return
        pieces = self._splitter.push_text(text)
        for number, piece in enumerate(pieces):
            self._add(piece.text, is_reasoning=piece.is_reasoning, token_count=0 if number else 1)
        if not pieces:
            self._add("", is_reasoning=self._splitter.is_thinking, token_count=1)

    def _add(self, text: str, *, is_reasoning: bool, token_count: int = 0) -> None:
        if is_reasoning:
            self._add_reasoning(text, token_count)
        else:
            self._write(self._cleaner.push_text(self._joiner.push_text(text) if self._joiner else text), token_count)

    def _add_reasoning(self, text: str, token_count: int) -> None:
        self.has_reasoning = True
        if self._assumed_reasoning is not None:
            self._assumed_reasoning.append(text)
        self.token_count += token_count
        self._reasoning_tokens += token_count
        self._reasoning_chars += len(text)
        text = self._reasoning_cleaner.push_text(text)
        if text or token_count:
            self._emit(Reasoning(self._request.id, text, token_count))

    def _write(self, text: str, token_count: int) -> None:
        if not text and not token_count:
            return
        self.written += text
        self.token_count += token_count
        self._emit(self._provisional(token_count) if self.is_anew else Delta(self._request.id, text, token_count))
        self._find_reasoning_end(len(text))

    def _find_reasoning_end(self, new_chars: int) -> None:
        """Take what was written for reasoning if its end has just come, because the template had opened it."""
        if self.has_reasoning or self.reply_prefix or self._request.is_background:
            return
        start = max(0, len(self.written) - new_chars - REASONING_END_CHARS)
        end = REASONING_END.search(self.written, start)
        if end is None or OPEN_TAG in self.written[: end.start()]:
            return
        reasoning, rest, token_count = self.written[: end.start()], self.written[end.end() :], self.token_count
        self.restart()
        self.opens_inside = True
        self._add_reasoning(reasoning.strip(), token_count)
        self._splitter = ReasoningSplitter(is_open=True)
        self._splitter.push_text(CLOSE_TAG)
        if rest:
            for piece in self._splitter.push_text(rest):
                self._add(piece.text, is_reasoning=False)

    def _provisional(self, token_count: int) -> ProvisionalText:
        return ProvisionalText(self._request.id, self.written, token_count)
