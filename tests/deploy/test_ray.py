"""A real Ray on this machine, started as the documentation says, with the scripted engine.

Starting it takes longer than all that is looked at, so one test does all of it, in parts that are told apart.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from chatsite.engine.scripted import reply_for
from tests.chaos.chaos_database import ChaosDatabase
from tests.chaos.endpoint_storm import HALF_WRITTEN
from tests.deploy.chat_client import ChatClient, ChatStream
from tests.support.served_site import REPOSITORY_ROOT, HttpVisitor, find_free_port, running_site, wait_until

MAX_CALLS, MAX_REPLICAS = 4, 2
LONG_QUESTION = "/long 400"
# Its answer is within the limit of the site, and takes seven seconds.
QUESTION = "/long 160"
OPTIONS = {
    "--model": "scripted",
    "--max-calls": str(MAX_CALLS),
    "--max-replicas": str(MAX_REPLICAS),
    "--target-calls": "2",
    "--upscale-seconds": "1",
    "--downscale-seconds": "1",
    "--cpus": "0.5",
}


@dataclass
class RunningRay:
    """The command that serves the model, and a client of it."""

    process: psutil.Popen
    client: ChatClient
    log: Path

    def list_replicas(self) -> list[psutil.Process]:
        """List the processes in which an engine runs."""
        replicas = []
        for process in self.process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if " ".join(process.cmdline()).startswith("ray::ServeReplica"):
                    replicas.append(process)
        return replicas

    def is_serving(self) -> bool:
        """Return whether the model can be asked."""
        with contextlib.suppress(OSError, ValueError):
            return self.client.get("/v1/models")[0] == 200
        return False


@pytest.fixture(scope="module")
def running_ray() -> Iterator[RunningRay]:
    # Paths of sockets have at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder:
        port, log = find_free_port(), Path(folder) / "log"
        command = [sys.executable, "-m", "deploy.ray", "--port", str(port)]
        command += [word for option in OPTIONS.items() for word in option]
        environ = {**os.environ, "RAY_TMPDIR": folder, "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        with log.open("wb") as output:
            process = psutil.Popen(
                command,
                cwd=REPOSITORY_ROOT,
                env=environ,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        running = RunningRay(process, ChatClient(port), log)
        try:
            wait_until(lambda: running.is_serving() or process.poll() is not None, what=f"The start of Ray ({log})")
            assert process.poll() is None, log.read_text()
            yield running
        finally:
            for child in [process, *process.children(recursive=True)] if process.is_running() else []:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            process.wait()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ray_serves_the_engine(running_ray: RunningRay, tmp_path: Path, subtests: pytest.Subtests) -> None:
    for check in (
        check_list_and_answers,
        check_stop,
        check_killed_replica,
        partial(check_site, folder=tmp_path),
        check_scaling_and_refusals,
        check_drain,
    ):
        with subtests.test(check.func.__name__ if isinstance(check, partial) else check.__name__):
            check(running_ray)


def check_list_and_answers(ray: RunningRay) -> None:
    (model,) = ray.client.get_json("/v1/models")["data"]
    assert (model["id"], model["owned_by"]) == ("scripted", "chatsite")
    stream = ray.client.stream("Hello there")
    usage = stream.read_all()[-1]["usage"]
    assert stream.text == reply_for("Hello there")
    whole = ray.client.complete("Hello there")
    assert (whole["choices"][0]["message"]["content"], whole["usage"]) == (stream.text, usage)
    status, _, refusal = ray.client.post({"model": "other", "messages": []})
    assert (status, refusal["error"]["code"]) == (404, "model_not_found")


def check_stop(ray: RunningRay) -> None:
    """Whoever goes away ends the work, with a stream and without one."""
    stream = ray.client.stream(LONG_QUESTION)
    stream.read_text(20)
    assert ray.client.get_json("/healthz")["in_progress"] == 1
    stream.close()
    wait_until(lambda: ray.client.get_json("/healthz")["in_progress"] == 0, what="The end of the stream")
    connection = ray.client.send(LONG_QUESTION)
    wait_until(lambda: ray.client.get_json("/healthz")["in_progress"] == 1, what="The question")
    connection.close()
    wait_until(lambda: ray.client.get_json("/healthz")["in_progress"] == 0, what="The end of the answer")


def check_killed_replica(ray: RunningRay) -> None:
    """The stream breaks and does not end; the next replica goes on with what was there."""
    (replica,) = ray.list_replicas()
    stream = ray.client.stream(LONG_QUESTION)
    stream.read_text(20)
    replica.kill()
    stream.read_until_broken()
    assert not stream.is_done
    whole = reply_for(LONG_QUESTION)
    assert whole.startswith(stream.text)
    assert len(stream.text) < len(whole)
    wait_until(lambda: replica not in ray.list_replicas() and ray.list_replicas(), what="Another replica")
    rest = ray.client.stream(LONG_QUESTION, beginning=stream.text)
    rest.read_text(200)
    rest.close()
    assert whole.startswith(stream.text + rest.text)


def check_site(ray: RunningRay, folder: Path) -> None:
    """The site answers with it as with any endpoint, and its answer is whole though the replica died in the middle."""
    (folder / "models.toml").write_text(f'[cluster]\nendpoint = "http://127.0.0.1:{ray.client.port}/v1"\n')
    database = ChaosDatabase(folder)
    settings: Any = {"DEFAULT_MODEL": "cluster/scripted", "LEASE_SECONDS": "1", "MAX_ATTEMPTS": "10"}
    with running_site(folder, **settings) as site:
        visitor = HttpVisitor(site.url)
        conversation = visitor.post_question(QUESTION, "key")
        answer = visitor.list_message_ids(conversation)[-1]
        wait_until(lambda: database.query(HALF_WRITTEN), what="The middle of the answer")
        (replica,) = ray.list_replicas()
        replica.kill()
        wait_until(lambda: not database.count_unfinished(), what="The end of the answer")
        assert visitor.get_message_text(answer) == reply_for(QUESTION)
    wait_until(lambda: ray.client.get_json("/healthz")["in_progress"] == 0, what="Another replica, at rest")


def check_scaling_and_refusals(ray: RunningRay) -> None:
    """A second replica comes with the load, both refuse what is too much, and one goes when nobody asks any more."""
    wait_until(lambda: len(ray.list_replicas()) == 1, what="One replica")
    streams: list[ChatStream] = []
    refusals: list[ChatStream] = []

    def ask_one_more() -> bool:
        stream = ray.client.open_stream(LONG_QUESTION)
        (streams if stream.response.status == 200 else refusals).append(stream)
        return bool(refusals)

    wait_until(ask_one_more, what="A refusal")
    refusal = refusals[0].response
    assert refusal.status == 429
    assert refusal.getheader("Retry-After") == "3"
    assert b'"code":"rate_limit_exceeded"' in refusal.read()
    assert len(streams) >= MAX_CALLS
    wait_until(lambda: len(ray.list_replicas()) == MAX_REPLICAS, what="The second replica")
    for stream in [*streams, *refusals]:
        stream.close()
    wait_until(lambda: len(ray.list_replicas()) == 1, what="The end of a replica")


def check_drain(ray: RunningRay) -> None:
    """An answer that is in progress is ended before the end, and nothing stays behind."""
    question = "/long 100"
    stream = ray.client.stream(question)
    stream.read_text(20)
    processes = [ray.process, *ray.process.children(recursive=True)]
    ray.process.send_signal(signal.SIGTERM)
    stream.read_all()
    assert stream.text == reply_for(question)
    assert ray.process.wait(60) == 0, ray.log.read_text()
    wait_until(lambda: not any(process.is_running() for process in processes), what="The end of all processes")
