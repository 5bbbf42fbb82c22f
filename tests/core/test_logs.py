"""What broke is logged with the place where it broke, and without the values that were there."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest
import structlog

from tests.conftest import close_app, make_app


def test_a_log_on_a_full_disk_breaks_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w", encoding="utf-8", buffering=1) as full_disk:
        monkeypatch.setattr(sys, "stderr", full_disk)
        app = make_app(tmp_path, LOG_LEVEL="debug")
        assert app.test_client().get("/").status_code == 200
        close_app(app)
        # What is left of the lines has no place to go when the file is closed.
        with contextlib.suppress(OSError):
            full_disk.close()


@pytest.mark.parametrize("shape", ["console", "json"])
def test_a_traceback_holds_no_values(tmp_path: Path, capfd: pytest.CaptureFixture[str], shape: str) -> None:
    app = make_app(tmp_path, LOG_FORMAT=shape)
    try:
        secret = "what " + "she wrote"
        raise ZeroDivisionError(len(secret))
    except ZeroDivisionError:
        structlog.get_logger().exception("it_broke")
    close_app(app)
    logged = capfd.readouterr().err
    assert "ZeroDivisionError" in logged
    assert "test_a_traceback_holds_no_values" in logged
    assert "what she wrote" not in logged
