"""No text takes for ever, whatever is in it."""

from __future__ import annotations

import subprocess
import sys

import pytest


def render_random_texts(kind: str, seed: int, count: int, max_chars: int) -> None:
    command = [sys.executable, "-m", "tests.rendering.random_texts", kind, str(seed), str(count), str(max_chars)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, (lines[-1] if lines else "", done.stderr[-2000:])
    assert len(lines) == count


@pytest.mark.parametrize(("kind", "count"), [("markdown", 150), ("formula", 60)])
def test_random_texts_end(kind: str, count: int) -> None:
    render_random_texts(kind, 1, count, 1500)


@pytest.mark.exhaustive
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("kind", "count"), [("markdown", 3000), ("formula", 5000)])
def test_many_random_texts_end(kind: str, count: int) -> None:
    render_random_texts(kind, 2, count, 20_000)
