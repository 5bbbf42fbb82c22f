"""Forty kills in every run of the tests; `make chaos` makes two hundred."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.storm import storm


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_no_acknowledged_message_is_lost(tmp_path: Path) -> None:
    result = storm(tmp_path, kills=40)
    print(result)
    assert result.kills["runner"] >= 5
    assert result.kills["worker"] >= 5
    assert any(attempt > 1 for attempt in result.attempts), "No kill hit an answer, so this showed nothing."
    assert result.ok, str(result)
