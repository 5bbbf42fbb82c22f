"""`gunicorn wsgi:app` as it is deployed: what starts, what survives which death, and what is gone at the end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.served_site import REPOSITORY_ROOT, HttpVisitor, ServedSite, running_site, wait_until

WORDS = 600
LONG = " ".join(f"word{number}" for number in range(1, WORDS + 1))
QUICK_LEASE = "1.5"
# At 160 tokens of four characters a second the long answer takes about eight seconds.
PACE: dict[str, Any] = {"SCRIPTED_TOKENS_PER_SECOND": "160", "MAX_ANSWER_TOKENS": "4000"}


def ask_at_length(visitor: HttpVisitor) -> str:
    """Ask for the long answer; returns the public id of the message it is written into."""
    return visitor.list_message_ids(visitor.post_question(f"/long {WORDS}", "token"))[-1]


def being_written(answer: str, visitor: HttpVisitor) -> bool:
    """Whether some of the answer, and not all of it, is there."""
    page = visitor.get(f"/messages/{answer}")
    return "word5" in page and not visitor.get_message_text(answer)


@contextmanager
def probing(site: ServedSite) -> Iterator[list[str]]:
    """Ask for a page again and again while the block runs; gives what went wrong."""
    failures: list[str] = []
    over = threading.Event()

    def probe() -> None:
        visitor = HttpVisitor(site.url)
        while not over.wait(0.05):
            try:
                visitor.get("/healthz")
            except (urllib.error.URLError, OSError) as error:
                failures.append(repr(error))

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield failures
    finally:
        over.set()
        thread.join()


def test_site_serves_and_reports_model_load_error(tmp_path: Path) -> None:
    (tmp_path / "hollow").mkdir()
    with running_site(tmp_path / "i", wait_until_ready=False, DEFAULT_MODEL=str(tmp_path / "hollow")) as site:
        wait_until(lambda: b"The site is at" in site.log.read_bytes(), what="The start")
        visitor = HttpVisitor(site.url)
        wait_until(lambda: "<form" in visitor.get("/"), what="The first page")

        def reason() -> str:
            try:
                return visitor.get("/readyz")
            except urllib.error.HTTPError as error:
                return error.read().decode()

        wait_until(lambda: "model: failed: Cannot load the model" in reason(), what="The reason")
        assert len(site.list_runners()) == 1


@pytest.mark.parametrize(
    "ctrl_c", [pytest.param(False, id="SIGTERM"), pytest.param(True, id="Ctrl-C", marks=pytest.mark.exhaustive)]
)
def test_shutdown_ends_streams_and_all_processes(tmp_path: Path, ctrl_c: bool) -> None:
    with running_site(tmp_path) as site:
        visitor = HttpVisitor(site.url)
        answer = ask_at_length(visitor)
        stream = visitor.opener.open(f"{site.url}/messages/{answer}/stream", timeout=60)
        first = stream.readline()
        processes = [*site.list_children(), psutil.Process(site.process.pid)]
        told = time.monotonic()
        if ctrl_c:
            os.killpg(site.process.pid, signal.SIGINT)
        else:
            site.process.send_signal(signal.SIGTERM)
        # A body without its last chunk makes this raise IncompleteRead.
        rest = stream.read()
        assert site.process.wait(60) == 0
        # Before gunicorn loses its patience, which is after ten seconds.
        assert time.monotonic() - told < 9
        assert first
        assert b"hx-partial" in rest
        _, alive = psutil.wait_procs(processes, timeout=30)
        assert alive == []
        # A copy of the one file is a copy of everything.
        assert [path.name for path in tmp_path.glob("chatsite.db*")] == ["chatsite.db"]


def test_sighup_restart_loses_no_request(tmp_path: Path) -> None:
    with running_site(tmp_path, **PACE) as site:
        visitor = HttpVisitor(site.url)
        answer = ask_at_length(visitor)
        wait_until(lambda: being_written(answer, visitor), what="The beginning")
        before = {process.pid for process in site.list_children()}
        with probing(site) as failures:
            site.process.send_signal(signal.SIGHUP)
            wait_until(lambda: visitor.get_message_text(answer), what="The answer")
            wait_until(
                lambda: not before & {process.pid for process in site.list_children()}, what="The change of processes"
            )
        assert visitor.get_message_text(answer) == LONG
        assert failures == []
        assert len(site.list_runners()) == 1


def test_killed_runner_is_replaced_and_answer_completes(tmp_path: Path) -> None:
    with running_site(tmp_path, **PACE, LEASE_SECONDS=QUICK_LEASE) as site:
        visitor = HttpVisitor(site.url)
        answer = ask_at_length(visitor)
        wait_until(lambda: being_written(answer, visitor), what="The beginning")
        (killed,) = site.list_runners()
        killed.kill()
        wait_until(lambda: visitor.get_message_text(answer), what="The answer")
        assert visitor.get_message_text(answer) == LONG
        (now,) = site.list_runners()
        assert now.pid != killed.pid
        assert "The runner ended (" in site.log.read_text()


@pytest.mark.exhaustive
def test_killed_master_ends_runner_workers_and_streams(tmp_path: Path) -> None:
    # The answer would take the workers far longer than they may live.
    with running_site(tmp_path, SCRIPTED_TOKENS_PER_SECOND="2") as site:
        visitor = HttpVisitor(site.url)
        answer = ask_at_length(visitor)
        with visitor.opener.open(f"{site.url}/messages/{answer}/stream", timeout=60) as stream:
            assert stream.readline()
            children = site.list_children()
            assert len(site.list_runners()) == 1
            site.process.kill()
            site.process.wait()
            _, alive = psutil.wait_procs(children, timeout=30)
            assert alive == []


@pytest.mark.exhaustive
def test_external_runner_setting_starts_no_runner(tmp_path: Path) -> None:
    with running_site(tmp_path, wait_until_ready=False, RUNNER="external") as site:
        visitor = HttpVisitor(site.url)
        wait_until(lambda: b"The site is at" in site.log.read_bytes(), what="The start")
        with pytest.raises(urllib.error.HTTPError) as refused:
            visitor.get("/readyz")
        assert "runner: no heartbeat" in refused.value.read().decode()
        assert site.list_runners() == []
        assert site.list_workers()


@pytest.mark.parametrize(
    ("variable", "sentence"),
    [
        ("WORKERS", "CHATSITE_WORKERS='none' cannot be used"),
        ("DEFAULT_MODEL", "CHATSITE_DEFAULT_MODEL='none' cannot be used"),
    ],
)
def test_invalid_setting_stops_startup_with_message(tmp_path: Path, variable: str, sentence: str) -> None:
    done = failed_start({"CHATSITE_INSTANCE": str(tmp_path), f"CHATSITE_{variable}": "none"})
    assert done.returncode == 2
    assert re.fullmatch(rf"{re.escape(sentence)}: .+\n", done.stderr)


def test_unix_socket_as_host_stops_startup_with_message(tmp_path: Path) -> None:
    done = failed_start({"CHATSITE_INSTANCE": str(tmp_path), "HOST": "unix:/tmp/chatsite.sock"})
    assert done.returncode == 2
    assert re.fullmatch(r"HOST='unix:.+gunicorn --bind unix:/path wsgi:app`\.\n", done.stderr)


def test_invalid_models_file_stops_startup_with_message(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text("oops = ", "utf-8")
    done = failed_start({"CHATSITE_INSTANCE": str(tmp_path)})
    assert done.returncode == 2
    assert re.fullmatch(r".*models\.toml has a mistake: .+\n", done.stderr)


def failed_start(settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What gunicorn says when it does not start."""
    command, environ = [sys.executable, "-m", "gunicorn", "wsgi:app"], os.environ | {"PORT": "0"} | settings
    return subprocess.run(
        command, cwd=REPOSITORY_ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
