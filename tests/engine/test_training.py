"""What is trained once is what would be trained again, and belongs to whoever asked for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import training


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache folder with nothing in it."""
    monkeypatch.setenv("CHATSITE_TEST_CACHE", str(tmp_path / "cache"))
    training.cache_folder.cache_clear()
    yield tmp_path / "cache"
    training.cache_folder.cache_clear()


def test_a_model_is_trained_once_for_each_set_of_arguments(cache: Path, tmp_path: Path) -> None:
    trained: list[tuple[object, ...]] = []

    @training.trained_once
    def make_model(folder: Path, size: int = 1, tokenizer: object = 0) -> Path:
        trained.append((size, tokenizer))
        folder.mkdir(parents=True)
        (folder / "weights").write_text(f"{size}")
        return folder

    first = make_model(tmp_path / "first")
    (first / "weights").write_text("edited")
    assert (make_model(tmp_path / "second") / "weights").read_text() == "1"
    assert (make_model(tmp_path / "third", size=2) / "weights").read_text() == "2"
    assert trained == [(1, 0), (2, 0)]
    # What a name cannot tell is not kept.
    for name in ("fourth", "fifth"):
        make_model(tmp_path / name, tokenizer=object())
    assert len(trained) == 4
    assert len([path for path in cache.iterdir() if path.is_dir()]) == 2


def test_another_recipe_is_another_model(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = iter(["one", "two"])
    monkeypatch.setattr(training, "_recipe", lambda: next(recipes))

    @training.trained_once
    def make_model(folder: Path) -> Path:
        folder.mkdir()
        return folder

    make_model(tmp_path / "first")
    make_model(tmp_path / "second")
    assert len([path for path in cache.iterdir() if path.is_dir()]) == 2


def test_where_nothing_can_be_kept_it_is_kept_for_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CHATSITE_TEST_CACHE", str(tmp_path / "file" / "cache"))
    assert training.cache_folder() == training.store() / "trained"
