"""Which model is best on this machine: from its memory, processors and disk, and from what the catalog knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chatsite.engine import memory
from chatsite.engine.catalog.catalog import CatalogEntry, ModelGroup
from chatsite.services.models import catalog
from chatsite.services.models.catalog import ModelCard

# A slower model does not run well: people read about five tokens in a second.
MIN_TOKENS_PER_SECOND = 2.5
# Where no model has answered yet, what an ordinary processor core reads of its memory in a second, and how many cores
# share that memory well. Too rough to be shown to anybody; it only rules out what would surely be too slow.
ASSUMED_BYTES_PER_CORE = 3e9
MAX_USEFUL_CORES = 4.0


@dataclass(frozen=True)
class Machine:
    """What a machine has for models.

    `budget_bytes` is the most memory that all models may take together, `free_bytes` the memory that programs can still
    take, `free_disk_bytes` the space for downloads.
    """

    budget_bytes: int
    free_bytes: int
    processor_count: float
    free_disk_bytes: int


@dataclass(frozen=True)
class Recommendation:
    """A model that runs well on `machine`. `tokens_per_second` is None where no model has answered here yet.

    The speed is an estimate unless `is_measured`.
    """

    card: ModelCard
    machine: Machine
    tokens_per_second: float | None
    is_measured: bool


def read_machine(models_folder: Path, memory_limit_mb: int = 0) -> Machine:
    """Return what this machine, or the container of this process, has for models in `models_folder`.

    `memory_limit_mb` is the setting MODEL_MEMORY_MB; with 0 it is half of the memory, as runners reckon.
    """
    return Machine(
        budget_bytes=memory_limit_mb * 1_000_000 or memory.total_bytes() // 2,
        free_bytes=memory.available_bytes(),
        processor_count=memory.processor_count(),
        free_disk_bytes=catalog.free_disk_bytes(models_folder),
    )


def recommend(machine: Machine, cards: Sequence[ModelCard], language: str = "") -> Recommendation | None:
    """Return the best assistant that runs well on a machine, or None if there is none.

    The larger of two assistants knows more. With `language`, an ISO 639-1 code, it must speak that.
    """
    bandwidth = _measured_bandwidth(cards)
    suited = [
        card
        for card in cards
        if card.entry.group is ModelGroup.CHAT
        and (not language or language in card.entry.languages)
        and can_run(machine, cards, card)
        and _estimate_speed(card.entry, bandwidth or _assumed_bandwidth(machine)) >= MIN_TOKENS_PER_SECOND
    ]
    best = max(suited, key=lambda card: card.entry.parameter_count, default=None)
    if best is None:
        return None
    measured = best.local_model.tokens_per_second if best.local_model else None
    estimated = _estimate_speed(best.entry, bandwidth) if bandwidth else None
    return Recommendation(best, machine, measured or estimated, measured is not None)


def estimate_speeds(cards: Sequence[ModelCard]) -> dict[str, float]:
    """Return the estimated tokens per second of assistants that have not answered here; empty if no model has."""
    bandwidth = _measured_bandwidth(cards)
    return {
        card.name: _estimate_speed(card.entry, bandwidth)
        for card in cards
        if bandwidth and card.entry.step_bytes and card.entry.group is ModelGroup.CHAT
    }


def can_run(machine: Machine, cards: Iterable[ModelCard], card: ModelCard) -> bool:
    """Return whether a model is here or can be downloaded, and fits into the memory that models may take."""
    needed_bytes = card.entry.memory_bytes_int8
    if not needed_bytes or card.is_removing:
        return False
    # A model that is in memory gives its place to the next one.
    free_bytes = machine.free_bytes + sum(_loaded_bytes(other) for other in cards)
    is_obtainable = card.is_ready or (
        card.entry.is_downloadable and 0 < card.entry.download_bytes <= machine.free_disk_bytes
    )
    return is_obtainable and needed_bytes <= min(machine.budget_bytes, free_bytes)


def _loaded_bytes(card: ModelCard) -> int:
    local_model = card.local_model
    return (local_model.memory_bytes or 0) if local_model and local_model.is_loaded else 0


def _estimate_speed(entry: CatalogEntry, bytes_per_second: float) -> float:
    """Estimate the tokens per second of a model: each token reads all weights once."""
    return bytes_per_second / entry.step_bytes


def _measured_bandwidth(cards: Iterable[ModelCard]) -> float:
    """Return how many bytes of weights the models that have answered here read in a second; 0 if none has."""
    return max(
        (
            card.local_model.tokens_per_second * card.entry.step_bytes
            for card in cards
            if card.local_model and card.local_model.tokens_per_second
        ),
        default=0.0,
    )


def _assumed_bandwidth(machine: Machine) -> float:
    return ASSUMED_BYTES_PER_CORE * min(MAX_USEFUL_CORES, machine.processor_count)
