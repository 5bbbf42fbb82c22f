"""What broke is logged with the place where it broke, and without the values that were there."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog

from tests.conftest import close, make_app


@pytest.mark.parametrize("shape", ["console", "json"])
def test_a_traceback_holds_no_values(tmp_path: Path, capfd: pytest.CaptureFixture[str], shape: str) -> None:
    app = make_app(tmp_path, LOG_FORMAT=shape)
    try:
        secret = "what " + "she wrote"
        raise ZeroDivisionError(len(secret))
    except ZeroDivisionError:
        structlog.get_logger().exception("it_broke")
    close(app)
    logged = capfd.readouterr().err
    assert "ZeroDivisionError" in logged
    assert "test_a_traceback_holds_no_values" in logged
    assert "what she wrote" not in logged
