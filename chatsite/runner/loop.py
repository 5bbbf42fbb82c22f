"""The loop of the runner: claim generations, store the events of the engine, release the rest at the end.

One thread does all of it, in ticks (`chatsite.runner.ticks`). Each tick stores the events of all running generations in
one transaction. A tick without events only renews leases, and only when their renewal is due.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import structlog
from flask import Flask

from chatsite.database import ChangeDetector, db
from chatsite.engine.types import Engine, Event, GenerationOptions, Preset, Request
from chatsite.errors import ChatsiteError
from chatsite.models import RunnerState
from chatsite.runner.active_answers import ActiveAnswer, ActiveAnswers
from chatsite.runner.cleanup import Cleanup
from chatsite.runner.clock_watch import ClockWatch
from chatsite.runner.endpoint_manager import EndpointManager
from chatsite.runner.engine_loading import EngineLoad
from chatsite.runner.import_process import ImportProcess
from chatsite.runner.model_manager import ModelManager
from chatsite.runner.ticks import Ticks
from chatsite.runner.title_writer import TitleWriter
from chatsite.services.chat import (
    claim_selection,
    generation_leases,
    generation_reaping,
    title_requests,
    waiting_messages,
)
from chatsite.services.chat.chat_settings import NUMERIC_OPTIONS
from chatsite.services.chat.claim_selection import RunnerModels
from chatsite.services.chat.generation_leases import ClaimedGeneration
from chatsite.services.chat.generations import QueueLimits
from chatsite.services.models import runners

log = structlog.get_logger()

# Three heartbeats may fail before the lease expires and another runner takes over.
HEARTBEATS_PER_LEASE = 4
MAX_BUSY_PAUSE_SECONDS = 2.0
# An expired lease changes nothing in the database, so there is work to find even without a write.
MAX_POLL_SECONDS = 0.5
# A network may be back after seconds, a full disk stays full: the pause doubles with each failure.
MIN_RETRY_SECONDS = 5.0
MAX_RETRY_SECONDS = 300.0


class Runner:
    """A runner that writes answers until `stop` is set.

    `app` provides the settings and the database. The engine is loaded in a thread of its own, so that the heartbeat can
    report progress meanwhile.
    """

    def __init__(
        self,
        app: Flask,
        engine: Engine,
        stop: threading.Event,
        *,
        model_manager: ModelManager | None = None,
        endpoint_manager: EndpointManager | None = None,
    ) -> None:
        self.owner = secrets.token_hex(8)
        self._app = app
        self._engine = engine
        self._stop = stop
        self._model_manager = model_manager
        self._endpoint_manager = endpoint_manager
        self._ticks = Ticks(engine, app.config["TICK_MS"] / 1000, stop=stop, take_events=self._take_events)
        self._lease_seconds: float = app.config["LEASE_SECONDS"]
        self._max_attempts: int = app.config["MAX_ATTEMPTS"]
        self._queue_limits = QueueLimits(
            app.config["MAX_MESSAGE_CHARS"], app.config["MAX_QUEUED_PER_USER"], app.config["MAX_QUEUED"]
        )
        self._max_queued_per_network: int | None = (
            app.config["MAX_QUEUED_PER_ADDRESS"] if app.config["LIMIT_ADDRESSES"] else None
        )
        self._default_options = GenerationOptions(
            max_new_tokens=app.config["MAX_ANSWER_TOKENS"],
            max_reasoning_tokens=app.config["MAX_REASONING_TOKENS"],
            seconds=app.config["MAX_ANSWER_SECONDS"],
        )
        self._answers = ActiveAnswers()
        self._title_writer = TitleWriter(app.config, engine, self.owner)
        self._clock_watch = ClockWatch(self._lease_seconds / 2, self._lease_seconds)
        self._next_renewal_at = 0.0
        self._next_heartbeat_at = 0.0
        self._next_poll_at = 0.0
        self._database_watch = ChangeDetector()
        self._has_unread_news = False
        self._cleanup = Cleanup()
        self._import_process = ImportProcess(app.config)

    def run(self) -> bool:
        """Load the model and write answers until the runner is stopped.

        Returns False if the runner ended without being stopped, because the engine could not be used.
        """
        log.info("runner_started", owner=self.owner, model=self._engine.model)
        is_loaded = self._load_with_retries()
        try:
            while is_loaded and not self._stop.is_set():
                self._run_in_context(self._run_tick)
        finally:
            # Closing the engine may take as long as a step of the model; other runners can work meanwhile.
            self._shut_down()
            self._engine.close()
            log.info("runner_ended", owner=self.owner)
        return self._stop.is_set()

    def _load_with_retries(self) -> bool:
        """Load the model, and retry after a growing pause if that fails. Return whether the engine is ready."""
        retry_seconds = MIN_RETRY_SECONDS
        while not self._stop.is_set():
            loading = self._load_once()
            if loading.error is None:
                return loading.finished.is_set()
            log.error("load_failed", reason=str(loading.error), again_in=retry_seconds)
            self._await_retry(loading.error, retry_seconds)
            retry_seconds = min(2 * retry_seconds, MAX_RETRY_SECONDS)
        return False

    def _load_once(self) -> EngineLoad:
        """Try to load the model while heartbeats continue. Return early when the runner is stopped."""
        loading = EngineLoad(self._engine)
        while (
            not loading.finished.wait(min(0.25, self._lease_seconds / HEARTBEATS_PER_LEASE)) and not self._stop.is_set()
        ):
            self._run_in_context(self._work_for_endpoints)
            state = RunnerState.FETCHING if loading.progress.stage == "fetching" else RunnerState.LOADING
            self._run_in_context(lambda state=state: self._heartbeat(state, loading.progress.fraction))  # type: ignore[misc]
            self._run_in_context(self._run_maintenance)
        return loading

    def _await_retry(self, reason: ChatsiteError, seconds: float) -> None:
        """Report `reason` in heartbeats for `seconds`; the owner may remove its cause, or the network may return."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._stop.is_set():
            self._run_in_context(lambda: self._heartbeat(RunnerState.FAILED, reason=reason))
            self._run_in_context(self._run_maintenance)
            pause_end = min(end, time.monotonic() + self._lease_seconds / HEARTBEATS_PER_LEASE)
            while time.monotonic() < pause_end and not self._stop.wait(min(0.25, pause_end - time.monotonic())):
                self._run_in_context(self._work_for_endpoints)

    def _run_tick(self) -> None:
        """Gather the events of the engine for one tick, then store them, apply cancellations and claim work."""
        self._ticks.gather(self._has_news)
        self._save_updates()
        self._title_writer.poll(may_reap=self._clock_watch.may_judge)
        if self._exchange_is_due():
            self._compare_with_database()
            waiting_messages.post_due(self._queue_limits, self._max_queued_per_network)
            self._claim_work(self._engine.capacity - self._answers.local_count)
            self._claim_title()
        self._heartbeat(RunnerState.READY)
        self._run_maintenance(is_ready=True)

    def _work_for_endpoints(self) -> None:
        """Do what a tick does for models that run elsewhere, which need not wait until the model of this one is there.

        It may never be: its weights cannot be downloaded, or need more memory than there is.
        """
        if self._endpoint_manager and self._endpoint_manager.known:
            self._take_events(self._engine.poll_events(0))
            self._save_updates()
            if self._exchange_is_due():
                self._compare_with_database()
                waiting_messages.post_due(self._queue_limits, self._max_queued_per_network)
                self._claim_work(0)

    def _take_events(self, events: Iterable[Event]) -> bool:
        """Note events; return whether somebody waits for one of them."""
        is_awaited = False
        for event in events:
            is_awaited |= self._answers.add_event(event)
            self._title_writer.add_event(event)
        return is_awaited

    def _has_news(self) -> bool:
        """Return whether somebody has written to the database since the last look, where one can tell."""
        self._has_unread_news |= self._database_watch.can_tell and self._database_watch.has_changed()
        return self._has_unread_news

    def _exchange_is_due(self) -> bool:
        """Return whether the database may hold something new for this runner."""
        # New questions and cancellations are writes of the web process, so an unchanged database has none. Answers that
        # have ended were written by this process, on another connection.
        is_due = self._has_news() or not self._database_watch.can_tell or time.monotonic() > self._next_poll_at
        self._has_unread_news = False
        if is_due:
            self._next_poll_at = time.monotonic() + MAX_POLL_SECONDS
        return is_due

    def _run_maintenance(self, is_ready: bool = False) -> None:
        may_reap = self._clock_watch.may_judge
        if self._model_manager:
            self._model_manager.poll(is_ready, may_reap=may_reap)
        if self._endpoint_manager:
            self._endpoint_manager.poll(self.owner)
        self._import_process.poll(may_reap=may_reap)
        self._cleanup.poll(may_judge=may_reap)

    def _save_updates(self) -> None:
        """Store the news of all answers, or renew the leases when that is due."""
        updates = {answer.generation_id: update for answer in self._answers.all() if (update := answer.take_unsaved())}
        if not updates and (not len(self._answers) or time.monotonic() < self._next_renewal_at):
            return
        lost_ids = generation_leases.heartbeat(self.owner, updates, self._lease_seconds)
        self._next_renewal_at = time.monotonic() + self._lease_seconds / HEARTBEATS_PER_LEASE
        for answer in self._answers.all():
            update = updates.get(answer.generation_id)
            if update is None:
                continue
            answer.mark_saved()
            if update.status or answer.generation_id in lost_ids:
                self._discard(answer)
                log.info(
                    "generation_ended",
                    generation=answer.generation_id,
                    status=update.status,
                    reason=update.finish_reason,
                )

    def _compare_with_database(self) -> None:
        """Cancel answers that a user stopped, drop those that were deleted or lost, hand back those nobody writes."""
        cancel_flags = generation_leases.list_held(self.owner)
        for answer in self._answers.all():
            if answer.generation_id not in cancel_flags:
                self._discard(answer)
            elif cancel_flags[answer.generation_id] and not answer.cancel_requested:
                answer.cancel_requested = True
                self._engine.cancel(answer.request_id)
        # A claim may have been stored though the connection broke before this runner learned of it.
        unknown_ids = [id_ for id_ in cancel_flags if not self._answers.find(id_)]
        if unknown_ids:
            generation_leases.release(self.owner, unknown_ids)

    def _discard(self, answer: ActiveAnswer) -> None:
        """Forget an answer. The engine may still write it: after an error, or when the lease was lost."""
        self._answers.remove(answer)
        self._engine.cancel(answer.request_id)

    def _claim_work(self, free_slots: int) -> None:
        """Claim answers of endpoints, and up to `free_slots` of models that run here."""
        may_reap = self._clock_watch.may_judge
        models = self._list_models()
        if (free_slots <= 0 and not models.endpoints) or not generation_leases.has_work(
            self._lease_seconds, may_reap=may_reap
        ):
            return
        # What a dead runner held may take the very places that the others wait for.
        may_find_abandoned = may_reap and generation_reaping.has_abandoned(self._lease_seconds)
        if not may_find_abandoned and not claim_selection.has_claimable(
            self.owner, models, max_local=free_slots, lease_seconds=self._lease_seconds, may_reap=may_reap
        ):
            return
        for claim in generation_leases.claim(
            self.owner,
            free_slots,
            self._lease_seconds,
            max_attempts=self._max_attempts,
            may_reap=may_reap,
            models=models,
        ):
            self._start_answer(claim)

    def _list_models(self) -> RunnerModels:
        """Return what this runner can answer with."""
        local = self._model_manager.local_models if self._model_manager else frozenset()
        if self._endpoint_manager is None:
            return RunnerModels(local)
        return RunnerModels(local, self._endpoint_manager.known, self._endpoint_manager.reached)

    def _claim_title(self) -> None:
        is_idle = not len(self._answers) and not generation_leases.has_work(may_reap=False)
        self._title_writer.claim_next(is_idle=is_idle, may_reap=self._clock_watch.may_judge, models=self._list_models())

    def _start_answer(self, claim: ClaimedGeneration) -> None:
        """Hand a claimed generation to the engine. Whatever goes wrong with it ends this answer only."""
        older = self._answers.find(claim.generation_id)
        if older:
            # Another runner had it since, and this one did not notice: the engine may still write what is void.
            self._discard(older)
        answer = self._answers.add(claim)
        log.info("generation_claimed", generation=claim.generation_id, attempt=claim.attempts)
        if claim.refusal:
            answer.fail(claim.refusal)
            return
        try:
            self._engine.submit(self._build_request(claim, answer.request_id))
        except Exception as error:
            answer.fail(error)

    def _build_request(self, claim: ClaimedGeneration, request_id: int) -> Request:
        overrides: dict[str, Any] = {
            name: value for name, value in claim.generation_options.items() if name in NUMERIC_OPTIONS
        }
        max_new_tokens = min(
            self._default_options.max_new_tokens, overrides.get("max_new_tokens", self._default_options.max_new_tokens)
        )
        # The text of an earlier attempt counts, so that the answer does not get longer than the limit.
        overrides["max_new_tokens"] = max(1, max_new_tokens - claim.token_count)
        # With the seed of an earlier attempt the answer continues as it would have without the interruption.
        overrides["seed"] = overrides.get("seed") if claim.seed is None else claim.seed
        return Request(
            id=request_id,
            turns=claim.messages,
            prefix=claim.prefix_text,
            options=replace(self._default_options, preset=_find_preset(claim), **overrides),
            persona=claim.instructions,
            model=claim.model or "",
            kept_chars=claim.kept_chars,
            written_tokens=claim.token_count,
            reasoning=claim.reasoning,
        )

    def _heartbeat(
        self, state: RunnerState, progress: float | None = None, reason: ChatsiteError | None = None
    ) -> None:
        # Ticks are much shorter than leases. Other states are reported each time, because their progress changes.
        if state is RunnerState.READY and time.monotonic() < self._next_heartbeat_at:
            return
        # While it loads, nothing is left to this runner that another one can answer.
        models = self._list_models() if state is RunnerState.READY else RunnerModels()
        runners.heartbeat(
            self.owner,
            self._engine.model,
            state,
            progress=progress,
            error=reason,
            local_models=models.local,
            reached_endpoints=models.reached,
        )
        self._next_heartbeat_at = time.monotonic() + self._lease_seconds / HEARTBEATS_PER_LEASE

    def _shut_down(self) -> None:
        """Store the news and hand back unfinished work, each step whatever becomes of the others.

        A runner that ends because of an error releases no answers: its leases expire, and its death counts.
        """
        steps = [self._save_last_updates]
        if self._stop.is_set():
            steps.append(lambda: generation_leases.release(self.owner))
            steps.append(lambda: title_requests.release(self.owner))
        steps.append(lambda: runners.deregister(self.owner))
        if self._model_manager:
            steps.append(self._model_manager.close)
        if self._endpoint_manager:
            steps.append(self._endpoint_manager.close)
        for step in (*steps, self._import_process.close, self._database_watch.close):
            self._run_in_context(step)

    def _save_last_updates(self) -> None:
        self._save_updates()
        # A second time for what came while the first write was not known to be stored.
        self._save_updates()

    def _run_in_context(self, action: Callable[[], None]) -> None:
        """Run `action` in an app context of its own; log a ChatsiteError, such as a busy database, and pause."""
        with self._app.app_context():
            try:
                action()
            except ChatsiteError as error:
                log.warning("runner_waits", reason=type(error).__name__)
                self._stop.wait(min(MAX_BUSY_PAUSE_SECONDS, self._lease_seconds / HEARTBEATS_PER_LEASE))
            finally:
                db.session.remove()


def _find_preset(claim: ClaimedGeneration) -> Preset | None:
    """Return the preset of a claim, or None for a preset that only a later version of the code knows."""
    return Preset(claim.preset) if claim.preset in list(Preset) else None
