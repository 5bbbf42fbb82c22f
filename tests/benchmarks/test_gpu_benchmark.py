"""The measurement of graphics cards, on processors: its logic, and what it says where there is no card."""

from __future__ import annotations

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu import QUESTIONS, STREAM_COUNTS
from chatsite.engine.downloads.weights import Weights
from chatsite.engine.inference.loaded_model import load_model
from chatsite.engine.inference.loading.checkpoint import load_checkpoint
from tests.support.trained_models import make_chat_model

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="There is a card: python -m benchmarks.gpu measures it."
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    return Weights(make_chat_model(tmp_path_factory.mktemp("model")), "1")


def test_the_engine_writes_what_generate_writes(weights: Weights) -> None:
    reference = load_checkpoint(weights.folder, torch.float32).model
    parity = gpu.measure_parity(load_model("tiny", weights, "fp32"), reference, 12)
    assert parity.same_answers == parity.answers == len(QUESTIONS)
    assert parity.same_tokens == parity.tokens > 0


def test_a_difference_is_seen(weights: Weights) -> None:
    reference = load_checkpoint(weights.folder, torch.float32).model
    loaded = load_model("tiny", weights, "fp32")
    with torch.no_grad():
        for weight in reference.parameters():
            weight.add_(torch.randn_like(weight))
    parity = gpu.measure_parity(loaded, reference, 12)
    assert parity.same_answers < parity.answers
    assert parity.same_tokens < parity.tokens


def test_all_tables_have_their_rows(weights: Weights) -> None:
    parity, speed = gpu.measure("tiny", weights, "cpu", new_tokens=4, tries=1)
    assert [row[0] for row in parity.rows] == ["fp32", "bf16"]
    assert [row[0] for row in speed.rows] == [str(count) for count in STREAM_COUNTS]
    assert all(float(cell) > 0 for row in speed.rows for cell in row[1:4])


def test_without_a_card_nothing_is_measured_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([]) == 1
    assert "There is no graphics card" in capsys.readouterr().err
