"""Models that are made once a session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chatsite.engine.local import LocalEngine
from tests.engine import support


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny chat model."""
    return support.make_chat_model(tmp_path_factory.mktemp("models") / "tiny-chat")


@pytest.fixture(scope="session")
def blenderbot_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny BlenderBot."""
    return support.make_blenderbot_model(tmp_path_factory.mktemp("models") / "tiny-blenderbot")


@pytest.fixture(scope="session", params=["chat", "blenderbot"])
def folder(request: pytest.FixtureRequest) -> Path:
    """One tiny model of either family."""
    made: Path = request.getfixturevalue(f"{request.param}_folder")
    return made


@pytest.fixture
def engine(folder: Path, tmp_path: Path) -> Iterator[LocalEngine]:
    """A loaded engine on a tiny model of either family."""
    made = LocalEngine(str(folder), tmp_path, threads=1, precision="fp32")
    made.load(lambda progress: None)
    yield made
    made.close()
