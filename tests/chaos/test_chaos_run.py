"""Sixteen strikes in every run of the tests, sixty in `make test-slow`; `make chaos` makes three hundred."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.chaos_run import ChaosPlan, run_chaos


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "plan", [ChaosPlan(16), pytest.param(ChaosPlan(60, is_long=True), marks=pytest.mark.exhaustive)]
)
def test_no_acknowledged_message_is_lost(tmp_path: Path, plan: ChaosPlan) -> None:
    result = run_chaos(tmp_path, plan)
    print(result)
    assert result.strikes["runner"] >= 3
    assert result.strikes["worker"] >= 6
    assert result.strikes["freeze"] >= 2
    assert any(attempt > 1 for attempt in result.attempts), "No strike hit an answer, so this showed nothing."
    assert result.is_ok, str(result)
