"""Titles by models, written while a runner has nothing else to do.

A title is no answer: nobody waits for it, so it is begun only while nothing is queued and this runner writes nothing,
and it is handed back as soon as there is an answer to write. One is written at a time.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from chatsite.engine.types import Delta, Engine, Event, Finish, FinishReason, GenerationOptions, Request
from chatsite.services.chat import claim_selection, model_titles, title_requests
from chatsite.services.chat.claim_selection import RunnerModels
from chatsite.services.chat.title_requests import ClaimedTitle
from chatsite.services.models import catalog

log = structlog.get_logger()

OPTIONS = GenerationOptions(max_new_tokens=16, seconds=20.0, temperature=0.0)
# Longer than a title may take, for an engine that says nothing of it any more.
TIMEOUT_SECONDS = 30.0
# What was due while there were answers to write for so long gets no title by a model.
MAX_BUSY_SECONDS = 60.0
HEARTBEATS_PER_LEASE = 4
# A request that is left to another runner is looked at again so often.
RETRY_SECONDS = 2.0
# A model that was not in memory may be by then.
ABSENT_SECONDS = 60.0


@dataclass
class _ActiveTitle:
    """The title that the engine writes; `finish_reason` is set at its end."""

    claimed: ClaimedTitle
    request_id: int
    started_at: float
    next_renewal_at: float
    text: str = ""
    finish_reason: FinishReason | None = None


class TitleWriter:
    """Asks the engine of a runner for titles. `lease_owner` is the runner; all methods need an app context."""

    def __init__(self, config: Mapping[str, Any], engine: Engine, lease_owner: str) -> None:
        self._is_on: bool = config["MODEL_TITLES"]
        self._catalog_config = catalog.read_catalog_config(config)
        self._lease_seconds: float = config["LEASE_SECONDS"]
        self._max_attempts: int = config["MAX_ATTEMPTS"]
        self._engine = engine
        self._lease_owner = lease_owner
        # Answers have positive numbers.
        self._request_ids = itertools.count(-1, -1)
        self._active: _ActiveTitle | None = None
        self._busy_since: float | None = None
        self._next_claim_at = 0.0
        # Until when each model counts as not being in the memory of this runner.
        self._absent_until: dict[str, float] = {}

    def add_event(self, event: Event) -> None:
        """Note an event of the engine; those of other requests are ignored."""
        active = self._active
        if active is None or event.request_id != active.request_id:
            return
        if isinstance(event, Delta):
            active.text += event.text
        elif isinstance(event, Finish):
            active.finish_reason = event.reason

    def poll(self, *, may_reap: bool = True) -> None:
        """Store the title that is finished, or renew its lease when that is due.

        Without `may_reap` no other runner counts as dead: a title that was not begun here is left to it.
        """
        active = self._active
        if active is None:
            return
        now = time.monotonic()
        if active.finish_reason is not None or now > active.started_at + TIMEOUT_SECONDS:
            self._finish(active, may_reap=may_reap)
        elif now >= active.next_renewal_at:
            active.next_renewal_at = now + self._lease_seconds / HEARTBEATS_PER_LEASE
            if not title_requests.heartbeat(self._lease_owner, active.claimed, self._lease_seconds):
                self._forget(active)

    def claim_next(self, *, is_idle: bool, may_reap: bool, models: RunnerModels) -> None:
        """Begin with the next title if `is_idle`; otherwise hand back what is being written.

        `is_idle` says that there is no answer to write, `may_reap` that expired leases were dead runners', and `models`
        what this runner has: the titles of others are left to the runners that have those.
        """
        if not self._is_on:
            return
        if not is_idle:
            self._make_room()
            return
        self._busy_since = None
        if self._active is not None or time.monotonic() < self._next_claim_at:
            return
        if title_requests.has_work(self._lease_owner, self._lease_seconds, may_reap=may_reap):
            self._claim(may_reap=may_reap, models=models)

    def _claim(self, *, may_reap: bool, models: RunnerModels) -> None:
        left: list[str] = []

        def is_left(model: str | None) -> bool:
            name = model or self._engine.model
            is_here = models.can_answer(name) and time.monotonic() >= self._absent_until.get(name, 0.0)
            if is_here or not self._may_be_elsewhere(name, may_reap=may_reap):
                return False
            left.append(name)
            return True

        claimed = title_requests.claim(
            self._lease_owner,
            self._lease_seconds,
            max_attempts=self._max_attempts,
            can_write=lambda model: catalog.can_write_titles(self._catalog_config, model or self._engine.model),
            is_left=is_left,
            may_reap=may_reap,
        )
        if claimed:
            self._start(claimed)
        elif left:
            self._next_claim_at = time.monotonic() + RETRY_SECONDS

    def _start(self, claimed: ClaimedTitle) -> None:
        now = time.monotonic()
        next_renewal_at = now + self._lease_seconds / HEARTBEATS_PER_LEASE
        active = self._active = _ActiveTitle(claimed, next(self._request_ids), now, next_renewal_at)
        turns = model_titles.build_turns(claimed.question, claimed.answer)
        request = Request(active.request_id, turns, OPTIONS, model=claimed.model or "", is_background=True)
        try:
            self._engine.submit(request)
        except Exception as error:
            log.error("title_broke", conversation=claimed.conversation_id, exc_info=error)
            active.finish_reason = FinishReason.ERROR

    def _finish(self, active: _ActiveTitle, *, may_reap: bool) -> None:
        model = active.claimed.model or self._engine.model
        if active.finish_reason is FinishReason.CANCELED and self._may_be_elsewhere(model, may_reap=may_reap):
            # The engine has not begun, because the model is not in memory here.
            self._absent_until[model] = time.monotonic() + ABSENT_SECONDS
            title_requests.release(self._lease_owner)
            self._forget(active)
            return
        # A text that was cut ends in the middle of a word.
        is_whole = active.finish_reason is FinishReason.END
        title = model_titles.clean_title(active.text, active.claimed.question) if is_whole else ""
        is_stored = title_requests.finish(self._lease_owner, active.claimed, title)
        log.info("title_ended", conversation=active.claimed.conversation_id, stored=is_stored)
        self._forget(active)

    def _may_be_elsewhere(self, model: str, *, may_reap: bool) -> bool:
        if not may_reap:
            return True
        others = claim_selection.list_living(self._lease_seconds, except_owner=self._lease_owner)
        return any(other.can_answer(model) for other in others)

    def _make_room(self) -> None:
        now = time.monotonic()
        if self._active and self._active.finish_reason is None:
            title_requests.release(self._lease_owner)
            self._forget(self._active)
        if self._busy_since is None:
            self._busy_since = now
        elif now > self._busy_since + MAX_BUSY_SECONDS and title_requests.has_work():
            self._busy_since = now
            log.info("titles_given_up", count=title_requests.give_up())

    def _forget(self, active: _ActiveTitle) -> None:
        self._active = None
        self._engine.cancel(active.request_id)
