"""Models that are made once a session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chatsite.engine.local import LocalEngine
from tests.support import trained_models


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny chat model."""
    return trained_models.make_chat_model(tmp_path_factory.mktemp("models") / "tiny-chat")


@pytest.fixture(scope="session")
def blenderbot_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny BlenderBot."""
    return trained_models.make_blenderbot_model(tmp_path_factory.mktemp("models") / "tiny-blenderbot")


@pytest.fixture(scope="session", params=["chat", "blenderbot"])
def folder(request: pytest.FixtureRequest) -> Path:
    """One tiny model of either family."""
    path: Path = request.getfixturevalue(f"{request.param}_folder")
    return path


@pytest.fixture
def engine(folder: Path, tmp_path: Path) -> Iterator[LocalEngine]:
    """A loaded engine on a tiny model of either family."""
    loaded = LocalEngine(str(folder), tmp_path, thread_count=1, precision="fp32")
    loaded.load(lambda progress: None)
    yield loaded
    loaded.close()
