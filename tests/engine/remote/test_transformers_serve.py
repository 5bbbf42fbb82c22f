"""A real `transformers serve` behind the remote engine, with a small model that knows its answers by heart.

It is the oddest of the servers: its list fails, it refuses what it does not know, tells the tokens unasked, and ends
without a `[DONE]`. Its start takes longer than all that is looked at, so one test does all of it.
"""

from __future__ import annotations

import os
import subprocess
import sysconfig
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatsite.engine.catalog.endpoints import Endpoint, make_entry
from chatsite.engine.remote.client import EndpointClient
from chatsite.engine.remote.engine import RemoteEngine
from chatsite.engine.types import Delta, Event, FinishReason
from tests.engine.remote.support import answer_text, finish, question, reports
from tests.support.served_site import find_free_port, wait_until
from tests.support.trained_models import LESSONS, collect_events, make_chat_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MODEL = "tiny"
QUESTION, ANSWER = next(iter(LESSONS.items()))


@pytest.fixture
def server_url(tmp_path: Path) -> Iterator[str]:
    """The base of the paths of a server that has the model `tiny`."""
    make_chat_model(tmp_path / MODEL)
    port = find_free_port()
    command = [f"{sysconfig.get_path('scripts')}/transformers", "serve", "--host", "127.0.0.1", "--port", str(port)]
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HF_HOME": str(tmp_path / "cache")}
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([*command, MODEL], cwd=tmp_path, env=environ, stdout=output, stderr=output)
    try:
        wait_until(lambda: is_listening(port) or process.poll() is not None, what="The start of the server")
        assert process.poll() is None, log.read_text()
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def is_listening(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def test_transformers_serve(server_url: str, subtests: pytest.Subtests) -> None:
    client = EndpointClient(Endpoint("lab", server_url, models=(MODEL,), context_tokens=256), "")
    try:
        with subtests.test("it is recognized though its list fails"):
            report = client.probe()
            assert (report.family, [model.id for model in report.models]) == ("transformers", [MODEL])
        engine = RemoteEngine(make_entry(client.endpoint, report.find_model(MODEL)), client)
        for check in (check_answer, check_beginning, check_stop):
            with subtests.test(check.__name__):
                check(engine)
    finally:
        client.close()


def ask(engine: RemoteEngine, number: int, *, prefix: str = "") -> list[Event]:
    """The events of an answer."""
    engine.submit(question(number, QUESTION, prefix, temperature=0.0, max_new_tokens=60))
    return collect_events(engine, number, seconds=120)[number]


def check_answer(engine: RemoteEngine) -> None:
    events = ask(engine, 1)
    assert answer_text(events) == ANSWER
    assert finish(events).reason is FinishReason.END
    assert len([event for event in events if isinstance(event, Delta) and event.text]) > 5
    # The first report is an estimate; the server counts at the end.
    assert reports(events)[-1].counted_by == "server"
    assert reports(events)[-1].used_tokens > 0


def check_beginning(engine: RemoteEngine) -> None:
    """It cannot go on with an answer, so the answer is written anew, and nothing stands there twice."""
    events = ask(engine, 2, prefix=ANSWER[:20])
    assert answer_text(events) == ANSWER
    assert finish(events).reason is FinishReason.END


def check_stop(engine: RemoteEngine) -> None:
    engine.submit(question(3, QUESTION, temperature=0.0, max_new_tokens=60))
    events: list[Event] = []
    while not any(isinstance(event, Delta) for event in events):
        events += engine.poll_events(1.0)
    engine.cancel(3)
    assert finish(collect_events(engine, 3)[3]).reason is FinishReason.CANCELED
    # The next answer is whole: nothing of the one before is left over.
    assert answer_text(ask(engine, 4)) == ANSWER
