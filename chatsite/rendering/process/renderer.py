"""What pages render texts with: a process with a limit, a cache, and a budget for each page."""

from __future__ import annotations

import atexit
import hashlib
import math
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import structlog

from chatsite.rendering.decoration import CodeBlock, SanitizedBlock, block_as_written
from chatsite.rendering.markdown import Detail
from chatsite.rendering.markdown_parser import MAX_SOURCE_CHARS, normalize_source
from chatsite.rendering.process.byte_cache import ByteCache
from chatsite.rendering.process.fatal_texts import FatalTexts
from chatsite.rendering.process.render_budget import RenderBudget, max_step_seconds
from chatsite.rendering.process.render_process import RenderProcess, RenderProcessError
from chatsite.rendering.questions import question_as_written

log = structlog.get_logger()

MAX_CACHE_BYTES = 16 * 1024 * 1024
# A text that took the rest of a budget is not tried again so soon, or each request for its page would cost as much.
UNFINISHED_SECONDS = 20.0
# What took less is tried again at once: others took the budget.
_MIN_UNFINISHED_WORK_SECONDS = 0.1
# What a block that killed the process is tried with next.
_LESS_DETAIL = {Detail.COLORS: Detail.MARKDOWN, Detail.FORMULAS: Detail.MARKDOWN, Detail.MARKDOWN: Detail.SOURCE}

Blocks = tuple[SanitizedBlock, ...]


@dataclass(frozen=True)
class _Task:
    """A text that is to be rendered: as a whole, as one block with the `level` of its heading, or as a question."""

    source: str
    is_whole: bool = True
    is_question: bool = False
    level: int = 0
    detail: Detail = Detail.COLORS

    @property
    def is_kept(self) -> bool:
        """Whether the result is kept: not that of an open end, which the next event does not ask for again."""
        return self.detail is Detail.COLORS

    @property
    def key(self) -> bytes:
        """The name of the result in the cache."""
        text = f"{self.is_whole} {self.is_question} {self.level} {self.source}"
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()

    def as_written(self) -> Blocks:
        """Return the text as one block of code."""
        if self.is_question:
            return (question_as_written(self.source),)
        return (block_as_written(normalize_source(self.source)),)


@dataclass(frozen=True)
class _Kept:
    """A result in the cache, which holds until a moment of the monotonic clock."""

    blocks: Blocks
    until: float


class Renderer:
    """Renders one text at a time, in a process that may die over it. All threads of a web worker share one.

    Results are kept; those that are less than they could be because a budget was spent, only for some seconds.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = RenderProcess()
        self._cache: ByteCache[_Kept] = ByteCache(MAX_CACHE_BYTES)
        self._fatal_texts = FatalTexts()

    def render_text(self, text: str, budget: RenderBudget) -> Blocks:
        """Return the blocks of a finished text, cut as a stream cuts it. Accepts any string and raises nothing."""
        return self._render_cached(_Task(text), budget)

    def render_question(self, text: str, budget: RenderBudget) -> SanitizedBlock:
        """Return a question as one block. Accepts any string and raises nothing."""
        return self._render_cached(_Task(text, is_whole=False, is_question=True), budget)[0]

    def render_block(self, source: str, budget: RenderBudget, *, is_open: bool, level: int) -> SanitizedBlock:
        """Return one block of a growing text; the open end, which changes with every token, has no colors yet."""
        if is_open:
            detail = self._fatal_texts.limit_detail(source, Detail.FORMULAS)
            return self._render(_Task(source, is_whole=False, level=level, detail=detail), budget)[0]
        return self._render_cached(_Task(source, is_whole=False, level=level), budget)[0]

    def close(self) -> None:
        """End the process; the next text starts another."""
        with self._lock:
            self._process.close()

    def _render_cached(self, task: _Task, budget: RenderBudget) -> Blocks:
        return self._find_cached(task, budget) or self._render(task, budget)

    def _find_cached(self, task: _Task, budget: RenderBudget) -> Blocks | None:
        """Return what is kept of a text; for a file, which has more time than a page, only if it is complete."""
        kept = self._cache.get(task.key)
        is_page = budget.seconds <= RenderBudget.seconds
        return kept.blocks if kept and (kept.until == math.inf or (is_page and time.monotonic() < kept.until)) else None

    def _keep(self, task: _Task, blocks: Blocks, *, is_complete: bool, work_seconds: float) -> Blocks:
        """Put a result into the cache if it may be used again, and return it."""
        if task.is_kept and (is_complete or work_seconds >= _MIN_UNFINISHED_WORK_SECONDS):
            until = math.inf if is_complete else time.monotonic() + UNFINISHED_SECONDS
            self._cache.put(task.key, _Kept(blocks, until), sum(sys.getsizeof(block.html) for block in blocks))
        return blocks

    def _render(self, task: _Task, budget: RenderBudget) -> Blocks:
        """Render a text, or wait until another thread has rendered the same one.

        A block that killed the process is tried again with less detail, and is shown as it was written in the end.
        """
        if len(task.source) > MAX_SOURCE_CHARS or task.detail is Detail.SOURCE:
            return self._keep(task, task.as_written(), is_complete=True, work_seconds=0.0)
        blocks: list[SanitizedBlock] = []
        first_detail: Detail = task.detail
        work_seconds = 0.0
        while not budget.is_spent:
            done = len(blocks)
            try:
                with self._reserve_process(budget) as process:
                    if task.is_kept and (found := self._find_cached(task, budget)):
                        return found
                    before = budget.seconds
                    is_complete = _render_missing(process, task, budget, blocks=blocks, first_detail=first_detail)
                    work_seconds += before - budget.seconds
                    # Here, so that the thread that waits for this text finds it.
                    return self._keep(task, tuple(blocks), is_complete=is_complete, work_seconds=work_seconds)
            except RenderProcessError as error:
                log.warning("render_process_ended", reason=str(error), chars=len(task.source))
                if not error.is_killed:
                    break
                budget.spend(max_step_seconds(task.source))
                work_seconds += max_step_seconds(task.source)
                previous_detail = task.detail if len(blocks) > done else first_detail
                if previous_detail is Detail.SOURCE:
                    # No block did it, but cutting the text into blocks.
                    return self._keep(task, task.as_written(), is_complete=True, work_seconds=work_seconds)
                first_detail = _LESS_DETAIL[previous_detail]
                if not task.is_whole:
                    self._fatal_texts.add(task.source, first_detail)
        return self._keep(task, task.as_written(), is_complete=False, work_seconds=work_seconds)

    @contextmanager
    def _reserve_process(self, budget: RenderBudget) -> Iterator[RenderProcess]:
        """Wait until no other thread uses the process. Raises RenderProcessError if that takes too long."""
        started_at = time.monotonic()
        # Threads that share a budget may have spent it meanwhile.
        is_free = self._lock.acquire(timeout=max(0.0, budget.max_wait_seconds))
        budget.max_wait_seconds -= time.monotonic() - started_at
        if not is_free:
            raise RenderProcessError("busy", is_killed=False)
        try:
            yield self._process
        finally:
            self._lock.release()


def _render_missing(
    process: RenderProcess,
    task: _Task,
    budget: RenderBudget,
    *,
    blocks: list[SanitizedBlock],
    first_detail: Detail,
) -> bool:
    """Add to `blocks` those that it does not have; the first of them gets no more than `first_detail`.

    Returns whether the budget was enough for all detail. Raises RenderProcessError.
    """
    request = {
        "source": task.source,
        "is_whole": task.is_whole,
        "is_question": task.is_question,
        "level": task.level,
        "detail": task.detail,
        "first_detail": first_detail,
        "done": len(blocks),
        "seconds": budget.seconds,
        "detailed_seconds": budget.detailed_seconds,
    }
    spent = 0.0
    for response in process.iter_responses(request):
        budget.spend(response["seconds"] - spent)
        spent = response["seconds"]
        if "html" in response:
            code_blocks = tuple(CodeBlock(*code) for code in response["code_blocks"])
            blocks.append(SanitizedBlock(response["html"], code_blocks))
    return bool(response["is_complete"])


@cache
def shared_renderer() -> Renderer:
    """Return the renderer of this process. A fork makes another: two may not use the same pipes."""
    renderer = Renderer()
    atexit.register(renderer.close)
    return renderer


os.register_at_fork(after_in_child=shared_renderer.cache_clear)
