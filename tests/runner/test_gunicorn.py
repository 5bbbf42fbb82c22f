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

import psutil
import pytest

from tests.site import ROOT, Site, Visitor, running_site, until

WORDS = 300
LONG = " ".join(f"word{number}" for number in range(1, WORDS + 1))
QUICK_LEASE = "1.5"
# At 160 tokens of four characters a second the long answer takes about four seconds.
PACE = {"SCRIPTED_TOKENS_PER_SECOND": "160", "ANSWER_TOKENS": "4000"}


def ask_at_length(visitor: Visitor) -> str:
    """Ask for the long answer; returns the public id of the message it is written into."""
    return visitor.messages(visitor.ask(f"/long {WORDS}", "token"))[-1]


def being_written(answer: str, visitor: Visitor) -> bool:
    """Whether some of the answer, and not all of it, is there."""
    page = visitor.get(f"/messages/{answer}")
    return "word5" in page and not visitor.text(answer)


@contextmanager
def probing(site: Site) -> Iterator[list[str]]:
    """Ask for a page again and again while the block runs; gives what went wrong."""
    failures: list[str] = []
    over = threading.Event()

    def probe() -> None:
        visitor = Visitor(site.url)
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


def test_the_site_serves_while_its_model_cannot_be_loaded_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "hollow").mkdir()
    with running_site(tmp_path / "i", wait_until_ready=False, MODEL=str(tmp_path / "hollow")) as site:
        until(lambda: b"The site is at" in site.log.read_bytes(), what="The start")
        visitor = Visitor(site.url)
        until(lambda: "<form" in visitor.get("/"), what="The first page")

        def reason() -> str:
            try:
                return visitor.get("/readyz")
            except urllib.error.HTTPError as error:
                return error.read().decode()

        until(lambda: "model: failed: The model cannot be loaded" in reason(), what="The reason")
        assert len(site.runners()) == 1


@pytest.mark.parametrize("ctrl_c", [False, True], ids=["SIGTERM", "Ctrl-C"])
def test_open_streams_end_cleanly_and_everything_with_them(tmp_path: Path, ctrl_c: bool) -> None:
    with running_site(tmp_path) as site:
        visitor = Visitor(site.url)
        answer = ask_at_length(visitor)
        stream = visitor.opener.open(f"{site.url}/messages/{answer}/stream", timeout=20)
        first = stream.readline()
        processes = [*site.children(), psutil.Process(site.process.pid)]
        told = time.monotonic()
        if ctrl_c:
            os.killpg(site.process.pid, signal.SIGINT)
        else:
            site.process.send_signal(signal.SIGTERM)
        # A body without its last chunk makes this raise IncompleteRead.
        rest = stream.read()
        assert site.process.wait(10) == 0
        assert time.monotonic() - told < 4
        assert first
        assert b"hx-partial" in rest
        _, alive = psutil.wait_procs(processes, timeout=3)
        assert alive == []


def test_sighup_loses_nothing(tmp_path: Path) -> None:
    with running_site(tmp_path, **PACE) as site:
        visitor = Visitor(site.url)
        answer = ask_at_length(visitor)
        until(lambda: being_written(answer, visitor), what="The beginning")
        before = {process.pid for process in site.children()}
        with probing(site) as failures:
            site.process.send_signal(signal.SIGHUP)
            until(lambda: visitor.text(answer), what="The answer")
            until(lambda: not before & {process.pid for process in site.children()}, 15, "The change of processes")
        assert visitor.text(answer) == LONG
        assert failures == []
        assert len(site.runners()) == 1


def test_a_killed_runner_is_replaced_and_the_answer_becomes_whole(tmp_path: Path) -> None:
    with running_site(tmp_path, **PACE, LEASE_SECONDS=QUICK_LEASE) as site:
        visitor = Visitor(site.url)
        answer = ask_at_length(visitor)
        until(lambda: being_written(answer, visitor), what="The beginning")
        (killed,) = site.runners()
        killed.kill()
        until(lambda: visitor.text(answer), what="The answer")
        assert visitor.text(answer) == LONG
        (now,) = site.runners()
        assert now.pid != killed.pid
        assert "The runner ended (" in site.log.read_text()


def test_a_killed_master_takes_the_runner_and_the_workers_along(tmp_path: Path) -> None:
    with running_site(tmp_path) as site:
        children = site.children()
        assert len(site.runners()) == 1
        site.process.kill()
        site.process.wait()
        _, alive = psutil.wait_procs(children, timeout=10)
        assert alive == []


def test_an_external_runner_is_left_to_others(tmp_path: Path) -> None:
    with running_site(tmp_path, wait_until_ready=False, RUNNER="external") as site:
        visitor = Visitor(site.url)
        until(lambda: b"The site is at" in site.log.read_bytes(), what="The start")
        with pytest.raises(urllib.error.HTTPError) as refused:
            visitor.get("/readyz")
        assert "runner: no heartbeat" in refused.value.read().decode()
        assert site.runners() == []
        assert site.workers()


@pytest.mark.parametrize(
    ("variable", "sentence"),
    [("WORKERS", "CHATSITE_WORKERS='none' cannot be used"), ("MODEL", "CHATSITE_MODEL='none' cannot be used")],
)
def test_a_bad_setting_stops_the_start_with_a_sentence(tmp_path: Path, variable: str, sentence: str) -> None:
    done = failed_start({"CHATSITE_INSTANCE": str(tmp_path), f"CHATSITE_{variable}": "none"})
    assert done.returncode == 2
    assert re.fullmatch(rf"{re.escape(sentence)}: .+\n", done.stderr)


def test_a_broken_file_of_own_models_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text("oops = ", "utf-8")
    done = failed_start({"CHATSITE_INSTANCE": str(tmp_path)})
    assert done.returncode == 2
    assert re.fullmatch(r".*models\.toml is not what it should be: .+\n", done.stderr)


def failed_start(settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What gunicorn says when it does not start."""
    command, environ = [sys.executable, "-m", "gunicorn", "wsgi:app"], os.environ | {"PORT": "0"} | settings
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=30, check=False)
