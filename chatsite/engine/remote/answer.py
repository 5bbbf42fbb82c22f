"""One answer of a remote model: asked for, read, asked for again where that may help, and reported."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace

import structlog

from chatsite.engine.remote.answer_text import LENGTH_WORDS, AnswerText
from chatsite.engine.remote.bodies import (
    Call,
    build_body,
    chat_url,
    find_refused_field,
    list_messages,
    used_options,
)
from chatsite.engine.remote.continuation import can_continue
from chatsite.engine.remote.failures import REFUSED_STATUSES, Advice, RequestFailedError, pause_seconds
from chatsite.engine.remote.history import ESTIMATE_RESERVE, SentPrompt
from chatsite.engine.remote.keys import redact
from chatsite.engine.remote.model_state import RemoteModelState
from chatsite.engine.remote.replies import iter_parts
from chatsite.engine.remote.stream_parts import GarbageError, StreamPart
from chatsite.engine.types import Event, Finish, FinishReason, Request, Started
from chatsite.errors import ChatsiteError, EngineError, endpoints

log = structlog.get_logger()

MAX_RETRIES = 3
# Somebody is reading already, and a server that was killed needs some seconds to be there again.
MAX_RETRIES_IN_THE_MIDDLE = 6
# Each costs the whole prompt, which somebody may pay for.
MAX_BREAKS = 10
# What comes after the end is the usage, which a good server sends at once.
USAGE_SECONDS = 3.0
MIN_ANSWER_TOKENS = 16
MIN_CONTEXT_TOKENS = 64
CONTEXT_LIMIT = re.compile(r"(?:maximum context length is |n_ctx\D{1,5}|context size \(?)(\d{2,9})", re.IGNORECASE)
# The server cannot count at all; with other refusals only this prompt cannot be counted.
COUNTLESS_STATUSES = frozenset({404, 405, 501})


class Answer:
    """One answer while it is written; `emit` takes its events. All but the constructor runs on the client's loop."""

    def __init__(self, request: Request, state: RemoteModelState, emit: Callable[[Event], None]) -> None:
        self._request = request
        self._state = state
        self._client = state.client
        self._emit = emit
        self._text = AnswerText(request, emit)
        self._sent: SentPrompt | None = None
        self._retries = 0
        self._breaks = 0
        self._has_learned_limit = False
        # How much of the room that an estimate leaves may be asked for.
        self._room_share = 1.0
        # How much of the text there was at the last failure.
        self._kept_length = 0
        # Why the newest reply with text broke off.
        self._interruption: RequestFailedError | None = None
        self._began_at = 0.0

    async def write(self) -> None:
        """Write the answer. Whatever goes wrong becomes the error of its Finish."""
        request_id = self._request.id
        try:
            async with self._client.limiter.hold_place():
                self._emit(await self._write_in_time())
        except RequestFailedError as failure:
            self._emit(Finish(request_id, FinishReason.ERROR, failure.error))
        except ChatsiteError as error:
            self._emit(Finish(request_id, FinishReason.ERROR, error))
        except Exception:
            log.exception("remote_answer_broke", model=self._state.name)
            self._emit(Finish(request_id, FinishReason.ERROR, EngineError()))

    async def _write_in_time(self) -> Finish:
        self._began_at = time.monotonic()
        try:
            async with asyncio.timeout(self._request.options.seconds):
                reason = await self._write_with_retries()
        except TimeoutError:
            self._text.flush()
            if not self._text.has_any:
                # An end without a word would look like an answer.
                seconds = round(self._request.options.seconds)
                silent = endpoints.EndpointSilentError(endpoint=self._client.endpoint.name, seconds=seconds)
                raise RequestFailedError(silent) from None
            reason = FinishReason.DEADLINE
        return Finish(self._request.id, reason)

    async def _write_with_retries(self) -> FinishReason:
        circuit = self._client.circuit
        if circuit and circuit.error:
            raise endpoints.EndpointPausedError(endpoint=self._client.endpoint.name, reason=circuit.error)
        while True:
            try:
                reason = await self._write_once()
            except RequestFailedError as failure:
                self._text.flush()
                self._client.note_failure(failure)
                await self._recover(failure)
            else:
                self._client.breaker.note_success()
                return reason

    async def _recover(self, failure: RequestFailedError) -> None:
        """Wait or change what is sent, so that another try may go well; otherwise raise the failure again."""
        advice = failure.advice
        if advice.status in REFUSED_STATUSES and self._learn(advice.detail):
            return
        if advice.is_loading:
            await asyncio.sleep(self._client.timeouts.loading_pause)
            return
        if self._text.has_any and not (self._text.can_be_continued or self._text.has_only_reasoning):
            raise failure
        if len(self._text.written) > self._kept_length:
            # The last try brought the answer forward, so this is the first failure of the next one.
            self._kept_length, self._retries = len(self._text.written), 0
        if not advice.is_retryable or self._retries >= (
            MAX_RETRIES_IN_THE_MIDDLE if self._text.has_any else MAX_RETRIES
        ):
            raise failure
        self._breaks += self._text.has_any
        if self._breaks > MAX_BREAKS:
            raise failure
        if self._text.has_only_reasoning:
            # Nobody can go on with half a thought.
            self._text.restart()
        elif self._text.has_any:
            self._interruption = failure
        pause = pause_seconds(self._retries, advice.retry_after, self._client.timeouts.first_pause)
        self._retries += 1
        await asyncio.sleep(pause)

    def _learn(self, detail: str) -> bool:
        """Remember what a server refuses; return whether another try will be different."""
        learned, model = self._client.learned, self._state.remote_name
        limit = CONTEXT_LIMIT.search(detail)
        if limit and not self._is_quoted(limit[0]) and not self._has_learned_limit:
            self._has_learned_limit = True
            if MIN_CONTEXT_TOKENS <= int(limit[1]) < self._state.facts.context_tokens:
                learned.contexts[model] = int(limit[1])
                self._sent = None
            else:
                # The prompt was longer than estimated.
                self._room_share = 0.5
            return True
        if self._sent is None:
            return False
        refused = find_refused_field(self._state.family, build_body(self._state.family, self._call(self._sent)), detail)
        if refused is None or refused in learned.refused_fields:
            return False
        learned.refused_fields.add(refused)
        return True

    def _is_quoted(self, words: str) -> bool:
        """Return whether a server's words are those of the conversation, which it may repeat in its refusal."""
        return any(words in turn.text for turn in self._request.turns)

    async def _write_once(self) -> FinishReason:
        """Ask once and read the reply to its end. Raises RequestFailedError; what was written by then is kept."""
        await self._client.find_report()
        if self._text.prefix and not self._text.is_anew and not await can_continue(self._state):
            self._give_up_prefix()
        is_first = self._sent is None
        sent = self._sent = await self._fit()
        if is_first:
            self._emit(Started(self._request.id, sent.report))
        call = self._call(sent)
        opens_inside = not self._request.is_background and self._client.learned.opens_inside.get(
            self._state.remote_name, False
        )
        has_limit = call.max_tokens <= self._text.tokens_left
        self._text.begin_reading(has_limit=has_limit, opens_inside=opens_inside)
        await self._read(build_body(self._state.family, call))
        return self._apply_usage(sent)

    def _give_up_prefix(self) -> None:
        """Let the answer begin anew, unless a reader has seen text that must stay. Raises RequestFailedError."""
        if self._interruption:
            raise RequestFailedError(self._interruption.error)
        if self._request.kept_chars:
            endpoint = self._client.endpoint.name
            raise RequestFailedError(endpoints.EndpointCannotContinueError(endpoint=endpoint))
        self._text.begin_anew()

    async def _fit(self) -> SentPrompt:
        """Choose the turns, counted by the server where it counts."""
        request = replace(self._request, prefix=self._text.prefix)
        options = used_options(self._state.family, self._call(None))
        counted = self._state.find_counted()
        sent = None
        if counted:
            try:
                sent = await counted.fit(request, self._state.facts, options)
            except GarbageError:
                self._client.learned.counts = False
            except RequestFailedError as failure:
                if not failure.advice.status or failure.advice.is_loading:
                    raise
                # An older server of the family, or one with a proxy in front that lets only the answers through.
                # A model that is not there says nothing about the others.
                is_about_model = "model" in failure.advice.detail.lower()
                self._client.learned.counts = is_about_model or failure.advice.status not in COUNTLESS_STATUSES
        if sent is None:
            sent = self._state.estimated.fit(request, self._state.facts, options)
        if self._text.is_anew:
            sent = replace(sent, report=replace(sent.report, notes=("restarted",)))
        return sent

    def _call(self, sent: SentPrompt | None) -> Call:
        facts, options = self._state.facts, self._request.options
        wanted = self._text.tokens_left
        may_think = not self._request.is_background and not self._text.sent_prefix
        if may_think and self._client.learned.thinks.get(facts.remote_name, True):
            # Whoever thinks may do so beside the answer; whoever is not known to is stopped in time.
            wanted += options.max_reasoning_tokens
        used = sent.report.used_tokens if sent else 0
        room = facts.context_tokens - used
        if sent and sent.report.counted_by == "estimated":
            room = int((room - ESTIMATE_RESERVE * used) * self._room_share)
        return Call(
            facts.remote_name,
            list_messages(self._request, sent.turns) if sent else (),
            options,
            min(wanted, max(room, MIN_ANSWER_TOKENS)),
            facts.context_tokens,
            prefix=self._text.sent_prefix,
            may_think=not self._request.is_background,
            refused_fields=frozenset(self._client.learned.refused_fields),
        )

    async def _read(self, body: dict[str, object]) -> None:
        """Read a reply to its end, with a clock for its first byte, for its gaps and for the gaps between texts."""
        client, state, loop = self._client, self._state, asyncio.get_running_loop()
        timeouts, seconds = client.timeouts, client.endpoint.first_byte_seconds
        url = chat_url(client.endpoint, state.family)
        last_text_at = loop.time()
        try:
            async with (
                asyncio.timeout(seconds) as clock,
                client.stream(url, body, model=state.remote_name) as response,
                aclosing(iter_parts(response, is_native_ollama=state.family.is_native_ollama)) as parts,
            ):
                async for part in parts:
                    was_over = self._text.is_over
                    if self._take(part):
                        last_text_at = loop.time()
                    if self._text.is_full or (self._text.is_over and part.is_last):
                        break
                    if not self._text.is_over:
                        seconds = min(timeouts.gap, last_text_at + timeouts.text - loop.time())
                        clock.reschedule(loop.time() + seconds)
                    elif not was_over:
                        clock.reschedule(loop.time() + USAGE_SECONDS)
                self._text.note_end()
        except TimeoutError:
            if not self._text.is_over:
                silent = endpoints.EndpointSilentError(endpoint=client.endpoint.name, seconds=round(seconds))
                raise RequestFailedError(silent, Advice(is_retryable=True)) from None
        except GarbageError:
            if not self._text.is_over:
                garbage = endpoints.EndpointGarbageError(endpoint=client.endpoint.name)
                raise RequestFailedError(garbage, Advice(is_retryable=self._text.has_any)) from None
        except RequestFailedError:
            if not self._text.is_over:
                raise
        if not self._text.is_over and not self._text.is_full:
            cut_off = endpoints.EndpointCutOffError(endpoint=client.endpoint.name)
            raise RequestFailedError(cut_off, Advice(is_retryable=True))

    def _take(self, part: StreamPart) -> bool:
        """Take a part of the reply; return whether there was text in it."""
        if part.error is not None:
            detail = redact(part.error, self._client.key) or "?"
            raise RequestFailedError(endpoints.EndpointBrokeError(endpoint=self._client.endpoint.name, detail=detail))
        return self._text.take(part)

    def _note_thinking(self) -> None:
        """Remember whether the model thinks, and whether its template opens the reasoning."""
        text, learned, model = self._text, self._client.learned, self._state.remote_name
        if text.has_reasoning or text.usage.reasoning_tokens:
            learned.thinks[model] = True
        elif text.written.strip() and not text.reply_prefix and not self._request.is_background:
            # Only of an answer that is there, and that it was free to think about.
            learned.thinks.setdefault(model, False)
        if text.opens_inside:
            learned.opens_inside[model] = True

    def _apply_usage(self, sent: SentPrompt) -> FinishReason:
        """Report what the server has counted, and return why the answer ended."""
        text, state = self._text, self._state
        text.flush()
        usage = text.usage
        if usage.prompt_tokens and sent.report.counted_by == "estimated" and not text.reply_prefix:
            report = state.estimated.apply_count(
                self._request, sent, usage.prompt_tokens, may_cut=self._state.family.cuts_silently
            )
            self._emit(Started(self._request.id, report))
        text.apply_usage()
        self._note_thinking()
        answer_tokens = text.answer_tokens
        if answer_tokens and not text.reply_prefix and not text.is_full:
            state.ledger.note_answer(text.written, answer_tokens)
        seconds = time.monotonic() - self._began_at
        state.tokens_per_second = text.token_count / seconds if seconds > 0 else 0.0
        if text.finish_word == "content_filter":
            raise endpoints.EndpointFilteredError(endpoint=self._client.endpoint.name)
        is_length = text.is_full or text.finish_word.lower() in LENGTH_WORDS
        return FinishReason.LENGTH if is_length else FinishReason.END
