"""Ten deaths in every run of the tests, two hundred in `make test-slow`: of the runner and of the server in turn."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.endpoint_storm import run_endpoint_storm


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("strike_count", "family"),
    [
        (3, ""),
        (2, "unknown"),
        pytest.param(50, "", marks=pytest.mark.exhaustive),
        pytest.param(50, "unknown", marks=pytest.mark.exhaustive),
    ],
)
def test_no_answer_of_an_endpoint_is_lost(tmp_path: Path, strike_count: int, family: str) -> None:
    result = run_endpoint_storm(tmp_path, strike_count, family=family)
    print(result)
    assert result.strikes == {"runner": strike_count, "server": strike_count}
    assert result.acknowledged_count >= strike_count
    assert any(attempt > 1 for attempt in result.attempts), "No strike hit an answer, so this showed nothing."
    assert result.is_ok, str(result)
