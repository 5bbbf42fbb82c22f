"""The answers that a runner writes: which request of the engine each of them is, and what is not stored yet.

An answer may be claimed again while the engine still has an older request for it: after a pause the runner finds that
another one had it meanwhile. So each request has a number of its own. Events of a request that is not active any more
are dropped, and never reach the text of a later one.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass, field

import structlog

from chatsite.engine.types import Delta, Event, FinishReason, ProvisionalText, Reasoning, Restarted, Started, Turn
from chatsite.errors import ChatsiteError, EngineError
from chatsite.errors.endpoints import EndpointError
from chatsite.models import Status
from chatsite.runner.prompt_reports import serialize_prompt_report
from chatsite.services.chat.generation_leases import ClaimedGeneration
from chatsite.services.chat.generation_update import GenerationUpdate

log = structlog.get_logger()

STATUS_BY_FINISH_REASON = {
    FinishReason.END: Status.DONE,
    FinishReason.LENGTH: Status.DONE,
    FinishReason.DEADLINE: Status.DONE,
    FinishReason.CANCELED: Status.STOPPED,
    FinishReason.ERROR: Status.FAILED,
}


@dataclass(eq=False)
class ActiveAnswer:
    """One answer that the engine writes.

    `request_id` is its number for the engine. `news` are the events since the last write, and `unsaved` is what that
    write was about until it is known to be stored. `last_seq` is the number of the last chunk. One that an endpoint
    writes `is_remote`. It `has_begun` when there is something of it to be read.
    """

    generation_id: int
    request_id: int
    attempts: int
    turns: tuple[Turn, ...]
    last_seq: int
    is_remote: bool = False
    news: GenerationUpdate = field(init=False)
    unsaved: GenerationUpdate | None = None
    cancel_requested: bool = False
    has_begun: bool = False

    def __post_init__(self) -> None:
        self.news = GenerationUpdate(self.attempts)

    def add_event(self, event: Event) -> bool:
        """Add an event of the engine to the news. An error on the way ends this answer, and no other one.

        Returns whether somebody waits for it: the answer begins with it, or ends.
        """
        if self.news.status:
            return False
        try:
            self._add_event(event)
        except Exception as error:
            self.fail(error)
        begins = not self.has_begun and bool(self.news.text or self.news.reasoning)
        self.has_begun |= begins
        return begins or self.news.status is not None

    def fail(self, error: Exception) -> None:
        """End the answer with an error; people read one of ours, and an unexpected one is logged."""
        if isinstance(error, ChatsiteError):
            reason = error
            # What a server says of a request may quote from it.
            said = error.code if isinstance(error, EndpointError) else str(error)
            log.error("generation_failed", generation=self.generation_id, error=said)
        else:
            reason = EngineError()
            log.error("generation_broke", generation=self.generation_id, exc_info=error)
        self.news.status, self.news.finish_reason, self.news.error = Status.FAILED, FinishReason.ERROR.value, reason

    def take_unsaved(self) -> GenerationUpdate | None:
        """Return what is to be stored next, or None. It stays the same until `mark_saved`.

        A write whose end is unknown, because the connection broke, is repeated exactly: its number says whether it was
        stored.
        """
        if self.unsaved is None and not self.news.is_empty:
            self.unsaved, self.news = self.news, GenerationUpdate(self.attempts)
            if self.unsaved.makes_chunk:
                self.last_seq += 1
                self.unsaved.seq = self.last_seq
        return self.unsaved

    def mark_saved(self) -> None:
        """Note that the result of `take_unsaved` is stored."""
        self.unsaved = None

    def _add_event(self, event: Event) -> None:
        news = self.news
        if isinstance(event, Started):
            news.prompt_report = serialize_prompt_report(event.report, self.turns)
        elif isinstance(event, Restarted):
            news.restart()
        elif isinstance(event, Delta):
            news.text += event.text
            news.new_tokens += event.token_count
        elif isinstance(event, Reasoning):
            news.reasoning += event.text
            news.new_tokens += event.token_count
            news.reasoning_tokens += event.token_count
        elif isinstance(event, ProvisionalText):
            # Replaces the text, because a beam search may prefer another text now.
            news.text, news.is_provisional = event.text, True
            news.new_tokens += event.token_count
        elif event.error_message:
            self.fail(event.error_message)
        else:
            news.status, news.finish_reason = STATUS_BY_FINISH_REASON[event.reason], event.reason.value


class ActiveAnswers:
    """All answers that a runner writes, by generation and by request."""

    def __init__(self) -> None:
        self._by_generation: dict[int, ActiveAnswer] = {}
        self._by_request: dict[int, ActiveAnswer] = {}
        self._request_ids = itertools.count(1)

    def __len__(self) -> int:
        return len(self._by_generation)

    @property
    def local_count(self) -> int:
        """The number of answers that are written here, and not by endpoints."""
        return sum(not answer.is_remote for answer in self._by_generation.values())

    def add(self, claim: ClaimedGeneration) -> ActiveAnswer:
        """Add a claimed generation, under a new request number. An older answer of it has to be removed first."""
        answer = ActiveAnswer(
            claim.generation_id,
            next(self._request_ids),
            claim.attempts,
            claim.messages,
            claim.last_seq,
            is_remote=bool(claim.endpoint),
        )
        self._by_generation[answer.generation_id] = self._by_request[answer.request_id] = answer
        return answer

    def remove(self, answer: ActiveAnswer) -> None:
        """Forget an answer; later events of its request are dropped."""
        self._by_generation.pop(answer.generation_id, None)
        self._by_request.pop(answer.request_id, None)

    def find(self, generation_id: int) -> ActiveAnswer | None:
        """Return the answer of a generation, or None."""
        return self._by_generation.get(generation_id)

    def all(self) -> Collection[ActiveAnswer]:
        """Return all answers, as they are now."""
        return tuple(self._by_generation.values())

    def add_event(self, event: Event) -> bool:
        """Add an event of the engine to its answer; return whether somebody waits for it.

        Events of requests that are not active any more are dropped.
        """
        answer = self._by_request.get(event.request_id)
        return answer is not None and answer.add_event(event)
