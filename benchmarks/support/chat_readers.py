"""Reads answers of a server of models and says what that cost: `python -m benchmarks.support.chat_readers PLAN`.

The plan names the client that reads: `engine` is the remote engine of the site, `openai` the package of that name, and
`plain` only looks for the pieces in the bytes. It prints a JSON object: the tokens, the seconds of all, the seconds to
each first text, and the processor time of this process from the first request on. It imports nothing of the site but
for `engine`, so that any Python that has the package can run it.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True)
class ReadPlan:
    """What to read: the answers of `model` at `url` (with /v1) to `questions`, all at once, of `max_tokens` at most."""

    client: str
    url: str
    model: str
    questions: list[str]
    max_tokens: int


@dataclass
class ReadResult:
    """What was read."""

    token_count: int = 0
    seconds: float = 0.0
    first_text_seconds: list[float] = field(default_factory=list)
    processor_seconds: float = 0.0

    @property
    def tokens_per_second(self) -> float:
        """Tokens a second of all together, from the first text to the last end."""
        return self.token_count / (self.seconds - min(self.first_text_seconds))


class Reading:
    """The reading of a plan: each answer tells its first text and its tokens."""

    def __init__(self, plan: ReadPlan) -> None:
        self.plan = plan
        self.result = ReadResult()
        self._lock = threading.Lock()
        self._start = time.perf_counter()
        self._processor_start = time.process_time()

    def note_first_text(self) -> None:
        """Note that an answer has begun."""
        with self._lock:
            self.result.first_text_seconds.append(time.perf_counter() - self._start)

    def note_tokens(self, token_count: int) -> None:
        """Note that an answer has ended, and its length."""
        with self._lock:
            self.result.token_count += token_count

    def finish(self) -> ReadResult:
        """Return what all took."""
        self.result.seconds = time.perf_counter() - self._start
        self.result.processor_seconds = time.process_time() - self._processor_start
        return self.result


def read_with_engine(plan: ReadPlan) -> ReadResult:
    """Read with the remote engine, as a runner does, but without a database."""
    from chatsite.engine.catalog.endpoints import Endpoint, RemoteModel, make_entry
    from chatsite.engine.remote.client import EndpointClient
    from chatsite.engine.remote.engine import RemoteEngine
    from chatsite.engine.types import Delta, Finish, GenerationOptions, Request, Turn

    endpoint = Endpoint("server", plan.url, max_answers=len(plan.questions))
    client = EndpointClient(endpoint, "")
    client.probe()
    engine = RemoteEngine(make_entry(endpoint, RemoteModel(plan.model)), client)
    options = GenerationOptions(max_new_tokens=plan.max_tokens, seconds=TIMEOUT_SECONDS, max_reasoning_tokens=0)
    reading, begun, unfinished = Reading(plan), set[int](), len(plan.questions)
    for number, question in enumerate(plan.questions):
        engine.submit(Request(number, (Turn("user", question),), options))
    while unfinished:
        for event in engine.poll_events(0.05):
            if isinstance(event, Delta):
                if event.text and event.request_id not in begun:
                    begun.add(event.request_id)
                    reading.note_first_text()
                reading.note_tokens(event.token_count)
            unfinished -= isinstance(event, Finish)
    result = reading.finish()
    engine.close()
    client.close()
    return result


def read_with_openai(plan: ReadPlan) -> ReadResult:
    """Read with the openai package, one thread for each answer."""
    import openai

    client = openai.OpenAI(base_url=plan.url, api_key="none", timeout=TIMEOUT_SECONDS, max_retries=0)

    def read(question: str, reading: Reading) -> None:
        chunks = client.chat.completions.create(**ask(plan, question))
        is_begun = False
        for chunk in chunks:
            if not is_begun and chunk.choices and chunk.choices[0].delta.content:
                is_begun = True
                reading.note_first_text()
            if chunk.usage:
                reading.note_tokens(chunk.usage.completion_tokens)

    return read_all(plan, read)


def read_plainly(plan: ReadPlan) -> ReadResult:
    """Read the bytes, one thread for each answer: as little work as can be."""
    address = urllib.parse.urlsplit(plan.url)

    def read(question: str, reading: Reading) -> None:
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=TIMEOUT_SECONDS)
        headers = {"Content-Type": "application/json"}
        connection.request("POST", f"{address.path}/chat/completions", json.dumps(ask(plan, question)), headers)
        response = connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"The server answered {response.status}: {response.read(500)!r}")
        is_begun, newest = False, b""
        for line in response:
            if b'"usage":{' in line:
                newest = line
            if not is_begun and b'"content":"' in line and b'"content":""' not in line:
                is_begun = True
                reading.note_first_text()
        connection.close()
        reading.note_tokens(json.loads(newest.removeprefix(b"data: "))["usage"]["completion_tokens"])

    return read_all(plan, read)


def ask(plan: ReadPlan, question: str) -> dict[str, Any]:
    """Return the request for the answer to a question."""
    return {
        "model": plan.model,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": plan.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def read_all(plan: ReadPlan, read: Callable[[str, Reading], None]) -> ReadResult:
    """Read the answers to all questions at once, a thread each."""
    reading = Reading(plan)
    threads = [threading.Thread(target=read, args=(question, reading)) for question in plan.questions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return reading.finish()


CLIENTS = {"engine": read_with_engine, "openai": read_with_openai, "plain": read_plainly}


def main() -> None:
    """Read the plan, read the answers, print what that took."""
    plan = ReadPlan(**json.loads(Path(sys.argv[1]).read_text()))
    print(json.dumps(asdict(CLIENTS[plan.client](plan))))


if __name__ == "__main__":
    main()
