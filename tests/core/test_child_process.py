"""Child processes: what they inherit, what they say, and how they end."""

from __future__ import annotations

import os
import signal
import threading
import time

import psutil
import pytest

from chatsite.child_process import ChildProcess, RestartPause, child_environment, exit_with_parent

SLEEP = ("-c", "import time; time.sleep(60)")


def test_settings_become_variables() -> None:
    config = {"INSTANCE": "/here", "MAX_IMPORT_MB": 7, "DEFAULT_MODEL": "auto"}
    assert child_environment(config, "INSTANCE", "MAX_IMPORT_MB") == {
        "CHATSITE_INSTANCE": "/here",
        "CHATSITE_MAX_IMPORT_MB": "7",
    }


def test_json_lines_are_received_and_the_rest_are_last_words() -> None:
    program = "import os, sys; print('{\"a\": 1}'); print('[2]'); print(os.environ['NAME']); sys.exit(3)"
    child = ChildProcess(["-c", program], {"NAME": "mine"}, speaks=True)
    assert list(child.messages()) == [{"a": 1}]
    assert (child.last_words, child.wait(), child.exit_text) == ("mine", 3, "status 3")
    assert not child.is_running


def test_a_quiet_one_says_its_errors_to_us() -> None:
    child = ChildProcess(["-c", "raise SystemExit('oh no')"], speaks=True, quiet=True)
    assert list(child.messages()) == []
    assert (child.last_words, child.wait()) == ("oh no", 1)


def test_it_is_ended_by_signals() -> None:
    first, second = ChildProcess(SLEEP), ChildProcess(SLEEP)
    assert first.is_running
    first.terminate()
    second.kill()
    assert (first.wait(), second.wait()) == (-signal.SIGTERM, -signal.SIGKILL)
    assert second.exit_text == "signal 9"
    first.kill()


def test_one_that_somebody_else_reaped_counts_as_ended() -> None:
    child = ChildProcess(["-c", ""])
    os.waitpid(child.pid, 0)
    assert (child.wait(), child.status, child.exit_text, child.is_running) == (0, None, "status unknown", False)


def test_it_ends_with_its_parent() -> None:
    ours = "import os, time; from chatsite.child_process import exit_with_parent\n"
    ours += "exit_with_parent(lambda: os._exit(3)); time.sleep(60)"
    program = "import json, sys; from chatsite.child_process import ChildProcess, send_json\n"
    program += (
        "send_json({'pid': ChildProcess(['-c', sys.argv[1]]).pid}); sys.stdin.read(); import time; time.sleep(60)"
    )
    parent = ChildProcess(["-c", program, ours], speaks=True)
    child = psutil.Process(next(parent.messages())["pid"])
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs([child], timeout=20)
    assert alive == []


def test_who_is_nobodys_child_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHATSITE_PARENT_PID", raising=False)
    ended = threading.Event()
    exit_with_parent(ended.set)
    assert not ended.wait(0.5)


def test_pauses_grow_and_a_long_life_resets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    pause = RestartPause(max_seconds=0.7)
    assert [pause.next_pause_seconds() for _ in range(4)] == [0.2, 0.4, 0.7, 0.7]
    pause.mark_start()
    then = time.monotonic() + 31
    monkeypatch.setattr(time, "monotonic", lambda: then)
    assert pause.next_pause_seconds() == 0.2
