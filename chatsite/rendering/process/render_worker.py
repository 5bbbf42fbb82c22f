"""The process that renders texts, a block at a time, for a web worker (`render_process.py`).

It reads requests and writes responses as lines of JSON, and ends when its input ends. The kernel kills it when a block
takes more processor time than it was given: nothing else could stop a regular expression, or a converter that is not
written in Python.
"""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import sys
import time
from collections.abc import Iterator
from typing import IO, Any

from chatsite.rendering.markdown import Detail, Document, sanitize_block
from chatsite.rendering.process.render_budget import max_step_seconds
from chatsite.rendering.questions import sanitize_question

MAX_MEMORY_BYTES = 1 << 30
"""More than this much address space is refused; texts of the size that is rendered need a small part of it."""


def main() -> None:
    """Serve requests until the input ends."""
    _limit_process()
    with contextlib.suppress(BrokenPipeError):
        for line in sys.stdin.buffer:
            for response in _iter_responses(json.loads(line)):
                _write_line(sys.stdout.buffer, response)


def _limit_process() -> None:
    """Let the timer kill this process, bound its memory, and leave the Ctrl-C of a terminal to the web worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))


def _iter_responses(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a response for each block that is not `done` yet, and one without a block at the end.

    The first of them has no more than `first_detail`, because it killed the process before.
    """
    started_at = time.process_time()
    _arm_timer(request["source"])
    document = Document(request["source"]) if request["is_whole"] else None
    is_complete = True
    for index in range(request["done"], len(document) if document else 1):
        _arm_timer(request["source"])
        wanted = min(request["detail"], request["first_detail"]) if index == request["done"] else request["detail"]
        detail = Detail(min(wanted, _affordable_detail(time.process_time() - started_at, request)))
        is_complete = is_complete and detail == wanted
        if document:
            block = document.sanitize_block(index, detail)
        elif request["is_question"]:
            block = sanitize_question(request["source"], detail)
        else:
            block = sanitize_block(request["source"], detail, level=request["level"])
        yield {"html": block.html, "code_blocks": block.code_blocks} | _seconds_since(started_at)
    _disarm_timer()
    yield {"is_complete": is_complete} | _seconds_since(started_at)


def _affordable_detail(seconds: float, request: dict[str, Any]) -> Detail:
    """Return how much detail a request still pays for after so much work."""
    if seconds < request["detailed_seconds"]:
        return Detail.COLORS
    return Detail.MARKDOWN if seconds < request["seconds"] else Detail.SOURCE


def _arm_timer(source: str) -> None:
    """Have this process killed if a step of the work on `source` takes too long."""
    signal.setitimer(signal.ITIMER_PROF, max_step_seconds(source))


def _disarm_timer() -> None:
    signal.setitimer(signal.ITIMER_PROF, 0)


def _seconds_since(started_at: float) -> dict[str, float]:
    return {"seconds": time.process_time() - started_at}


def _write_line(output: IO[bytes], response: dict[str, Any]) -> None:
    output.write(json.dumps(response).encode() + b"\n")
    output.flush()


if __name__ == "__main__":
    main()
